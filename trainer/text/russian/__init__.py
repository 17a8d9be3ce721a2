"""What Russian speaks in another way than it writes it. The rules that come first have precedence."""

from collections.abc import Sequence

from trainer.text.addresses import addresses
from trainer.text.expansion import Rule
from trainer.text.russian import abbreviations, acronyms, dates, money, numbers, roman, signs, times, units, years
from trainer.text.spelling import cardinal
from trainer.text.telephones import telephones

_IN_ADDRESSES = {
    **{".": "точка", "@": "собака", "/": "слэш", "-": "дефис", "_": "подчёркивание", ":": "двоеточие"},
    **{"?": "вопросительный знак", "=": "равно", "&": "и", "%": "процент", "#": "решётка", "~": "тильда", "+": "плюс"},
}

RULES: Sequence[Rule] = (
    addresses("ru", _IN_ADDRESSES),
    telephones("плюс", lambda group: cardinal(group, "ru")),
    *times.RULES,
    *dates.RULES,
    *years.RULES,
    *money.RULES,
    *units.RULES,
    *signs.RULES,
    *abbreviations.RULES,
    *roman.RULES,
    *acronyms.RULES,
    *numbers.RULES,
)
