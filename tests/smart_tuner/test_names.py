"""Names of studies and voices: which there can be, and how they are made."""

import unicodedata

import pytest

from smart_tuner.names import folder_name, name_from


@pytest.mark.parametrize("name", ["a", "_x", "LJSpeech-1.1", "голос", "Ёлка-2", "हिन्दी", "ไทย", "声", "é" * 50])
def test_letters_of_any_alphabet_name_folders(name: str) -> None:
    assert folder_name(name) == name
    assert name_from(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "-x", "a/b", "a b", "a\nb", "a\0b", "a\u202eb", "a\u200bb", "\u0301a", "🎙", "a\udcffb"],
)
def test_what_names_no_folder_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be at most 100 letters"):
        folder_name(name)


@pytest.mark.parametrize("letter", ["a", "é", "я", "声"])
def test_a_name_is_as_long_as_a_file_system_takes_it(letter: str) -> None:
    longest = letter * (100 // len(letter.encode()))
    assert folder_name(longest)
    with pytest.raises(ValueError, match="count as 2 to 4"):
        folder_name(longest + letter)


def test_two_forms_of_one_letter_are_one_name() -> None:
    """macOS writes names of files with each mark as a character of its own."""
    apart = unicodedata.normalize("NFD", "Мой")
    assert name_from(apart) == "Мой"
    with pytest.raises(ValueError, match="must be"):
        folder_name(apart)


@pytest.mark.parametrize(
    ("text", "name"),
    [("Моя речь!", "Моя-речь"), (" v1.2 (new) ", "v1.2-new"), ("...", ""), ("\u0301é", "é"), ("a\udcff", "a")],
)
def test_a_name_is_made_of_a_text(text: str, name: str) -> None:
    assert name_from(text) == name
