"""Units after numbers: 5 km, 1 kg, 60 mph, 10 km/h, 20 m², 5 ft., 20 °C, 6'2", $3/kg.

The number is left to the other rules. Singular before what is measured: "a 10 ft wall" is a ten foot wall. That is told
by an article or a pronoun before the number, so "10 ft walls" is not covered. Nor is "in" (5 in), which is mostly the
preposition.
"""

import re
from collections.abc import Mapping

from trainer.text.expansion import ExpansionKind, Rule, full_stop, rule
from trainer.text.spelling import cardinal

_UNITS: Mapping[str, str] = {
    **{"nm": "nanometer", "μm": "micrometer", "mm": "millimeter", "cm": "centimeter", "m": "meter", "km": "kilometer"},
    **{"ft": "foot", "yd": "yard", "yds": "yard", "mi": "mile", "sqft": "square foot", "sqmi": "square mile"},
    **{"mg": "milligram", "g": "gram", "kg": "kilogram", "lb": "pound", "lbs": "pound", "oz": "ounce", "t": "ton"},
    **{"ml": "milliliter", "mL": "milliliter", "cl": "centiliter", "l": "liter", "L": "liter", "gal": "gallon"},
    **{"tsp": "teaspoon", "tbsp": "tablespoon", "cal": "calorie", "kcal": "kilocalorie", "kJ": "kilojoule"},
    **{"KB": "kilobyte", "kB": "kilobyte", "MB": "megabyte", "GB": "gigabyte", "TB": "terabyte"},
    **{"kbps": "kilobit per second", "Mbps": "megabit per second", "Gbps": "gigabit per second"},
    **{"Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz", "dB": "decibel"},
    **{"mW": "milliwatt", "W": "watt", "kW": "kilowatt", "MW": "megawatt", "GW": "gigawatt", "kWh": "kilowatt hour"},
    **{"mV": "millivolt", "V": "volt", "kV": "kilovolt", "mAh": "milliampere hour", "hp": "horsepower"},
    **{"Pa": "pascal", "hPa": "hectopascal", "kPa": "kilopascal", "psi": "pound per square inch"},
    **{"ms": "millisecond", "s": "second", "sec": "second", "secs": "second", "min": "minute", "mins": "minute"},
    **{"h": "hour", "hr": "hour", "hrs": "hour", "wk": "week", "wks": "week", "yr": "year", "yrs": "year"},
    **{"mph": "mile per hour", "kph": "kilometer per hour", "mpg": "mile per gallon", "fps": "frame per second"},
    **{"rpm": "revolution per minute", "bpm": "beat per minute", "dpi": "dot per inch", "px": "pixel"},
    **{"mm²": "square millimeter", "cm²": "square centimeter", "m²": "square meter", "km²": "square kilometer"},
    **{"cm³": "cubic centimeter", "m³": "cubic meter", "ft²": "square foot", "mi²": "square mile", "ha": "hectare"},
    **{"°C": "degree celsius", "°F": "degree fahrenheit", "°": "degree"},
}
_IN_ANY_CASE = (
    "km",
    "kg",
    "cm",
    "mm",
    "lb",
    "lbs",
    "oz",
    "ft",
    "hr",
    "hrs",
    "mins",
    "mph",
    "kph",
    "gb",
    "mb",
    "kb",
    "tb",
)
_BY_LOWER = {unit.lower(): name for unit, name in _UNITS.items() if unit.lower() in _IN_ANY_CASE}
_NO_NOUNS = (  # after "the 5 km" they say nothing of what is measured
    "5 a about above across after again against ago all along also am among an and apart are as at away back be "
    "because been before behind below between beyond but by came can could did do does down during each else even "
    "ever for from gave go goes got had has have he her here his how if in inside into is it its just km lay left "
    "made make makes may might mine more must my near nearly never next no nor not now of off on once one only onto "
    "or our out outside over passed past per said saw seem seemed shall she should since so some soon still such take "
    "takes than that the their them then there these they this those though through till to together too took toward "
    "towards under until up upon us was we went were what when where whether which while who whose why will with "
    "within without would yet you your"
)
_ONE_FORM = ("hertz", "horsepower")

_SPACED = {"sqft": r"sq\.? ft", "sqmi": r"sq\.? mi", "°C": r"°\s?C", "°F": r"°\s?F"}
_ORDERED = sorted(_UNITS, key=len, reverse=True)
_NAMES = "|".join((*(_SPACED.get(unit, unit) for unit in _ORDERED), f"(?i:{'|'.join(_IN_ANY_CASE)})"))
_DOTS = r"(?P<dot>(?<=ft|yd|mi|lb|oz|hr|yr)\.|(?<=yds|lbs|gal|sec|min|hrs|yrs)\.|(?<=mins|secs)\.|\.(?=\s[a-z]))?"
_UNIT = rf"(?P<unit>{_NAMES})(?:/(?P<per>{_NAMES}|day|week|month|year))?{_DOTS}(?![\w²³])(?!\.\s?[A-Z]\w*\.)"
_AFTER_NUMBER = re.compile(rf"(?<=[\d¼-¾⅐-⅞])[\s-]?{_UNIT}")
_PER = re.compile(r"(?<=\d)\s?/\s?(?P<per>[a-z]{1,20})(?![\w.])")

_FEET_AND_INCHES = re.compile(r"(?<![\w.,])(?P<feet>\d{1,2})'\s?(?P<inches>\d{1,2})(?:\"|'')", re.ASCII)

_ONE = re.compile(r"(?<![\d.,/:])(?<!\d[-–])1$")
_IN_A_WORD = re.compile(r"[^\W\d_]-?\d+$")  # MP3s
_PART = re.compile(r"(?:(?<!\d )(?<![\d.,/])\d{1,2}/\d{1,3}|(?<!\d )(?<!\d)[¼-¾⅐-⅞])$")
_SEVERAL = re.compile(r"(?:(?<![\d/])(?!1/)\d{1,2}/\d{1,3}|\b(?P<name>[A-Z][a-z]+) \d+)$")  # 2/3s, Boeing 737s
_LONGEST_NUMBER = 8  # characters that are looked at, of those that may be one or a part

_DETERMINED = re.compile(
    r"\b(?:(?P<one>an?|each|every)|the|this|that|my|your|his|her|its|our|their) [\d.,/-]*\d(?:[-–][\d.,]*\d)?\s?$",
    re.IGNORECASE,
)
_LONGEST_DETERMINED = 30  # characters
_NOUN = re.compile(r"[ -](?!(?:" + _NO_NOUNS.replace(" ", "|") + r")\b)(?P<noun>[a-z]{2,})")


def unit_follows(text: str, end: int) -> bool:
    """Whether the number that ends there has a unit."""
    return _AFTER_NUMBER.match(text, end) is not None


def _unit(match: re.Match[str]) -> str | None:
    before = match.string[max(0, match.start() - _LONGEST_NUMBER) : match.start()]
    if _IN_A_WORD.search(before) or (match[0] == "s" and _is_plural(match)):
        return None
    name = _name(match["unit"])
    if _PART.search(before):
        spoken = f"of {_with_article(name)}"
    else:
        one = _ONE.search(before) or match[0].startswith("-") or _is_measure(match)
        spoken = name if one else _plural(name)
    per = f" per {_name(match['per'])}" if match["per"] else ""
    return spoken + per + (full_stop(match, before_capital=True) if match["dot"] else "")


def _is_plural(match: re.Match[str]) -> bool:
    """Of a number, whose "s" is no second."""
    found = _SEVERAL.search(match.string, max(0, match.start() - _LONGEST_DETERMINED), match.start())
    return found is not None and (found["name"] or "").lower() not in _NO_NOUNS.split()


def _is_measure(match: re.Match[str]) -> bool:
    """Of what follows, as in "a 10 ft wall": then it is singular."""
    start = max(0, match.start() - _LONGEST_DETERMINED)
    determined = _DETERMINED.search(match.string, start, match.start())
    if not determined:
        return match["unit"] == "yr" and match.string.startswith(" olds", match.end())
    return determined["one"] is not None or _NOUN.match(match.string, match.end()) is not None


def _name(unit: str) -> str:
    compact = re.sub(r"[\s.]", "", unit)
    return _UNITS.get(compact) or _BY_LOWER.get(compact.lower(), unit)


def _plural(name: str) -> str:
    measured, per, rest = name.partition(" per ")
    if measured in _ONE_FORM or measured.endswith("hertz"):
        return name
    if measured.startswith("degree"):
        return measured.replace("degree", "degrees", 1)
    several = f"{measured[:-4]}feet" if measured.endswith("foot") else f"{measured}s"
    return several + per + rest


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' or name.startswith('hour') else 'a'} {name}"


def _feet_and_inches(match: re.Match[str]) -> str:
    feet, inches = (int(match[name]) for name in ("feet", "inches"))
    in_feet = f"{cardinal(str(feet), 'en')} {'foot' if feet == 1 else 'feet'}"
    return f"{in_feet} {cardinal(str(inches), 'en')} {'inch' if inches == 1 else 'inches'}"


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.UNIT, _FEET_AND_INCHES, _feet_and_inches),
    rule(ExpansionKind.UNIT, _AFTER_NUMBER, _unit),
    rule(ExpansionKind.UNIT, _PER, lambda match: f"per {_name(match['per'])}"),
)
