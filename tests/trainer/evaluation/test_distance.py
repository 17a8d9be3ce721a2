"""The distance of an utterance to a recording: its scale, its path, and what cannot gain from it."""

import numpy as np
import pytest

from trainer.evaluation.distance import Array, mcd, mel_cepstra, path


def smooth(frames: int, seed: int) -> Array:
    """(frames, 80) a log-mel that moves slowly."""
    random = np.random.default_rng(seed)
    points = random.normal(-5, 2, (2 + frames // 8, 80)).astype(np.float32)
    at = np.linspace(0, len(points) - 1, frames)
    below = np.minimum(at.astype(int), len(points) - 2)
    share = (at - below)[:, None].astype(np.float32)
    return points[below] * (1 - share) + points[below + 1] * share


def cepstra(frames: int, seed: int) -> Array:
    return mel_cepstra(smooth(frames, seed))


def test_a_difference_of_one_cosine_is_its_root_mean_square_in_decibel() -> None:
    wave = np.cos(3 * np.pi / 80 * (np.arange(80) + 0.5))
    recorded = smooth(50, 1)
    louder = recorded + 0.1 * wave.astype(np.float32)
    decibel = 20 / np.log(10) * 0.1 / np.sqrt(2)
    assert mcd(mel_cepstra(louder), [mel_cepstra(recorded)]).item() == pytest.approx(decibel, rel=1e-3)


def test_loudness_and_speed_count_for_little_and_another_sentence_for_much() -> None:
    recorded = smooth(120, 2)
    assert mcd(mel_cepstra(recorded + 1), [mel_cepstra(recorded)]).item() == pytest.approx(0, abs=1e-2)
    slower = recorded[np.linspace(0, 119, 170).round().astype(int)]
    distances = mcd(mel_cepstra(slower), [mel_cepstra(recorded), cepstra(120, 3), cepstra(110, 4)])
    assert distances[0] < 0.2 * distances[1:].min()


def test_a_hum_gains_nothing_by_lasting_longer() -> None:
    recorded = cepstra(100, 5)
    hum = recorded.mean(0, keepdims=True)
    at_length = mcd(np.repeat(hum, 100, 0), [recorded]).item()
    for frames in (150, 199, 1000):
        assert mcd(np.repeat(hum, frames, 0), [recorded]).item() == pytest.approx(at_length, rel=1e-4)


def test_what_is_missing_counts_as_silence() -> None:
    recorded = cepstra(100, 6)
    silence = np.zeros((20, recorded.shape[1]), np.float32)
    cut = mcd(recorded[:30], [recorded]).item()
    assert cut == pytest.approx(mcd(np.concatenate([recorded[:30], silence]), [recorded]).item(), rel=1e-5)
    assert cut > 1 > mcd(recorded, [recorded]).item()


def test_the_path_is_the_best_of_all_that_are_allowed() -> None:
    """Compared with a search over all paths, on lengths where there are few."""
    for spoken_frames, recorded_frames in ((4, 6), (6, 4), (5, 5), (7, 4), (1, 1), (2, 1)):
        spoken, recorded = cepstra(spoken_frames, 7), cepstra(recorded_frames, 8)
        spoken = spoken[: 2 * recorded_frames - 1]
        costs = 10 / np.log(10) * np.sqrt(2) * np.linalg.norm(recorded[:, None] - spoken[None], axis=2)

        def best(row: int, column: int, may_stay: bool, costs: Array = costs) -> float:
            if row == 0:
                return float(costs[0, 0]) if column == 0 else np.inf
            steps = ([0] if may_stay else []) + [1, 2]
            arrivals = (best(row - 1, column - step, step > 0) for step in steps if column >= step)
            before = min(arrivals, default=np.inf)
            return float(costs[row, column]) + before

        expected = best(recorded_frames - 1, len(spoken) - 1, True) / recorded_frames
        assert mcd(spoken, [recorded]).item() == pytest.approx(expected, rel=1e-4)


def test_the_path_finds_the_place_of_each_recorded_frame() -> None:
    recorded = cepstra(120, 2)
    at = np.linspace(0, 119, 170).round().astype(int)
    frames = path(recorded[at], recorded)
    assert (np.diff(frames) >= 0).all()
    assert np.abs(at[frames] - np.arange(120)).max() <= 1
    assert mcd(recorded[at], [recorded]).item() == pytest.approx(
        (10 / np.log(10) * np.sqrt(2) * np.linalg.norm(recorded[at][frames] - recorded, axis=1)).mean(), abs=1e-3
    )


def test_each_of_several_recordings_is_compared_as_if_it_were_alone() -> None:
    spoken = cepstra(60, 9)
    recorded = [cepstra(frames, frames) for frames in (20, 61, 45, 140)]
    together = mcd(spoken, recorded)
    assert together == pytest.approx([mcd(spoken, [one]).item() for one in recorded], rel=1e-5)
