"""Which letters a text of a language may have. Of other letters espeak-ng says the name of their script, and a voice
would learn that.
"""

import unicodedata
from collections.abc import Mapping

_LANGUAGES: Mapping[str, str] = {
    "CYRILLIC": "ba be bg cv kk ky mk nog ru sr tt uk uz",
    "GREEK": "el grc",
    "ARABIC": "ar fa sd ug ur",
    "HEBREW": "he",
    "DEVANAGARI": "hi kok mr ne",
    "BENGALI": "as bn bpy",
    "GURMUKHI": "pa",
    "GUJARATI": "gu",
    "ORIYA": "or",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "SINHALA": "si",
    "THAI": "th",
    "MYANMAR": "my shn",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy hyw",
    "ETHIOPIC": "am ti",
    "HANGUL": "ko",
    "CJK": "cmn hak yue",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "KATAKANA-HIRAGANA": "ja",  # the sign that makes a vowel long
    "CHEROKEE": "chr",
}
_EVERYWHERE = frozenset({"LATIN", "MODIFIER"})


def scripts_of(language: str) -> frozenset[str]:
    """language: as espeak-ng names it, such as `ru` or `fr-fr`."""
    base = language.partition("-")[0]
    return _EVERYWHERE | {script for script, languages in _LANGUAGES.items() if base in languages.split()}


def script_of(letter: str) -> str:
    """The first word of its Unicode name."""
    return unicodedata.name(letter, "UNNAMED").partition(" ")[0]
