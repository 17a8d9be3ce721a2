"""Free-running synthesis: whether it ends, how long it may last, and which sentences are shown."""

from pathlib import Path

import pytest
import torch
from random_features import random_features
from short_run import CPU, FLOOR, small_config, small_model

from trainer.data.features import Features
from trainer.evaluation.sentences import Recordings, measure, summary
from trainer.evaluation.speech import frame_limit, speak
from trainer.previews import choose_sentences

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("gate_bias", "reached_limit", "stopped_early"), [(-20.0, 1.0, 0.0), (20.0, 0.0, 1.0)])
def test_figures_show_whether_sentences_end(
    features: Features, gate_bias: float, reached_limit: float, stopped_early: float
) -> None:
    model = small_model()
    with torch.no_grad():
        model.decoder.gate.weight.zero_()
        model.decoder.gate.bias.fill_(gate_bias)
    speech = speak(model, features, features.validation, FLOOR, CPU)
    figures = summary(measure(speech, features, Recordings(features)))
    assert figures["reached_limit"] == reached_limit
    assert figures["stopped_early"] == stopped_early
    assert figures["failed"] == 1
    assert figures["distance"] >= figures["hum_mcd"]
    frames = speech.output.steps * model.reduction
    true = speech.batch.mel_lengths
    assert figures["duration_error"] == pytest.approx(((frames - true).abs() / true).mean().item())
    assert speech.shown(1).mel.shape == (int(frames[1]), features.n_mels)


def test_the_limit_follows_the_speed_of_the_corpus(features: Features) -> None:
    per_token = sum(int(features.frames[i]) for i in features.train) / sum(
        len(features.tokens(i)) for i in features.train
    )
    assert frame_limit(features, torch.tensor([0, 10])).tolist() == [40, int(40 + 20 * per_token)]


def test_a_short_a_middle_and_a_long_sentence_are_shown_or_fewer_of_a_small_corpus() -> None:
    features = random_features(small_config(Path("unused")), 200, 0.2, seed=5)  # ten for validation
    chosen = choose_sentences(features, 0)
    assert list(chosen) == ["short", "middle", "long"]
    frames = sorted(features.frames[features.validation])
    assert [features.frames[clip] for clip in chosen.values()] == [frames[0], frames[5], frames[-1]]
    assert set(choose_sentences(features, 4).values()) <= set(features.validation[:4])
    assert list(choose_sentences(features, 2)) == ["short", "middle"]
    assert list(choose_sentences(features, 1)) == ["middle"]
