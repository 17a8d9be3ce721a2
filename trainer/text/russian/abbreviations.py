"""Abbreviations: т. е., и т. д., до н. э., ул., г-н, стр. 5, см. and others.

What has several meanings, or is also a word, is expanded only where its neighbours say which: "д. 5" is a house,
"г. Москва" a town, "театр им. Чехова" has a name, and in "дал им. Она" the word is a pronoun. Does not cover initials
(А. С. Пушкин).
"""

import re
from collections.abc import Mapping

from trainer.text.expansion import ExpansionKind, Rule, full_stop, rule
from trainer.text.russian.agreement import is_name_in_genitive, word_before

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
    r"пл\.(?=\s(?-i:[А-ЯЁ]))": "площадь",
    r"пер\.(?=\s(?-i:[А-ЯЁ]))|(?<=[иоы]й )пер\.": "переулок",
    r"пер\.(?=\sсо? )": "перевод",
    r"обл\.": "область",
    r"р-н(?![а-яё])": "район",
    r"кол-во(?![а-яё])": "количество",
    r"проф\.": "профессор",
    r"акад\.": "академик",
    r"тел\.(?=:?\s?[+(]?[0-9])": "телефон",
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
_LETTERS = ("Д", "П", "Т")  # of a name, except where a text begins
_WORDS = ("рис",)  # "Он ест рис. 5 человек ушли."
_REFERENCE = re.compile(r"(?:^|[(;:,-] ?|(?<![а-яё])(?:см\.|смотри|на|в|во|из|к|по|под|и) )$", re.IGNORECASE)
_LONGEST_WORD = 40  # characters
_YEARS = re.compile(rf"{_START}гг\.", re.IGNORECASE)
_DECADE = re.compile(r"[0-9–—-]+-(?P<ending>[а-яё]+)\s$", re.IGNORECASE)
_TOWN = re.compile(rf"{_START}(?<![0-9])(?<![0-9][ \u00a0])г\.{_S}(?=[А-ЯЁ])")
_NAMED_AFTER = re.compile(rf"{_START}им\.{_S}(?=(?P<initials>(?:[А-ЯЁ]\.{_S})+)?(?P<name>[А-ЯЁа-яё]+|[0-9\"]))")


def _phrase(pattern: str, spoken: str) -> Rule:
    def speak(match: re.Match[str]) -> str:
        return spoken + (full_stop(match) if match[0].endswith(".") else "")

    return rule(ExpansionKind.ABBREVIATION, re.compile(_START + pattern, re.IGNORECASE), speak)


def _numbered(match: re.Match[str]) -> str | None:
    before = match.string[max(0, match.start() - _LONGEST_WORD) : match.start()]
    ambiguous = match["name"] in _LETTERS or match["name"].lower() in _WORDS
    return None if ambiguous and not _REFERENCE.search(before) else _BEFORE_A_NUMBER[match["name"].lower()]


def _named_after(match: re.Match[str]) -> str | None:
    name = match["name"]
    return "имени" if match["initials"] or not name[0].isalpha() or is_name_in_genitive(name) else None


def _years(match: re.Match[str]) -> str:
    """After a decade, in its case: в 1970-х гг. Other years are in `trainer.text.russian.years`."""
    begins = max(0, match.start() - _LONGEST_WORD)
    decade = _DECADE.search(match.string, begins, match.start())
    ending = decade["ending"].lower() if decade else ""
    before = word_before(match.string, decade.start()) if decade else ""
    words = {"х": "годах" if before in ("в", "во", "о", "об", "на") else "годов", "м": "годам", "ми": "годами"}
    return words.get(ending, "годы") + full_stop(match, before_capital=True)


def _town(match: re.Match[str]) -> str:
    return "городе" if word_before(match.string, match.start()) in ("в", "во") else "город"


RULES: tuple[Rule, ...] = (
    *(_phrase(pattern, spoken) for pattern, spoken in _PHRASES.items()),
    rule(ExpansionKind.ABBREVIATION, _NUMBERED, _numbered),
    rule(ExpansionKind.ABBREVIATION, _YEARS, _years),
    rule(ExpansionKind.ABBREVIATION, _TOWN, _town),
    rule(ExpansionKind.ABBREVIATION, _NAMED_AFTER, _named_after),
)
