"""Texts and sounds that belong together, and some that do not, of a speaker whose every letter has its own sound."""

import numpy as np
import pytest
from measured_clips import SETTINGS, clip

from trainer.data.check import agreement
from trainer.data.check.findings import find
from trainer.data.check.limits import LIMITS, OTHER_TEXT_DEVIATIONS, Kind

CLIPS = 400
LETTERS = "abcdefghijklmnopqrst "
FIGURES = 48


class Speaker:
    """Each letter has shares of loud bands and a duration; clips vary by `spread`."""

    def __init__(self, clips: int = CLIPS, spread: float = 0.03) -> None:
        rng = np.random.default_rng(3)
        lengths = rng.integers(30, 60, clips)
        self.texts = ["".join(rng.choice(list(LETTERS), length)) for length in lengths]
        sounds = rng.uniform(0, 1, (len(LETTERS), FIGURES))
        durations = rng.uniform(0.03, 0.12, len(LETTERS))
        letters = [[LETTERS.index(letter) for letter in text] for text in self.texts]
        means = np.stack([sounds[each].mean(axis=0) for each in letters])
        self.bands = (means + rng.normal(0, spread, means.shape)).astype(np.float32)
        self.seconds = np.array([durations[each].sum() * rng.lognormal(0, 0.05) for each in letters])

    def exchange(self, pairs: list[tuple[int, int]]) -> set[int]:
        for one, other in pairs:
            self.texts[one], self.texts[other] = self.texts[other], self.texts[one]
        return {number for pair in pairs for number in pair}

    def doubtful(self) -> set[int] | None:
        found = agreement.agreement(self.texts, self.bands, self.seconds)
        if found is None:
            return None
        far = found.deviations >= OTHER_TEXT_DEVIATIONS
        return set(np.flatnonzero(far & (100 * found.better >= LIMITS[Kind.OTHER_TEXT].value)).tolist())


def test_exchanged_texts_are_found_and_no_others() -> None:
    speaker = Speaker()
    wrong = speaker.exchange([(i, 200 + i) for i in range(0, 40, 4)])
    found = speaker.doubtful()
    assert found is not None
    assert len(found & wrong) >= 0.9 * len(wrong)
    assert len(found - wrong) <= 0.005 * CLIPS


def test_right_texts_are_not_doubted() -> None:
    found = Speaker().doubtful()
    assert found is not None
    assert len(found) <= 0.005 * CLIPS


def test_an_odd_recording_with_its_own_text_is_not_doubted() -> None:
    speaker = Speaker()
    speaker.bands[:5] += np.linspace(0.04, 0.1, FIGURES, dtype=np.float32)
    found = agreement.agreement(speaker.texts, speaker.bands, speaker.seconds)
    assert found is not None
    assert (found.deviations[:5] > OTHER_TEXT_DEVIATIONS).all()
    assert (found.better[:5] < 0.05).all()


def test_nothing_is_said_of_few_clips_or_where_texts_do_not_foretell_the_sound() -> None:
    assert Speaker(agreement.LEAST_CLIPS - 1).doubtful() is None
    assert Speaker(spread=0.4).doubtful() is None


@pytest.mark.parametrize("fitted", [300, 4000])
def test_clips_beyond_those_that_are_fitted_are_judged_too(monkeypatch: pytest.MonkeyPatch, fitted: int) -> None:
    monkeypatch.setattr(agreement, "_FITTED", fitted)
    speaker = Speaker()
    wrong = speaker.exchange([(i, 200 + i) for i in range(0, 40, 4)])
    found = speaker.doubtful()
    assert found is not None
    assert len(found & wrong) >= 0.8 * len(wrong)


def test_a_doubtful_text_is_one_finding() -> None:
    speaker = Speaker()
    speaker.exchange([(10, 210)])
    clips = [
        clip(number, text, bands=bands, seconds=float(seconds), kept=float(seconds))
        for number, (text, bands, seconds) in enumerate(zip(speaker.texts, speaker.bands, speaker.seconds, strict=True))
    ]
    found = {finding.id: finding for finding in find(clips, SETTINGS)}
    assert found["c10"].kind is Kind.OTHER_TEXT
    assert "of the texts of like length fit its sound as well as its own does" in found["c10"].text
