"""Both languages have the same fields, and nouns have the form that their number needs."""

import string

import pytest

from smart_tuner.notify import texts
from smart_tuner.notify.texts import ADVICE, VERDICTS, Text, duration, render
from trainer.evaluation.verdict import Heard

TRIALS = Text("{n:trial|trials}", "{n:испытание|испытания|испытаний}")
HEARD = {f"{heard} {kind}": table[heard] for heard in (None, *Heard) for kind, table in enumerate((VERDICTS, ADVICE))}
TABLES = {f"{name} constraint": text for name, text in texts.MISSED.items()} | texts.OBJECTIVES
ALL = {name: value for name, value in vars(texts).items() if isinstance(value, Text)} | HEARD | TABLES


@pytest.mark.parametrize(
    ("number", "english", "russian"),
    [
        (0, "0 trials", "0 испытаний"),
        (1, "1 trial", "1 испытание"),
        (2, "2 trials", "2 испытания"),
        (5, "5 trials", "5 испытаний"),
        (11, "11 trials", "11 испытаний"),
        (12, "12 trials", "12 испытаний"),
        (21, "21 trials", "21 испытание"),
        (104, "104 trials", "104 испытания"),
        (111, "111 trials", "111 испытаний"),
    ],
)
def test_a_noun_takes_the_form_of_its_number(number: int, english: str, russian: str) -> None:
    assert render("en", TRIALS, n=number) == english
    assert render("ru", TRIALS, n=number) == russian


@pytest.mark.parametrize("name", ALL)
def test_both_languages_have_the_same_fields(name: str) -> None:
    def fields(template: str) -> set[tuple[str, bool]]:
        return {(field, bool(form)) for _, field, form, _ in string.Formatter().parse(template) if field}

    text = ALL[name]
    assert fields(text.en) == fields(text.ru)
    forms = [form for template in (text.en, text.ru) for _, _, form, _ in string.Formatter().parse(template) if form]
    assert [len(form.split("|")) for form in forms] == [2] * (len(forms) // 2) + [3] * (len(forms) // 2)


def test_braces_in_a_value_are_kept() -> None:
    assert render("en", Text("{reason}", ""), reason="{a} %s *b* <c>") == "{a} %s *b* <c>"


def test_durations() -> None:
    assert duration("en", 59.6) == "1 min 0 s"
    assert duration("ru", 3 * 3600 + 59) == "3 ч 0 мин"
