"""What Russian speaks in another way than it writes it. The rules that come first have precedence."""

from collections.abc import Sequence

from trainer.text.expansion import Rule
from trainer.text.russian import abbreviations, dates, money, numbers, signs, times, years

RULES: Sequence[Rule] = (
    *times.RULES,
    *dates.RULES,
    *years.RULES,
    *money.RULES,
    *signs.RULES,
    *abbreviations.RULES,
    *numbers.RULES,
)
