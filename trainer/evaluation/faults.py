"""What is wrong with a spoken sentence, in words. Its pictures and sound show the rest."""

from collections.abc import Iterator

from trainer.evaluation.sentences import Sentence, Spoken
from trainer.evaluation.verdict import HARDLY_RECOGNISED
from trainer.synthesis import Sentence as Synthesised


def faults(sentence: Spoken | Synthesised) -> Iterator[str]:
    """One clause for each fault, the heaviest first; none where no figure shows one."""
    if sentence.endless:
        yield "endless: its gate did not end it, and it was cut off at the limit"
    if isinstance(sentence, Sentence) and sentence.cut:
        yield f"cut: it ended after {sentence.frames / sentence.recorded:.0%} of the recording's length"
    if sentence.skipped:
        yield f"skips {max(1, round(sentence.skipped * len(sentence.text)))} of its {len(sentence.text)} characters"
    if sentence.repeats:
        yield f"repeats: attention moves back {'once' if sentence.repeats == 1 else f'{sentence.repeats} times'}"
    if isinstance(sentence, Sentence) and sentence.recognised < HARDLY_RECOGNISED:
        yield f"hardly recognised: {sentence.recognised:.0%} of it is nearest to its own place in the recording"
    if isinstance(sentence, Sentence) and sentence.rank > 1:
        yield f"nearer to “{sentence.mistaken_for}”"
