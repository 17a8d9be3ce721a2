"""What English speaks in another way than it writes it. The rules that come first have precedence."""

from collections.abc import Sequence

from trainer.text.addresses import addresses
from trainer.text.english import (
    abbreviations,
    acronyms,
    dates,
    money,
    numbers,
    roman,
    signs,
    telephones,
    times,
    units,
    years,
)
from trainer.text.expansion import Rule

_IN_ADDRESSES = {
    **{".": "dot", "@": "at", "/": "slash", "-": "dash", "_": "underscore", ":": "colon", "?": "question mark"},
    **{"=": "equals", "&": "and", "%": "percent", "#": "hash", "~": "tilde", "+": "plus"},
}
_ENDINGS = ("it", "us", "by", "de", "es")  # "Visit me.It is fun."

RULES: Sequence[Rule] = (
    addresses("en", _IN_ADDRESSES, _ENDINGS),
    *telephones.RULES,
    *times.RULES,
    *money.RULES,
    *dates.RULES,
    *years.RULES,
    *units.RULES,
    *signs.RULES,
    *abbreviations.RULES,
    *roman.RULES,
    *acronyms.RULES,
    *numbers.RULES,
)
