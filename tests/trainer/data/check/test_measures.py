"""The figures of one recording, of sounds whose figures are known."""

import math

import numpy as np
import pytest
from spoken_corpus import RATE, speech

from trainer.data.check.measures import Samples, Sound, measure

CLEAN = speech("three seven twelve one")


def measured(samples: Samples, rate: int = RATE) -> Sound:
    channels = samples if samples.ndim == 2 else samples[None]
    return measure(np.ascontiguousarray(channels, dtype=np.float32), rate, channels.shape[1] / rate)


def test_level_and_noise_are_in_db_of_full_scale() -> None:
    sound = measured(CLEAN)
    quieter = measured(CLEAN / 10)
    assert sound.level == pytest.approx(-16, abs=3)
    assert sound.floor == pytest.approx(20 * math.log10(1e-4), abs=2)
    assert quieter.level == pytest.approx(sound.level - 20, abs=0.1)
    assert quieter.contrast == pytest.approx(sound.contrast, abs=0.1)


@pytest.mark.parametrize("below", [10, 20, 30])
def test_noise_is_found_as_far_below_the_speech_as_it_is(below: float) -> None:
    clean = measured(CLEAN)
    noise = 10 ** ((clean.level - below) / 20)
    noisy = CLEAN + np.random.default_rng(0).normal(0, noise, len(CLEAN)).astype(np.float32)
    assert measured(noisy).contrast == pytest.approx(below, abs=2)


def test_digital_silence_at_the_edges_does_not_hide_noise() -> None:
    noisy = CLEAN + np.random.default_rng(0).normal(0, 0.02, len(CLEAN)).astype(np.float32)
    padded = np.pad(noisy, RATE)
    assert measured(padded).contrast == pytest.approx(measured(noisy).contrast, abs=2)


def test_silences_are_measured_at_the_edges_and_inside() -> None:
    gap = np.random.default_rng(1).normal(0, 1e-4, round(1.5 * RATE)).astype(np.float32)
    sound = measured(np.concatenate([gap, CLEAN, gap, CLEAN, gap[: RATE // 2]]))
    assert sound.lead == pytest.approx(1.55, abs=0.05)
    assert sound.tail == pytest.approx(0.55, abs=0.05)
    assert sound.inner == pytest.approx(1.6, abs=0.05)
    assert sound.spoken == pytest.approx(2 * measured(CLEAN).spoken, abs=0.1)


def test_flat_tops_are_clipping_and_round_ones_are_not() -> None:
    assert measured(CLEAN).clipped == 0
    assert measured(np.clip(4 * CLEAN, -1, 1)).clipped > 0.01
    assert measured(np.clip(4 * CLEAN, -1, 1) / 4).clipped > 0.01  # made quieter after it was clipped
    slow = np.sin(2 * np.pi * 80 * np.arange(48_000) / 48_000).astype(np.float32)
    assert measured(slow, 48_000).clipped < 0.0005


def test_the_share_of_clipping_counts_runs_at_both_rails() -> None:
    samples = np.full(1000, 0.1, np.float32)
    samples[[5, 6]] = 0.5  # a run shorter than three
    samples[100:104] = 0.5
    samples[897:901] = 0.5
    samples[:3] = -0.4
    samples[997:] = -0.4
    assert measured(samples).clipped == (4 + 4 + 3 + 3) / 1000
    assert measured(-np.abs(samples)).clipped == (4 + 4) / 1000


def test_an_offset_is_measured_and_changes_no_other_figure() -> None:
    shifted = measured(CLEAN + np.float32(0.05))
    clean = measured(CLEAN)
    assert shifted.offset == pytest.approx(0.05, abs=0.002)
    assert clean.offset == 0
    assert (shifted.floor, shifted.lead) == (pytest.approx(clean.floor, abs=1), clean.lead)


@pytest.mark.parametrize(
    ("other", "lost"), [(CLEAN, 0), (0 * CLEAN, 3), (np.roll(CLEAN, RATE // 3), 3), (-0.9 * CLEAN, 26)]
)
def test_what_averaging_loses_shows_channels_that_cancel(other: Samples, lost: float) -> None:
    assert measured(np.stack([CLEAN, other])).cancelled == pytest.approx(lost, abs=1)


def test_speech_that_was_cut_begins_and_ends_loud() -> None:
    whole = measured(CLEAN)
    middle = len(CLEAN) // 2 // round(0.05 * RATE) * round(0.05 * RATE) + round(0.075 * RATE)
    cut = measured(CLEAN[middle:])
    assert whole.start < -20
    assert whole.end < -20
    assert cut.start > -6


def test_equal_audio_has_equal_content_in_another_width_and_with_other_edges() -> None:
    steps = np.round(CLEAN * 32767).astype(np.int16)
    narrow = (steps / 32768).astype(np.float32)
    assert measured(narrow).content == measured(np.pad(narrow, 500)).content
    assert measured(narrow).content == measured(np.stack([narrow, narrow])).content
    assert measured(narrow).content != measured(narrow[::-1].copy()).content


@pytest.mark.parametrize("samples", [np.zeros(RATE, np.float32), np.full(5, 0.1, np.float32), np.zeros(1, np.float32)])
def test_silent_and_very_short_recordings_have_finite_figures(samples: Samples) -> None:
    sound = measured(samples)
    numbers = [value for value in vars(sound).values() if isinstance(value, float)]
    assert all(map(math.isfinite, numbers))
