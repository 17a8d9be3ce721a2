"""Roman numerals in capital letters: Пётр I is "пётр первый", II мировая "вторая мировая", глава IV "глава четвёртая".

An ordinal in the case and gender of the name or the counted noun before it, else of the noun after it. Centuries are
in `trainer.text.russian.years`. A single letter without such a neighbour is left as it is.
"""

import re

from trainer.text.expansion import ExpansionKind, Rule, rule
from trainer.text.roman import arabic
from trainer.text.russian.agreement import Form, form_of, is_name, prepositional_case, word_before
from trainer.text.spelling import cardinal, ordinal

_ROMAN = re.compile(r"(?<![\w.'+])(?P<roman>[IVXLХ]{1,12})(?![\w'+])")
_BEFORE = re.compile(r"([А-Яа-яЁё]+)[ \u00a0]$")
_AFTER = re.compile(r"[ \u00a0]([А-Яа-яЁё]+)")
_LONGEST_WORD = 40  # characters
_COUNTED = re.compile(
    r"(?:акт|глав|групп|действи|категори|класс|книг|раздел|сезон|степен|стать|сцен|тип|том|част|этап|фаз)[а-яё]{0,3}",
    re.IGNORECASE,
)


def _roman(match: re.Match[str]) -> str | None:
    number = arabic(match["roman"].replace("Х", "X"))
    if number is None or match["roman"] == "Х":
        return None
    form = _form(match)
    if form:
        return ordinal(number, "ru", **form.of_ordinal())
    alone = len(match["roman"]) > 1 and "L" not in match["roman"]
    return cardinal(str(number), "ru") if alone else None


def _form(match: re.Match[str]) -> Form | None:
    before = _BEFORE.search(match.string[max(0, match.start() - _LONGEST_WORD) : match.start()])
    if before and ((before[1][0].isupper() and is_name(before[1])) or _COUNTED.fullmatch(before[1])):
        start = match.start() - len(before[0])
        return form_of(before[1], prepositional_case(word_before(match.string, start)))
    after = _AFTER.match(match.string, match.end())
    return form_of(after[1], prepositional_case(word_before(match.string, match.start()))) if after else None


RULES: tuple[Rule, ...] = (rule(ExpansionKind.ORDINAL, _ROMAN, _roman),)
