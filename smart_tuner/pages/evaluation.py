"""The page of an evaluation: the verdict, the figures, and the worst sentences to look at and to listen to.

One file, without a network; only the link to the table of all sentences needs the folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from smart_tuner.command_hints import LONGER_TRAINING
from smart_tuner.evaluation import Evaluation, Sentence
from smart_tuner.figures import Figure
from smart_tuner.pages.page_files import write_page
from smart_tuner.pages.records import file_uri
from smart_tuner.pages.rendering import ATTENTION_CAPTION, POLICY, render
from trainer.evaluation.folder import PICTURES, SENTENCES, SOUNDS

PAGE = "index.html"


@dataclass(frozen=True)
class _Shown:
    """pictures, sounds: data URIs by what they show."""

    id: str
    text: str
    faults: str
    figures: Mapping[Figure, float]
    pictures: Mapping[str, str]
    sounds: Mapping[str, str]


def write_evaluation_page(evaluation: Evaluation) -> Path:
    """Write it into the folder of the evaluation, and return its path. Raises UserError where it cannot be written."""
    return write_page(evaluation_page(evaluation), evaluation.folder / PAGE)


def evaluation_page(evaluation: Evaluation) -> str:
    return render(
        "evaluation.html",
        evaluation=evaluation,
        worst=[_shown(sentence) for sentence in evaluation.worst],
        table=SENTENCES,
        longer_training=LONGER_TRAINING,
        attention_caption=ATTENTION_CAPTION,
        policy=POLICY.format(connect="'none'"),
    )


def _shown(sentence: Sentence) -> _Shown:
    found = {kind: uri for kind, path in sentence.files.items() if (uri := file_uri(path))}
    return _Shown(
        sentence.id,
        sentence.text,
        sentence.faults,
        sentence.figures,
        pictures={kind: found[kind] for kind in PICTURES if kind in found},
        sounds={kind: found[kind] for kind in SOUNDS if kind in found},
    )
