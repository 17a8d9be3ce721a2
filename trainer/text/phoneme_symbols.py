"""The symbols of phonemes: the letters and marks of the International Phonetic Alphabet, and what espeak-ng adds.

One table for all languages, so that a voice of one can start with the weights of another. Found complete by letting
espeak-ng 1.52 read letters, words and numbers in each of its languages. Every checkpoint depends on the order: new
symbols go to the end.
"""

from trainer.text.symbols import LATIN, PAD, PAD_ID, PUNCTUATION, SPACE

_DIGITS = "0123456789"  # tones
_LETTERS = "".join(map(chr, range(0x0250, 0x02B0)))  # the block "IPA Extensions"
_OTHER_LETTERS = "äæçðøħŋœβεθχΦ"
_MODIFIERS = "ʰʱʲʳʴʷʼˀˁˠˡˢˣˤⁿᵝᵊᵐᵑˈˌːˑ˘˞˥˦˧˨˩‿|‖ꜛꜜ↗↘"
_DIACRITICS = "".join(map(chr, (*range(0x0300, 0x0305), 0x0306, 0x0308, 0x030A, 0x030B, 0x030C, 0x030F)))
_DIACRITICS += "".join(map(chr, (*range(0x0318, 0x0321), *range(0x0324, 0x0326), *range(0x0329, 0x0331), 0x0334)))
_DIACRITICS += "".join(map(chr, (*range(0x0339, 0x033E), 0x035C, 0x0361)))
_MNEMONICS = "ANSXZ#^`["  # espeak-ng's own names of sounds in Irish, Kyrgyz, Luxembourgish, Hakka and a few others

PHONEMES: tuple[str, ...] = (
    PAD,
    SPACE,
    *PUNCTUATION,
    *"¡¿",
    *_DIGITS,
    *LATIN,
    *_OTHER_LETTERS,
    *_LETTERS,
    *_MODIFIERS,
    *_DIACRITICS,
    *_MNEMONICS,
)
assert PHONEMES[PAD_ID] == PAD
assert len(set(PHONEMES)) == len(PHONEMES) <= 256
