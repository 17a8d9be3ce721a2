"""The listener of English, and how its errors are counted."""

import numpy as np
import pytest

from trainer.audio import griffin_lim
from trainer.config import AudioConfig
from trainer.data.features import Features
from trainer.evaluation.listener import Listener, WordErrors

pytest.importorskip("jiwer", reason="pip install 'smart-tuner[listener]'")


@pytest.mark.parametrize(
    ("heard", "wrong"),
    [("the driver noticed a rope", 0), ("the diver noticed rope today", 3), ("", 5)],
)
def test_words_in_place_of_others_missing_and_added_ones_are_wrong(
    monkeypatch: pytest.MonkeyPatch, heard: str, wrong: int
) -> None:
    monkeypatch.setattr(Listener, "__init__", lambda self: None)
    monkeypatch.setattr(Listener, "_hear", lambda self, sound, sample_rate: heard)
    silence = np.zeros(10, np.float32)
    assert Listener().errors(silence, 22050, 'the driver noticed a "rope"!') == WordErrors(wrong, 5)
    assert Listener().errors(silence, 22050, "...") is None


@pytest.mark.slow
def test_a_spoken_sentence_is_understood_in_parts_and_silence_not_at_all(demo_features: Features) -> None:
    pytest.importorskip("pocketsphinx", reason="pip install 'smart-tuner[listener]'")
    ears, audio = Listener(), AudioConfig()
    clips = demo_features.validation
    sounds = [griffin_lim(demo_features.mel(clip), audio) for clip in clips]
    errors = [ears.errors(s, audio.sample_rate, demo_features.text(c)) for s, c in zip(sounds, clips, strict=True)]
    assert 0 < sum(e.wrong for e in errors if e) < sum(e.words for e in errors if e)
    silence = ears.errors(np.zeros(22050, np.float32), 22050, "good morning")
    assert silence == WordErrors(2, 2)
    again = ears.errors(sounds[0], audio.sample_rate, demo_features.text(clips[0]))
    assert again == errors[0]
