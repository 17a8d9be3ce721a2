"""Acronyms in capital letters that are said letter by letter: СССР is "эс эс эс эр". Those with a vowel are read as
words (НАТО), except the usual ones that are not (США).
"""

import re
from collections.abc import Mapping

from trainer.text.expansion import ExpansionKind, Rule, rule

_NAMES = (
    "б:бэ в:вэ г:гэ д:дэ ж:жэ з:зэ к:ка л:эль м:эм н:эн п:пэ р:эр с:эс т:тэ ф:эф х:ха ц:цэ ч:че ш:ша щ:ща а:а е:е и:и "
    "о:о у:у э:э ю:ю я:я"
)
_LETTERS: Mapping[str, str] = dict(pair.split(":") for pair in _NAMES.split())
_IRREGULAR: Mapping[str, str] = {"США": "сэ шэ а", "ФРГ": "фэ эр гэ", "ФБР": "фэ бэ эр"}
_ACRONYM = re.compile(r"(?<![^\W\d_])(?P<letters>[БВГДЖЗКЛМНПРСТФХЦЧШЩ]{2,6}|США|АЭС|ЕС|МГУ|ЦРУ|ЭВМ|ЭКГ)(?![^\W\d_])")


def _acronym(match: re.Match[str]) -> str | None:
    if match.string.isupper():  # all in capitals: nothing is an acronym
        return None
    letters = match["letters"]
    return _IRREGULAR.get(letters) or " ".join(_LETTERS[letter] for letter in letters.lower())


RULES: tuple[Rule, ...] = (rule(ExpansionKind.ACRONYM, _ACRONYM, _acronym),)
