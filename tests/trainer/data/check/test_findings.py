"""What the measures of many clips show, of clips whose figures are given."""

from dataclasses import replace

import numpy as np
import pytest
from measured_clips import SETTINGS, SOUND, clip

from trainer.data.check.findings import Clip, find, speaking_rate
from trainer.data.check.limits import LIMITS, Kind


def kinds(*clips: Clip) -> dict[str, list[Kind]]:
    found: dict[str, list[Kind]] = {}
    for finding in find(clips, SETTINGS):
        found.setdefault(finding.id, []).append(finding.kind)
    return found


@pytest.mark.parametrize(
    ("kind", "figures"),
    [
        (Kind.CANCELLED, {"cancelled": LIMITS[Kind.CANCELLED].value, "channels": 2}),
        (Kind.CLIPPED, {"clipped": LIMITS[Kind.CLIPPED].value}),
        (Kind.NOISY, {"floor": SOUND.level - LIMITS[Kind.NOISY].value}),
        (Kind.INNER_SILENCE, {"inner": LIMITS[Kind.INNER_SILENCE].value}),
        (Kind.OFFSET, {"offset": LIMITS[Kind.OFFSET].value}),
        (Kind.TOO_LONG, {"seconds": 13.0, "kept": 12.1}),
        (Kind.LOW_RATE, {"sample_rate": 16000}),
        (Kind.EDGE_SILENCE, {"seconds": 3.0, "kept": 2.5, "lead": 0.6, "tail": 0.4}),
    ],
)
def test_a_figure_at_its_limit_is_a_finding(kind: Kind, figures: dict[str, object]) -> None:
    assert kinds(clip(0), clip(1, **figures), clip(2)) == {"c1": [kind]}


def test_words_in_another_alphabet_are_named_where_they_are() -> None:
    english = [clip(0), clip(1, "Он пошёл домой."), clip(2, "He is а farmer.")]
    found = [each for each in find(english, SETTINGS) if each.kind is Kind.OTHER_ALPHABET]
    assert [(each.origin, each.text) for each in found] == [
        ("metadata.csv:2", "its text has 'Он', 'пошёл', 'домой'"),
        ("metadata.csv:3", "its text has 'а' (U+0430 CYRILLIC SMALL LETTER A, which looks like 'a')"),
    ]
    russian = find([clip(1, "Он пошёл домой."), clip(2, "Он купил iPhone.")], replace(SETTINGS, language="ru"))
    assert Kind.OTHER_ALPHABET not in {each.kind for each in russian}


def test_a_clip_that_is_far_from_the_usual_level_is_found_and_one_that_is_hardly_heard_twice() -> None:
    found = kinds(clip(0), clip(1, level=-7.5), clip(2), clip(3, level=-50.0, floor=-90.0))
    assert found == {"c1": [Kind.UNLIKE_LEVEL], "c3": [Kind.QUIET, Kind.UNLIKE_LEVEL]}


def test_silence_that_is_trimmed_is_no_finding() -> None:
    assert kinds(clip(0, seconds=4.0, kept=2.05, lead=1.0, tail=1.0), clip(1)) == {}


def test_a_cut_is_found_among_clips_that_begin_softly_and_not_among_those_that_begin_at_once() -> None:
    soft = [clip(i, start=-40.0 - i % 5) for i in range(30)]
    sudden = [clip(i, start=-12.0 + i % 12) for i in range(30)]
    assert kinds(*soft, clip(30, start=-1.0)) == {"c30": [Kind.CUT]}
    assert kinds(*sudden) == {}


def test_noise_at_the_edge_is_no_cut_speech() -> None:
    soft = [clip(i) for i in range(30)]
    assert kinds(*soft, clip(30, start=-9.0, end=-9.0, floor=-30.0)) == {"c30": [Kind.NOISY]}


def spoken(number: int, symbols: int, seconds: float) -> Clip:
    text = (f"{number:03d}" + "x" * symbols)[:symbols]
    return clip(number, text, seconds=seconds, kept=seconds)


def people(count: int = 100, spread: float = 0.05) -> list[Clip]:
    """Clips of a speaker whose rate varies by `spread`; short texts take relatively longer."""
    rng = np.random.default_rng(7)
    lengths = rng.integers(15, 90, count)
    return [spoken(i, int(n), (0.3 + 0.06 * n) * float(rng.lognormal(0, spread))) for i, n in enumerate(lengths)]


def test_texts_that_do_not_fit_are_found_and_no_others() -> None:
    clips = [*people(), spoken(200, 60, 1.5), spoken(201, 20, 4.0)]
    assert kinds(*clips) == {"c200": [Kind.WRONG_TEXT], "c201": [Kind.WRONG_TEXT]}


def test_a_third_of_wrong_texts_does_not_move_the_rate() -> None:
    right = people()
    wrong = [spoken(200 + i, 80, 0.8) for i in range(45)]
    alone, spoiled = speaking_rate(right), speaking_rate([*right, *wrong])
    assert alone is not None
    assert spoiled is not None
    assert spoiled.per_symbol == pytest.approx(alone.per_symbol, rel=0.15)
    assert len(kinds(*right, *wrong)) == len(wrong)


def test_few_clips_and_texts_of_one_length_show_no_rate() -> None:
    assert speaking_rate(people(10)) is None
    assert speaking_rate([spoken(i, 30, 1.0 + i) for i in range(40)]) is None
    assert speaking_rate([]) is None
    assert find([], SETTINGS) == []


def test_an_uneven_speaker_has_fewer_outliers_than_an_even_one() -> None:
    odd = spoken(200, 40, 1.5 * (0.3 + 0.06 * 40))
    assert "c200" in kinds(*people(spread=0.03), odd)
    assert "c200" not in kinds(*people(spread=0.2), odd)


def test_one_audio_twice_is_found_and_with_another_text_it_is_worse() -> None:
    same = replace(clip(1, "number 0"), sound=clip(0).sound)
    first = clip(0, "number 0")
    other = replace(clip(2, "another text", validates=True), sound=clip(0).sound)
    assert kinds(first, same) == {"c1": [Kind.SAME_AUDIO]}
    (found,) = find([first, other], SETTINGS)
    assert found.kind is Kind.SAME_AUDIO_OTHER_TEXT
    assert "metadata.csv:1" in found.text
    assert "in the other split" in found.text
    assert "'number 0'" in found.text


def test_one_text_in_two_recordings_is_noted() -> None:
    assert kinds(clip(0, "the same"), clip(1, "the same"), clip(2)) == {"c1": [Kind.SAME_TEXT]}
