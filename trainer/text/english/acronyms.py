"""Acronyms in capital letters that are said letter by letter: BBC is "b b c", CDs "c d's", MP3 "m p three".

Those are all without a vowel, and the usual ones with vowels (FBI). All others are read as words, such as NASA.
"""

import re

from trainer.text.expansion import ExpansionKind, Rule, rule

_WITH_VOWELS = (
    "ABC AI API ATM CEO CFO CIA CIO COO CPU DIY DNA DOB ECG EKG EMT EU EV FAQ FBI GPA GPU HIV IBM ICU ID IOU IP IPO IQ "
    "IRS ISBN ISP IV LA LCD LED MBA MIT MRI NBA NCAA NSA OMG ROI SUV TBA UAE UCLA UFO UI UK UN URL US USA USB USSR UV "
    "UX VIP"
)
_NO_ACRONYMS = "BRR BRRR DR FT GRR HMM JR KG KM LTD MR MRS MS MT NTH PFFT PSST SHH SHHH SR ST TSK VS ZZ ZZZ"
_SPELLED = frozenset(_WITH_VOWELS.split())
_NOT_SPELLED = frozenset(_NO_ACRONYMS.split())
_VOWELS = frozenset("AEIOU")
_ACRONYM = re.compile(r"(?<![^\W\d_])(?<!')(?P<letters>[A-Z]{2,6})(?P<plural>s)?(?![^\W\d_])")


def _acronym(match: re.Match[str]) -> str | None:
    letters = match["letters"]
    spelled = letters in _SPELLED or not _VOWELS & set(letters)
    if not spelled or letters in _NOT_SPELLED or match.string.isupper():  # all in capitals: nothing is an acronym
        return None
    return " ".join(letters.lower()) + ("'s" if match["plural"] else "")


RULES: tuple[Rule, ...] = (rule(ExpansionKind.ACRONYM, _ACRONYM, _acronym),)
