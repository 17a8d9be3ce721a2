"""Signs that are words: 5 %, No. 5, #5, 2 + 2 = 4, A & B, x @ y, 1/2, ½, 5–7, ~5, 20+."""

import re
import unicodedata

from trainer.text.expansion import ExpansionKind, Rule, rule
from trainer.text.spelling import cardinal, ordinal

_FRACTION = re.compile(
    r"(?<![\d/.,])(?:(?P<whole>\d+) )?(?P<top>\d{1,3})/(?P<bottom>\d{1,3})(?![\d/]|\.\d)"
    r"(?:(?:rd|th)s?(?!\w)|(?<!\b1/\d)(?<!\b1/\d\d)(?<!\b1/\d\d\d)s(?!\w))?",  # 2/3rds, 2/3s; 1/100s is a second's
    re.ASCII,
)
_VULGAR = re.compile(r"(?<![\d.,])(?P<whole>\d+)?\s?(?P<sign>[¼-¾⅐-⅞])")
_SAID_APART = ("24/7", "9/11")
_HYPHEN = re.compile(r"(?<=[\d%°])-(?=\d)", re.ASCII)
_BEFORE = re.compile(r"(?<![\d.,:-])([\d.,:]+)[%°]?$", re.ASCII)
_AFTER = re.compile(r"([\d.,:]*\d)(?!-\d)", re.ASCII)
_LONGEST_NUMBER = 16  # characters of an end of a range


def _range(match: re.Match[str]) -> str | None:
    """A hyphen between two numbers of which the second is larger, or two times; a score (3-1) is none."""
    before = _BEFORE.search(match.string[max(0, match.start() - _LONGEST_NUMBER) : match.start()])
    after = _AFTER.match(match.string, match.end(), match.end() + _LONGEST_NUMBER)
    if not before or not after:
        return None
    first, last = _value(before[1]), _value(after[1])
    return "to" if first is not None and last is not None and first < last else None


def _value(number: str) -> float | None:
    try:
        return float(number.replace(",", "").replace(":", "."))
    except ValueError:
        return None


def _fraction(match: re.Match[str]) -> str:
    if match[0] in _SAID_APART:
        return f"{cardinal(match['top'], 'en')} {cardinal(match['bottom'], 'en')}"
    return _of(match["whole"], int(match["top"]), int(match["bottom"]))


def _vulgar(match: re.Match[str]) -> str:
    top, _, bottom = unicodedata.normalize("NFKC", match["sign"]).partition("\u2044")
    return _of(match["whole"], int(top), int(bottom))


def _of(whole: str | None, top: int, bottom: int) -> str:
    before = f"{cardinal(whole, 'en')} and " if whole and top < bottom else f"{cardinal(whole, 'en')} " if whole else ""
    if not top < bottom <= 100 or top == 0:
        return f"{before}{cardinal(str(top), 'en')} over {cardinal(str(bottom), 'en')}"
    part = {2: "half", 4: "quarter"}.get(bottom) or ordinal(bottom, "en")
    one = {"half": "a half", "quarter": "a quarter"}.get(part, f"one {part}") if whole else f"one {part}"
    return before + (one if top == 1 else f"{cardinal(str(top), 'en')} {part}s")


def _sign(pattern: str, spoken: str, kind: ExpansionKind = ExpansionKind.SIGN) -> Rule:
    return rule(kind, re.compile(pattern), lambda match: spoken)


RULES: tuple[Rule, ...] = (
    rule(ExpansionKind.NUMBER, _FRACTION, _fraction),
    rule(ExpansionKind.NUMBER, _VULGAR, _vulgar),
    _sign(r"(?<=\d)\s?%", "percent", ExpansionKind.PERCENT),
    _sign(r"(?<=\d)\s?‰", "per mille", ExpansionKind.PERCENT),
    _sign(r"(?:#|№|(?<![A-Za-zÀ-ÖØ-öø-ÿŒœ])(?:No|no|NO)\.)\s?(?=\d)", "number"),
    _sign(r"(?<![A-Za-zÀ-ÖØ-öø-ÿŒœ])[Nn]os\.\s?(?=\d)", "numbers"),
    _sign(r"#(?=[A-Za-z])", "hashtag"),
    _sign(r"§\s?(?=\d)", "section"),
    _sign(r"\s?@\s?", "at"),
    _sign(r"(?<![^\s(\"'])\+(?=\d)", "plus"),
    _sign(r"[~≈]\s?(?=\d)", "about"),
    _sign(r"<\s?(?=\d)", "less than"),
    _sign(r">\s?(?=\d)", "more than"),
    _sign(r"≤\s?(?=\d)", "at most"),
    _sign(r"≥\s?(?=\d)", "at least"),
    _sign(r"\s?&\s?", "and"),
    _sign(r"(?<=\d)\s?\+\s?(?=\d)", "plus"),
    _sign(r"(?<=\d)\+(?!\w)|(?<=\b[A-F])\+(?!\w)", "plus"),
    _sign(r"(?<=\w)\s?=\s?(?=\w)", "equals"),
    _sign(r"(?<=\d)\s?×\s?(?=\d)", "times"),
    _sign(r"(?<=\d)\s?x\s?(?=\d)", "by"),
    _sign(r"(?<=\d)\s?÷\s?(?=\d)", "divided by"),
    _sign(r"±\s?(?=\d)", "plus or minus"),
    _sign(r"(?<=\d)\s?–\s?(?=\d)", "to"),
    rule(ExpansionKind.SIGN, _HYPHEN, _range),
)
