"""Case and gender of a Russian numeral, by the noun after it and the preposition before it.

The noun's forms come from pymorphy3. Where they leave a choice, the nominative is taken.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

GENITIVE = frozenset(
    (
        "у",
        "от",
        "до",
        "из",
        "без",
        "для",
        "около",
        "после",
        "кроме",
        "против",
        "вокруг",
        "среди",
        "более",
        "менее",
        "свыше",
        "больше",
        "меньше",
    )
)
DATIVE = frozenset(("к", "ко", "благодаря", "согласно"))
PREPOSITIONAL = frozenset(("о", "об", "при"))
SINCE = frozenset(("с", "со"))  # genitive, or with the instrumental "together with"
FROM = "от"  # a word of the genitive, for "с" where it means the same
INSTRUMENTAL = frozenset(("между", "над", "перед"))

_CASES: Mapping[str, str] = {"nomn": "n", "gent": "g", "datv": "d", "accs": "a", "ablt": "i", "loct": "p"}
_NAMES: Mapping[str, str] = {ours: name for name, ours in _CASES.items()}
_GENDERS: Mapping[str, str] = {"masc": "m", "femn": "f", "neut": "n"}
_ADJECTIVES = ("ADJF", "PRTF")
_LIKELY = 3  # parses of a word that are looked at
_BETWEEN = 2  # words that may stand between a numeral and its noun
_WORD = re.compile(r"[ \u00a0]([а-яё]+)", re.IGNORECASE)
_COUNT_FORMS: Mapping[str, str] = {"вольтов": "вольт", "киловольтов": "киловольт"}
_HOURS = frozenset(("утра", "дня", "вечера", "ночи"))  # of the day: nothing that is counted
_UNTIL = re.compile(
    r"(?:[ \u00a0]?(?:[а-яё]+\.?|[%$€₽]|°[CС]?)){0,2}[ \u00a0](?:до[ \u00a0]\S|по[ \u00a0][$€£]?\d)",
    re.IGNORECASE | re.ASCII,
)
_BEFORE = re.compile(r"([а-яё]+)(?<!ок)[ \u00a0](?:[«\"(])?$|(?<![а-яё])ок\.[ \u00a0]?$", re.IGNORECASE)


@dataclass(frozen=True)
class Form:
    """As num2words names them."""

    case: str = "n"
    gender: str = "m"
    animate: bool = False
    plural: bool = False

    def words(self) -> dict[str, object]:
        return {"case": self.case, "gender": self.gender, "animate": self.animate}

    def of_ordinal(self) -> dict[str, object]:
        return {**self.words(), "plural": self.plural}


def word_before(text: str, start: int) -> str:
    """In lower case; empty where none is there."""
    found = _BEFORE.search(text[max(0, start - 40) : start])
    return (found[1] or "около").lower() if found else ""


def governing(text: str, start: int, end: int) -> str:
    """The word before what begins at `start` and ends at `end`; `FROM` for "с" where "до", or "по" and a
    number, follow.
    """
    before = word_before(text, start)
    return FROM if before in SINCE and _UNTIL.match(text, end) else before


def is_name_in_genitive(word: str) -> bool:
    return any(tag.case == "gent" and ("Name" in tag or "Surn" in tag) for tag in _parsed(word.lower()))


def is_noun(word: str) -> bool:
    return bool(word) and _parsed(word)[0].POS == "NOUN"


def fitting(text: str, end: int, forms: Sequence[Form]) -> Form:
    """The first of `forms` in which an adjective or noun that follows may stand, else the first of all."""
    found = _WORD.match(text, end)
    tags = _parsed(found[1].lower())[:_LIKELY] if found else []
    for tag in (tag for tag in tags if tag.POS in ("NOUN", *_ADJECTIVES)):
        for form in forms:
            same_gender = form.plural or tag.gender is None or _GENDERS.get(tag.gender) == form.gender
            if _CASES.get(tag.case) == form.case and (tag.number == "plur") == form.plural and same_gender:
                return form
    return forms[0]


def has_genitive(word: str) -> bool:
    """Whether it may be a noun in the genitive."""
    return any(tag.POS == "NOUN" and tag.case == "gent" for tag in _parsed(word.lower()))


def form(number: int, text: str, start: int, end: int) -> Form:
    """Of the numeral that is written in digits from `start` to `end`."""
    before = governing(text, start, end)
    noun = _noun_after(text, end)
    if noun in _HOURS and (number > 4 or before in ("в", "во", *SINCE) or _by_preposition(before)):
        noun = ""
        before = FROM if before in SINCE else before
    forms = _forms(noun) if noun else []
    if number % 10 == 1 and number % 100 != 11:
        return _of_one(forms, before)
    if number % 10 in (2, 3, 4) and number % 100 not in (12, 13, 14):
        return _of_few(forms, before)
    return Form(_oblique(forms, before) or "n")


def prepositional_case(before: str) -> str | None:
    """Of what follows the word `before`, where that is a preposition with one usual case."""
    if before in ("в", "во", "на"):
        return "p"
    return "g" if before in SINCE else _by_preposition(before)


def is_name(word: str) -> bool:
    return any("Name" in tag for tag in _parsed(word.lower()))


def form_of(word: str, wanted: str | None) -> Form | None:
    """Of an ordinal beside a noun or an adjective; wanted: the case, where the word may have several. None for other
    words.
    """
    parsed = _parsed(word.lower())
    if parsed[0].POS not in ("NOUN", *_ADJECTIVES):
        return None
    declined = [tag for tag in parsed if tag.POS in ("NOUN", *_ADJECTIVES) and tag.case in _CASES]
    names = [tag for tag in declined if "Name" in tag and tag.number == "sing"] if word[:1].isupper() else []
    rulers = [tag for tag in names if tag.gender == "masc"] or names  # Карла is a woman's name, too
    things = [tag for tag in declined if "Name" not in tag and (tag.gender or tag.number == "plur")]  # глава: no person
    singular = [tag for tag in things if tag.number == "sing"]
    chosen = rulers or singular or things or declined
    fitting = [tag for tag in chosen if _CASES[tag.case] == wanted]
    nominative = [tag for tag in chosen if tag.case == "nomn"] if chosen is not rulers else []
    tag = next(iter(fitting or nominative or chosen), None)
    if tag is None:
        return None
    animate = tag.animacy == "anim"
    return Form(_CASES[tag.case], _GENDERS.get(tag.gender or "", "m"), animate, tag.number == "plur")


def counted(phrase: str, number: int, case: str) -> tuple[str, str]:
    """phrase: what is counted, nominative, such as "квадратный метр" or "километр в час". -> it in the form that
    `number` asks for in `case`, and the gender of the numeral.
    """
    head, preposition, rest = phrase.partition(" в ")
    one = number % 10 == 1 and number % 100 != 11
    *adjectives, noun = head.split()
    parsed = [*(_nominative(word, "ADJF") for word in adjectives), _nominative(noun, "NOUN")]
    gender = _GENDERS.get(parsed[-1].tag.gender or "", "m")
    if case == "n" or (case == "a" and not one):
        words = [_beside_number(word, number).word for word in parsed]
    else:
        grammemes = {_NAMES[case], "sing" if one else "plur"}
        words = [word.inflect(grammemes).word for word in parsed]
    return " ".join(_COUNT_FORMS.get(word, word) for word in words) + preposition + rest, gender


def _beside_number(word: Any, number: int) -> Any:
    """две столовые ложки: pymorphy3 has no such rule for a feminine adjective."""
    few = number % 10 in (2, 3, 4) and number % 100 not in (12, 13, 14)
    if few and word.tag.POS == "ADJF" and word.tag.gender == "femn":
        return word.inflect({"plur", "nomn"})
    return word.make_agree_with_number(number)


@lru_cache(maxsize=256)
def _nominative(word: str, part: str) -> Any:
    return next(each for each in _analyser().parse(word) if part == each.tag.POS and each.tag.case == "nomn")


def _of_one(forms: list[Any], before: str) -> Form:
    """The noun is singular, and in the numeral's case: один стол, одну книгу."""
    singular = [each for each in forms if each.number == "sing" and each.case in _CASES]
    if not singular:
        return Form(_by_preposition(before) or "n")
    nominative = [each for each in singular if each.case == "nomn"]
    wanted = _by_preposition(before)
    fitting = [each for each in singular if _CASES[each.case] == wanted]
    chosen = (fitting or nominative or singular)[0]
    gender = _GENDERS.get(chosen.gender or "", "m")
    return Form(_CASES[chosen.case], gender, chosen.animacy == "anim")


def _of_few(forms: list[Any], before: str) -> Form:
    """The noun is singular and genitive (две книги), or plural and in the numeral's case (двумя книгами)."""
    for each in forms:
        if each.number == "sing" and each.case == "gent":
            return Form(gender=_GENDERS.get(each.gender or "", "m"))
    plural = [each for each in forms if each.number == "plur"]
    if any(each.case == "gent" for each in plural):
        return Form("g")
    return Form(_oblique(plural, before) or "n")


def _oblique(forms: list[Any], before: str) -> str | None:
    cases = {_CASES[each.case] for each in forms if each.number == "plur" and each.case in _CASES}
    wanted = _by_preposition(before)
    if before in SINCE and "g" in cases:
        return "g"
    if not cases or wanted in cases:
        return wanted
    return next((case for case in "dip" if case in cases and not cases & {"n", "g"}), None)


def _by_preposition(before: str) -> str | None:
    if before in GENITIVE:
        return "g"
    if before in DATIVE:
        return "d"
    return "p" if before in PREPOSITIONAL else None


def _noun_after(text: str, end: int) -> str:
    """The noun that follows, with adjectives before it skipped; empty where another word comes first."""
    at = end
    for _ in range(_BETWEEN + 1):
        found = _WORD.match(text, at)
        if not found:
            return ""
        parsed = _parsed(found[1].lower())
        if not parsed or parsed[0].POS == "NOUN":
            return found[1].lower() if parsed else ""
        if parsed[0].POS not in _ADJECTIVES:
            return ""
        at = found.end()
    return ""


def _forms(noun: str) -> list[Any]:
    return [tag for tag in _parsed(noun) if tag.POS == "NOUN"]


@lru_cache(maxsize=4096)
def _parsed(word: str) -> list[Any]:
    """The tags of a word, the likeliest first."""
    return [parse.tag for parse in _analyser().parse(word)]


@lru_cache(maxsize=1)
def _analyser() -> Any:
    import pymorphy3  # only Russian texts with numbers need it

    return pymorphy3.MorphAnalyzer()


def plural(number: int, forms: tuple[str, str, str]) -> str:
    """forms: of one, of two, of five: (рубль, рубля, рублей)."""
    if number % 10 == 1 and number % 100 != 11:
        return forms[0]
    few = number % 10 in (2, 3, 4) and number % 100 not in (12, 13, 14)
    return forms[1] if few else forms[2]
