"""Text becomes symbols; a text with an unknown character is refused."""

import subprocess
import sys
import time

import pytest

from trainer.data.demo.sentences import compose
from trainer.text import PAD_ID, SYMBOLS, UnknownCharacters, decode, encode, normalise


@pytest.mark.parametrize(
    ("language", "written", "expected"),
    [
        ("en", "  Hello,\tWorld!\n", "hello, world!"),
        ("en", "“It’s” – he said… ‘so’", "\"it's\" - he said... 'so'"),
        ("en", "see [note]", "see (note)"),
        ("en", "Café, façade", "cafe, facade"),
        ("en", "21 cats", "twenty-one cats"),
        ("en", "1,234,567", "one million two hundred and thirty-four thousand five hundred and sixty-seven"),
        ("en", "1\u00a0234 men", "one thousand two hundred and thirty-four men"),
        ("en", "3.05 or 1.50", "three point zero five or one point five zero"),
        ("en", "The 1st, 12th and 22nd", "the first, twelfth and twenty-second"),
        ("en", "-5 and (-6) but 3-4", "minus five and (minus six) but three to four"),
        ("en", "Agent 007, 1,2,3", "agent zero zero seven, one, two, three"),
        ("en", "mp3 4x", "mp three four x"),
        ("en", "2 to 3. Then", "two to three. then"),
        ("ru", "За́мок и замо́к", "з+амок и зам+ок"),
        ("ru", "Ёлка и е\u0308лка, и\u0306од", "ёлка и ёлка, йод"),
        ("ru", "«Да» — 21 раз", '"да" - двадцать один раз'),
        ("ru", "1 234 и 3,14", "одна тысяча двести тридцать четыре и три целых четырнадцать сотых"),
        ("ru", "−5 и 1-й, 2-я, 3-го", "минус пять и первый, вторая, третьего"),
        ("en", "five & six", "five and six"),
    ],
)
def test_text_is_normalised_to_what_is_spoken(language: str, written: str, expected: str) -> None:
    assert normalise(written, language) == expected


@pytest.mark.parametrize(
    ("language", "written", "character", "position", "name"),
    [
        ("en", "he/she", "/", 2, "SOLIDUS"),
        ("en", "Go… & see\u00ad", "\u00ad", 9, "SOFT HYPHEN"),
        ("en", "smile 🙂", "🙂", 6, "GRINNING|SLIGHTLY SMILING FACE"),
        ("en", "schїn", "ї", 3, "CYRILLIC SMALL LETTER YI"),
        ("ru", "café", "é", 3, "LATIN SMALL LETTER E WITH ACUTE"),
        ("ru", "Київ", "ї", 2, "CYRILLIC SMALL LETTER YI"),
        ("en", "pad_ding", "_", 3, "LOW LINE"),
        ("en", "soft\u00adhyphen", "\u00ad", 4, "SOFT HYPHEN"),
        ("en", "a + b", "+", 2, "PLUS SIGN"),
        ("ru", "кот\u0301", "\u0301", 3, "COMBINING ACUTE ACCENT"),
        ("en", "١", "١", 0, "ARABIC-INDIC DIGIT ONE"),
        ("en", "x\x00", "\x00", 1, "U+0000"),
    ],
)
def test_a_character_without_a_symbol_is_named(
    language: str, written: str, character: str, position: int, name: str
) -> None:
    with pytest.raises(UnknownCharacters) as caught:
        normalise(written, language)
    (unknown,) = caught.value.characters
    assert (unknown.character, unknown.position) == (character, position)
    assert any(each in unknown.name for each in name.split("|"))
    assert unknown.name in str(caught.value)


def test_all_characters_without_a_symbol_are_named_once() -> None:
    with pytest.raises(UnknownCharacters) as caught:
        normalise("a_b ☃ _ c", "en")
    assert [each.character for each in caught.value.characters] == ["_", "☃", "_"]
    assert str(caught.value) == (
        "'_' (U+005F LOW LINE) at character 2 and 1 more has no symbol; "
        "'☃' (U+2603 SNOWMAN) at character 5 has no symbol"
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Äpfel, Köln, Zoë, señor", "apfel, koln, zoe, senor"),
        ("Łódź, Ångström, Straße, Þór", "lodz, angstrom, strasse, thor"),
        ("CAFÉ, Œuvre, æon, smørrebrød", "cafe, oeuvre, aeon, smorrebrod"),
    ],
)
def test_english_reads_letters_without_their_accents(written: str, read: str) -> None:
    assert normalise(written, "en") == read


def test_every_symbol_survives_encoding_and_decoding() -> None:
    text = "".join(SYMBOLS[1:])
    assert decode(encode(text)) == text
    assert sorted(encode(text)) == list(range(1, len(SYMBOLS)))


def test_padding_is_no_character() -> None:
    assert decode([*encode("да"), PAD_ID, PAD_ID]) == "да"
    with pytest.raises(KeyError):
        encode("_")


@pytest.mark.parametrize("language", ["en", "ru"])
def test_normalised_text_is_encoded_completely_and_normalising_again_changes_nothing(language: str) -> None:
    for text in compose(language, 500, seed=3):
        normalised = normalise(text, language)
        assert decode(encode(normalised)) == normalised
        assert normalise(normalised, language) == normalised
        assert not any(character.isdigit() for character in normalised)


@pytest.mark.parametrize("digits", ["9" * 40, "0." + "1" * 40, "1" * 20 + "th"])
@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_very_long_number_is_read_digit_by_digit(language: str, digits: str) -> None:
    words = normalise(digits, language).split()
    assert len(words) >= 20
    assert len(words) <= 45


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize(
    "text",
    [
        *(part * (10_000 // len(part)) for part in ("9", "111 ", "111,", "1.", "$1 ", "St. ", "etc. ", "A.", "May ")),
        *(
            part * (10_000 // len(part))
            for part in ("a.", "I", "X ", "BC", "Henry ", "1 km ", "5-", "a@", "1/2 ", "Карл I ", "the 1 ft ")
        ),
        *(
            part * (10_000 // len(part))
            for part in (
                "555-",
                "+1 ",
                "www.",
                "1 км ",
                "1984-",
                "г. ",
                "12 мая ",
                "-",
                "1:",
                "5 больших ",
                "с 5 до ",
                "им. А.",
            )
        ),
        "$" + "9" * 9999,
        "9" * 9998 + " €",
    ],
    ids=lambda text: f"{text[:4]}...{text[-3:]}",
)
def test_a_text_as_long_as_a_line_may_be_takes_a_moment(text: str, language: str) -> None:
    """Of 10,000 characters; a rule that looks from each place to the end would take minutes."""
    began = time.monotonic()
    assert normalise(text, language)
    assert time.monotonic() - began < 20


def test_the_symbols_need_the_standard_library_only() -> None:
    optional = ["num2words", "pymorphy3", "py3langid", "phonemizer", "espeakng_loader", "numpy", "soundfile", "torch"]
    blocked = f"import sys; sys.modules.update(dict.fromkeys({optional}))"
    script = f"{blocked}\nfrom trainer.text import encode, normalise\nprint(len(encode(normalise('No digits.', 'en'))))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "10\n"
