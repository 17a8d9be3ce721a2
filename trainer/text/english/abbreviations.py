"""Abbreviations: Mr., Dr. and other titles, St. (saint or street), etc., e.g., vol. 3, U.S.

What is short for several words, or is also a word, is expanded only where its neighbours say what it is: "St." before a
name is a saint, after one a street; "max. 5" is a maximum, "He met Max." a name. Does not cover initials (J. Smith).
"""

import re
from collections.abc import Callable, Mapping

from trainer.text.expansion import ExpansionKind, Rule, full_stop, rule

_ANYWHERE: Mapping[str, str] = {
    "mr": "mister",
    "mrs": "missus",
    "ms": "miz",
    "messrs": "messieurs",
    "prof": "professor",
    "vs": "versus",
    "approx": "approximately",
    "dept": "department",
    "govt": "government",
    "misc": "miscellaneous",
    "esp": "especially",
    "cf": "compare",
    "intl": "international",
    "assn": "association",
}
_BEFORE_A_NAME: Mapping[str, str] = {
    "Rev": "reverend",
    "Hon": "honorable",
    "Gen": "general",
    "Col": "colonel",
    "Capt": "captain",
    "Lt": "lieutenant",
    "Sgt": "sergeant",
    "Maj": "major",
    "Gov": "governor",
    "Sen": "senator",
    "Rep": "representative",
    "Pres": "president",
    "Mt": "mount",
    "Ft": "fort",
}
_AFTER_A_NAME: Mapping[str, str] = {
    "Jr": "junior",
    "Sr": "senior",
    "Co": "company",
    "Inc": "incorporated",
    "Ltd": "limited",
    "Corp": "corporation",
    "Bros": "brothers",
    "Ave": "avenue",
    "Blvd": "boulevard",
    "Hwy": "highway",
    "Sq": "square",
    "Rd": "road",
}
_BEFORE_A_NUMBER: Mapping[str, str] = {
    "vol": "volume",
    "vols": "volumes",
    "pp": "pages",
    "p": "page",
    "fig": "figure",
    "ch": "chapter",
    "chap": "chapter",
    "sec": "section",
    "art": "article",
    "apt": "apartment",
    "ext": "extension",
}
_MEASURES: Mapping[str, str] = {"max": "maximum", "min": "minimum", "avg": "average"}
_WORDS = ("art", "fig", "sec", "apt")  # "I need a fig. 5 men came."
_BRITISH: Mapping[str, str] = {"Mr": "mister", "Mrs": "missus", "Ms": "miz", "Dr": "doctor", "Prof": "professor"}

_START = r"(?<![A-Za-zÀ-ÖØ-öø-ÿŒœ])"  # a digit may stand before it
_LONGEST_NAME = 40  # characters
_NAME_AT_END = re.compile(r"\b(?:[A-Z][\w'-]*|\d+(?:st|nd|rd|th)),? (?:(?:and|&) )?$")
_CAPITAL = re.compile(r" ?[A-Z]")
_REFERENCE = re.compile(
    r"(?:^|[(;:,-] ?|\d |\b(?:see|in|from|under|by|per|to|also|cf\.|\d (?:and|or|to)) )$", re.IGNORECASE
)
_CAPITALS_ALONE = ("mr", "mrs", "messrs", "vs")  # ESP, MS and CF are acronyms
_ROMAN = r"(?-i:(?:(?!I\b)[IVX]+|I(?=[,;:)]))\b(?!\.\s?[A-Z]))"


def _either(names: Mapping[str, str]) -> str:
    return rf"(?P<name>{'|'.join(sorted(names, key=len, reverse=True))})"


def _one_of(names: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    return lambda match: names[match["name"]]


def _lower(match: re.Match[str]) -> str:
    name = match["name"].lower()
    if match["name"].isupper() and name not in _CAPITALS_ALONE and not match.string.isupper():
        return " ".join(name) + full_stop(match, before_capital=True)
    return _ANYWHERE[name]


def _number(match: re.Match[str]) -> str | None:
    name = match["name"].lower()
    before = match.string[max(0, match.start() - _LONGEST_NAME) : match.start()]
    is_short = name not in _WORDS or (match["name"].istitle() and name != "art")  # Art is a name, too
    return _BEFORE_A_NUMBER[name] if is_short or _REFERENCE.search(before) else None


def _measure(match: re.Match[str]) -> str:
    return _MEASURES[(match["name"] or match["label"]).lower()]


def _follows_a_name(match: re.Match[str]) -> bool:
    return _NAME_AT_END.search(match.string, max(0, match.start() - _LONGEST_NAME), match.start()) is not None


def _after_a_name(match: re.Match[str]) -> str | None:
    return _AFTER_A_NAME[match["name"]] + full_stop(match) if _follows_a_name(match) else None


def _precedes_a_name(match: re.Match[str]) -> bool:
    return _CAPITAL.match(match.string, match.end()) is not None


def _saint_or_street(match: re.Match[str]) -> str | None:
    if _follows_a_name(match) and not _precedes_a_name(match):
        return "street" + full_stop(match)
    return "saint" if _precedes_a_name(match) else None


def _doctor_or_drive(match: re.Match[str]) -> str:
    if _follows_a_name(match) and not _precedes_a_name(match):
        return "drive" + full_stop(match)
    return "doctor"


def _letters(match: re.Match[str]) -> str:
    return " ".join(re.findall(r"[a-z]", match[0].lower())) + (full_stop(match) if match[0].endswith(".") else "")


def _established(match: re.Match[str]) -> str:
    """Before a year, and with a capital letter (Est. 1984); "est. 5 km" is estimated."""
    if match[0] == "EST.":  # Eastern Standard Time
        return "e s t" + full_stop(match)
    year = re.compile(r"\s?[12]\d{3}(?![\d,.])").match(match.string, match.end())
    return "established" if year or match[0].startswith("E") else "estimated"


def _phrase(pattern: str, spoken: str, *, ends_sentences: bool = False) -> Rule:
    return rule(
        ExpansionKind.ABBREVIATION,
        re.compile(_START + pattern, re.IGNORECASE),
        lambda match: spoken + (full_stop(match, before_capital=True) if ends_sentences else ""),
    )


def _abbreviation(pattern: str, speak: Callable[[re.Match[str]], str | None], flags: int = 0) -> Rule:
    return rule(ExpansionKind.ABBREVIATION, re.compile(_START + pattern, flags), speak)


RULES: tuple[Rule, ...] = (
    _phrase(r"(?-i:[eE]\.\s?g\.|E\.G\.(?! [A-Z]))", "for example"),  # E. G. Wakefield
    _phrase(r"(?-i:[iI]\.\s?e\.|I\.E\.(?! [A-Z]))", "that is"),
    _phrase(r"etc\.", "et cetera", ends_sentences=True),
    _phrase(r"et al\.", "and others", ends_sentences=True),
    _phrase(r"etc(?![^\W\d]|\.)", "et cetera"),
    _phrase(r"vs(?![^\W\d]|\.)", "versus"),
    _phrase(r"approx(?![^\W\d]|\.)", "approximately"),
    _phrase(r"a\.\s?k\.\s?a\.", "also known as"),
    _phrase(r"w/o(?![^\W\d])", "without"),
    _phrase(r"w/(?=\s|$)", "with"),
    _phrase(r"and/or(?![^\W\d])", "and or"),
    _phrase(r"v(?:er)?\.?\s?(?=\d+\.\d)", "version"),
    _abbreviation(r"est\.", _established, re.IGNORECASE),
    _phrase(r"a\.\s?m\.", "a m", ends_sentences=True),
    _phrase(r"p\.\s?m\.", "p m", ends_sentences=True),
    _abbreviation(rf"{_either(_ANYWHERE)}\.", _lower, re.IGNORECASE),
    _abbreviation(rf"{_either(_BEFORE_A_NUMBER)}\.\s?(?=\d)", _number, re.IGNORECASE),
    _abbreviation(rf"{_either(_BEFORE_A_NUMBER)}(?-i:(?<!P))\.\s?(?={_ROMAN})", _number, re.IGNORECASE),
    _abbreviation(
        rf"(?:{_either(_MEASURES)}\.|(?:^|(?<=[(:] )|(?<=\())(?P<label>Max|Min|Avg)\.)\s?(?=[+-]?\d)", _measure
    ),
    _phrase(r"tel\.(?=:?\s?[+(]?\d)", "telephone"),
    _abbreviation(
        r"(?:c\.\s?(?=[12]\d{3}(?![\d,.]\d)|\d{1,4} (?:BC|AD|B\.\s?C|A\.\s?D))|ca\.\s?(?=\d))", lambda match: "circa"
    ),
    _abbreviation(r"St\.", _saint_or_street),
    _abbreviation(r"(?:[Dd]r|DR)\.", _doctor_or_drive),
    _abbreviation(rf"{_either(_BRITISH)}(?= [A-Z])", _one_of(_BRITISH)),
    _abbreviation(r"St(?= [A-Z])", lambda match: "saint"),
    _abbreviation(rf"{_either(_BEFORE_A_NAME)}\.(?= [A-Z])", _one_of(_BEFORE_A_NAME)),
    _abbreviation(rf"{_either(_AFTER_A_NAME)}\.", _after_a_name),
    _abbreviation(r"(?:Ph\.?\s?D|LL\.\s?[BDM]|[BM]\.\s?Sc)(?:\.|(?!\w))", _letters),
    _abbreviation(r"(?:[A-Z]\.){2,}", _letters),
    _abbreviation(r"(?:[A-Z]\. ){1,}[A-Z]\.(?= [A-Z])", _letters),
)
