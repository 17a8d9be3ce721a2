"""Letters of two alphabets: refused inside a word, and whole words named where they are probably a mistake."""

import pytest

from trainer.config import TextConfig
from trainer.text import UnknownCharacters, front_end, normalise, words_of_another_alphabet


@pytest.mark.parametrize(
    ("language", "text", "letters", "problem"),
    [
        ("en", "Тhe farmer.", {0: "Т"}, "Cyrillic letter in the Latin word 'Тhe', and looks like 'T' (U+0054"),
        ("en", "A tаll, fаir man.", {3: "а", 9: "а"}, "and looks like 'a' (U+0061 LATIN SMALL LETTER A)"),
        ("en", "Оn we go.", {0: "О"}, "Cyrillic letter"),  # one of each: the language decides
        ("ru", "Oн ушёл.", {0: "O"}, "Latin letter in the Cyrillic word 'Oн', and looks like 'О' (U+041E"),
        ("ru", "Нажми на Wоrd.", {10: "о"}, "Cyrillic letter in the Latin word"),
        ("ru", "Наша сестр+a.", {11: "a"}, "in the Cyrillic word 'сестр+a'"),
        ("en", "Lаrge, жwhere.", {1: "а", 7: "ж"}, "Cyrillic letter"),
    ],
)
def test_a_letter_of_another_alphabet_inside_a_word_is_refused_with_its_place(
    language: str, text: str, letters: dict[int, str], problem: str
) -> None:
    with pytest.raises(UnknownCharacters) as refused:
        normalise(text, language)
    assert {each.position: each.character for each in refused.value.characters} == letters
    assert all(each.mixed for each in refused.value.characters)
    assert problem in str(refused.value)


def test_it_is_named_beside_a_character_without_a_symbol() -> None:
    with pytest.raises(UnknownCharacters) as refused:
        normalise("☃ Тhe", "en")
    assert [(each.character, each.mixed) for each in refused.value.characters] == [("☃", False), ("Т", True)]


@pytest.mark.parametrize("text", ["IT-отдел и USB-кабель", "iPhone'ом", "5 км/ч, XIX-й век, www.example.ru"])
def test_parts_of_a_word_may_have_an_alphabet_each(text: str) -> None:
    assert normalise(text, "ru")


@pytest.mark.parametrize(
    ("language", "text", "found"),
    [
        ("en", "He said: «Он пошёл», and Он left.", ["Он", "пошёл"]),
        ("en", "He is а farmer.", ["а"]),
        ("en", "A café in Köln.", []),
        ("ru", "Он пошёл c другом.", ["c"]),
        ("ru", "Он купил iPhone, OPEC, PC и x, витамин D.", []),
        ("uk", "Він пішов y дім.", ["y"]),
        ("fr-fr", "Он là-bas.", ["Он"]),
    ],
)
def test_whole_words_that_are_probably_a_mistake_are_named(language: str, text: str, found: list[str]) -> None:
    assert words_of_another_alphabet(text, language) == found


@pytest.mark.parametrize(
    ("language", "text", "letters"),
    [("en", "Он is here.", "Он"), ("en", "Тhe end.", "Т"), ("fr", "Тhé.", "Т"), ("uk", "Кiт.", "i")],
)
def test_phonemes_refuse_them_in_each_language(language: str, text: str, letters: str) -> None:
    with pytest.raises(UnknownCharacters) as refused:
        front_end(TextConfig("phonemes", language)).read(text)
    assert "".join(each.character for each in refused.value.characters) == letters
