"""Abbreviations: т. е., и т. д., до н. э., ул., г-н, стр. 5, см. and others.

What has several meanings is expanded only where its neighbours say which: "д. 5" is a house, "г. Москва" a town. Does
not cover initials (А. С. Пушкин).
"""

import re
from collections.abc import Mapping

from trainer.text.expansion import ExpansionKind, Rule, full_stop, rule
from trainer.text.russian.agreement import word_before

_S = "[ \u00a0]?"
_START = "(?<![A-Za-zА-Яа-яЁё\u0301])"  # a digit may stand before it

_PHRASES: Mapping[str, str] = {
    rf"и{_S} т\.{_S}д\.": "и так далее",
    rf"т\.{_S}е\.": "то есть",
    rf"т\.{_S}к\.": "так как",
    rf"т\.{_S}н\.": "так называемый",
    rf"в{_S} т\.{_S}ч\.": "в том числе",
    rf"т\.{_S}о\.": "таким образом",
    rf"и{_S} т\.{_S}п\.": "и тому подобное",
    rf"до{_S} н\.{_S}э\.": "до нашей эры",
    rf"н\.{_S}э\.": "нашей эры",
    r"и др\.": "и другие",
    r"и пр\.": "и прочее",
    r"см\.": "смотри",
    r"напр\.": "например",
    r"ок\.(?=\s?\d)": "около",
    r"ул\.": "улица",
    r"пр-т(?![а-яё])": "проспект",
    r"пл\.(?=\s[А-ЯЁ])": "площадь",
    r"пер\.": "переулок",
    r"обл\.": "область",
    r"р-н(?![а-яё])": "район",
    r"кол-во(?![а-яё])": "количество",
    r"им\.": "имени",
    r"проф\.": "профессор",
    r"акад\.": "академик",
    r"гг\.": "годы",
    r"тел\.": "телефон",
    r"г-н(?![а-яё])": "господин",
    r"г-на(?![а-яё])": "господина",
    r"г-ну(?![а-яё])": "господину",
    r"г-жа(?![а-яё])": "госпожа",
    r"г-жи(?![а-яё])": "госпожи",
    r"г-жу(?![а-яё])": "госпожу",
    r"д-р(?![а-яё])": "доктор",
}
_BEFORE_A_NUMBER: Mapping[str, str] = {
    "д": "дом",
    "кв": "квартира",
    "корп": "корпус",
    "стр": "страница",
    "рис": "рисунок",
    "гл": "глава",
    "п": "пункт",
    "ст": "статья",
    "т": "том",
}
_NUMBERED = re.compile(rf"{_START}(?P<name>{'|'.join(_BEFORE_A_NUMBER)})\.{_S}(?=[0-9])", re.IGNORECASE)
_TOWN = re.compile(rf"{_START}г\.{_S}(?=[А-ЯЁ])")


def _phrase(pattern: str, spoken: str) -> Rule:
    def speak(match: re.Match[str]) -> str:
        return spoken + (full_stop(match) if match[0].endswith(".") else "")

    return rule(ExpansionKind.ABBREVIATION, re.compile(_START + pattern, re.IGNORECASE), speak)


def _numbered(match: re.Match[str]) -> str:
    return _BEFORE_A_NUMBER[match["name"].lower()]


def _town(match: re.Match[str]) -> str:
    return "городе" if word_before(match.string, match.start()) in ("в", "во") else "город"


RULES: tuple[Rule, ...] = (
    *(_phrase(pattern, spoken) for pattern, spoken in _PHRASES.items()),
    rule(ExpansionKind.ABBREVIATION, _NUMBERED, _numbered),
    rule(ExpansionKind.ABBREVIATION, _TOWN, _town),
)
