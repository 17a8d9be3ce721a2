"""Names of studies and voices: which there can be, and how one is made of the name of something else.

They name folders and registered models of MLflow, and stand in commands that are shown, so they are letters, digits,
`-`, `_` and `.` alone; the letters may be of any alphabet.
"""

import re
import unicodedata

# In UTF-8. A file system takes 255: files have the name with an ending, and are first written under a longer one.
_MOST_BYTES = 100
_KINDS = frozenset("LMN")  # letters, the marks on them, numbers: the first letter of Unicode's categories


def folder_name(name: str) -> str:
    """`name`, where it can name a study and its folders. Raises ValueError where not."""
    is_one_form = unicodedata.is_normalized("NFC", name)  # other forms of it look the same
    has_letters_alone = with_dashes(name) == name and is_one_form
    if not has_letters_alone or not name or not _begins_well(name) or len(name.encode()) > _MOST_BYTES:
        raise ValueError(
            f"must be at most {_MOST_BYTES} letters, digits, - _ . (letters beyond a-z count as 2 to 4) and not begin "
            "with - or . (it names folders)"
        )
    return name


def name_from(text: str) -> str:
    """The nearest to `text` that a study and its folders can be called; empty where nothing of it can be."""
    name = with_dashes(unicodedata.normalize("NFC", text)).rstrip("-.")
    while name and not _begins_well(name):
        name = name[1:]
    return name


def with_dashes(text: str) -> str:
    """A dash for each run of characters that no name has."""
    return re.sub("\0+", "-", "".join(character if _is_allowed(character) else "\0" for character in text))


def _is_allowed(character: str) -> bool:
    return character in "-_." or unicodedata.category(character)[0] in _KINDS


def _begins_well(name: str) -> bool:
    return name[0] not in "-." and unicodedata.category(name[0])[0] != "M"
