"""The figures of a sentence: hums with a diagonal, endless hums, cut, skipping and real speech are told apart."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from short_run import CPU, FLOOR, small_config, small_model
from torch import Tensor

from trainer.data.batches import Padding, collate
from trainer.data.features import Features
from trainer.evaluation.distance import Array
from trainer.evaluation.evaluator import COST, Evaluator
from trainer.evaluation.sentences import Recordings, Sentence, measure, recognised, summary
from trainer.evaluation.speech import Speech, frame_limit
from trainer.evaluation.verdict import Heard, heard
from trainer.model import Tacotron2Output

CLIPS = 6
SHARE = 0.03


def diagonal(steps: int, tokens: int) -> Tensor:
    """(steps, tokens) attention that goes from the first to the last token."""
    at = torch.arange(steps) * tokens // steps
    return torch.nn.functional.one_hot(at, tokens).float()


def spoken(features: Features, mels: Sequence[Array], attentions: Sequence[Tensor]) -> list[Sentence]:
    """What `measure` says of these mels, (frames, M) each, as speech of the first validation clips."""
    clips = features.validation[: len(mels)]
    batch = collate(features, clips, Padding(), FLOOR)
    longest = max(map(len, mels))
    mel = torch.zeros(len(mels), longest, features.n_mels)
    attention = torch.zeros(len(mels), longest, batch.tokens.shape[1])
    for row, (one, weights) in enumerate(zip(mels, attentions, strict=True)):
        mel[row, : len(one)] = torch.from_numpy(np.array(one, np.float32))
        attention[row, : weights.shape[0], : weights.shape[1]] = weights
    steps = torch.tensor([len(one) for one in mels])
    output = Tacotron2Output(mel, mel, torch.zeros(len(mels), longest), attention, steps)
    speech = Speech(output, batch, frame_limit(features, batch.token_lengths), 1)
    return measure(speech, features, Recordings(features))


def recordings(features: Features) -> list[Array]:
    return [np.array(features.mel(clip), np.float32) for clip in features.validation[:CLIPS]]


def diagonals(features: Features, mels: Sequence[Array]) -> list[Tensor]:
    return [diagonal(len(mel), len(features.tokens(c))) for mel, c in zip(mels, features.validation, strict=False)]


def hum(features: Features, frames: Sequence[int]) -> list[Array]:
    mean = np.concatenate([features.mel(clip) for clip in features.train]).mean(0, dtype=np.float64)
    return [np.repeat(mean[None].astype(np.float32), count, 0) for count in frames]


def test_the_recordings_themselves_are_good(demo_features: Features) -> None:
    mels = recordings(demo_features)
    sentences = spoken(demo_features, mels, diagonals(demo_features, mels))
    assert all(s.mcd < 0.5 and s.rank == 1 and not s.failed and s.variance == pytest.approx(1, 0.01) for s in sentences)
    assert all(s.skipped == 0 and s.repeats == 0 and s.recognised == 1 for s in sentences)
    assert heard(summary(sentences), prefix="") is Heard.GOOD


def test_a_hum_with_a_diagonal_is_called_one(demo_features: Features) -> None:
    mels = hum(demo_features, [len(mel) for mel in recordings(demo_features)])
    sentences = spoken(demo_features, mels, diagonals(demo_features, mels))
    figures = summary(sentences)
    assert figures["alignment"] > 0.9
    assert figures["failed"] == 0
    assert figures["variance"] == pytest.approx(0, abs=1e-5)
    assert figures["recognised"] < 0.2
    assert figures["mcd"] == pytest.approx(figures["hum_mcd"], rel=0.02)
    assert heard(figures, prefix="") is Heard.HUM


def test_a_hum_without_end_is_mute_and_not_nearer_for_its_length(demo_features: Features) -> None:
    limits = frame_limit(demo_features, torch.tensor([len(demo_features.tokens(c)) for c in demo_features.validation]))
    mels = hum(demo_features, limits[:CLIPS].tolist())
    stuck = [torch.nn.functional.one_hot(torch.zeros(len(mel), dtype=torch.long), 12).float() for mel in mels]
    sentences = spoken(demo_features, mels, stuck)
    figures = summary(sentences)
    assert all(s.endless and s.skipped > 0.5 for s in sentences)
    assert figures["mcd"] == pytest.approx(figures["hum_mcd"], rel=0.02)
    assert heard(figures, prefix="") is Heard.MUTE


def test_another_sentence_is_recognised_as_another(demo_features: Features) -> None:
    others = Recordings(demo_features)
    mels = [
        np.array(demo_features.mel(others.others(clip)[0]), np.float32) for clip in demo_features.validation[:CLIPS]
    ]
    sentences = spoken(demo_features, mels, diagonals(demo_features, mels))
    assert all(s.rank > 1 and s.margin == pytest.approx(-1, abs=0.1) for s in sentences)
    assert summary(sentences)["recognised"] < 0.2


def test_nothing_is_recognised_where_there_is_nothing_to_mistake_it_for() -> None:
    own = np.zeros((90, 16), np.float32)
    assert np.isnan(recognised(own, own, []))


def test_cut_skipped_and_repeated_sentences_are_counted(demo_features: Features) -> None:
    mel, *_ = recordings(demo_features)
    tokens = len(demo_features.tokens(demo_features.validation[0]))
    half, whole = len(mel) // 2, len(mel)
    straight = diagonal(whole, tokens)
    back = torch.cat([straight[: half + 20], straight[half - 40 :]])[:whole]
    cut, repeating = (spoken(demo_features, [m], [a])[0] for m, a in ((mel[:half], straight[:half]), (mel, back)))
    assert cut.cut
    assert cut.failed
    assert cut.skipped == pytest.approx(0.5, abs=0.15)
    assert cut.distance == max(cut.mcd, cut.hum_mcd)
    assert repeating.repeats == 1


def test_a_mel_that_is_no_sound_counts_as_a_hum(demo_features: Features) -> None:
    mel, *_ = recordings(demo_features)
    for wrong in (np.nan, np.inf, 1e20):
        figures = summary(spoken(demo_features, [np.full_like(mel, wrong)], diagonals(demo_features, [mel])))
        assert figures["mcd"] == pytest.approx(figures["hum_mcd"], rel=1e-3)
        assert figures["variance"] == 0
        assert heard(figures, prefix="") is Heard.HUM


def test_an_evaluation_is_repeatable_and_leaves_the_random_state_alone(features: Features) -> None:
    evaluator = Evaluator(features, features.validation, small_config(Path("unused")).audio, CPU, SHARE)
    model = small_model()
    before = torch.get_rng_state()
    first, second = (evaluator.evaluate(model) for _ in range(2))
    assert first.figures == pytest.approx(second.figures, nan_ok=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_evaluations_at_reports_take_a_bounded_share_and_the_last_report_has_one(features: Features) -> None:
    evaluator = Evaluator(features, features.validation, small_config(Path("unused")).audio, CPU, SHARE)
    spoken = sum(int(features.frames[clip]) for clip in features.validation)
    half = spoken * COST["cpu"] / SHARE / 2  # frames between two reports such that every second one can be afforded
    for frames, expected in ((10**7, 10), (2 * half, 10), (half, 5), (1, 1)):
        due = [evaluator.is_due(report, frames, is_last=report == 10) for report in range(1, 11)]
        assert sum(due) == expected
        assert due[-1]


def test_a_larger_share_of_the_time_pays_for_more_evaluations(features: Features) -> None:
    audio = small_config(Path("unused")).audio
    half = sum(int(features.frames[clip]) for clip in features.validation) * COST["cpu"] / SHARE / 2
    for share, expected in ((SHARE, 5), (2 * SHARE, 10), (1.0, 10)):
        evaluator = Evaluator(features, features.validation, audio, CPU, share)
        assert sum(evaluator.is_due(report, half, is_last=report == 10) for report in range(1, 11)) == expected
