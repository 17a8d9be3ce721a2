"""What English speaks in another way than it writes it. The rules that come first have precedence."""

from collections.abc import Sequence

from trainer.text.english import abbreviations, dates, money, numbers, signs, times, years
from trainer.text.expansion import Rule

RULES: Sequence[Rule] = (
    *times.RULES,
    *money.RULES,
    *dates.RULES,
    *years.RULES,
    *signs.RULES,
    *abbreviations.RULES,
    *numbers.RULES,
)
