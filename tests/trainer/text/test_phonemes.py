"""Texts as phonemes, in the languages of espeak-ng."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from trainer.config import TextConfig
from trainer.errors import ConfigError
from trainer.installing import extra_command
from trainer.text import Reading, UnknownCharacters, UnreadableText, front_end, symbols_of
from trainer.text.phonemes import languages


def read(language: str, text: str) -> Reading:
    return front_end(TextConfig("phonemes", language)).read(text)


@pytest.mark.parametrize(
    ("language", "written", "phonemes"),
    [
        ("de", "Guten Tag, Herr Müller!", "ɡˈuːtən tˈɑːk, hˈɛɾ mˈʏlɜ!"),
        ("de", "Um 10:30 Uhr – 3,50 €", "ʊm tsˈeːn dɾˈaɪsɪç ˈuːɾ - dɾˈaɪ kɔmɑː fˈʏnf nˈʊl ˈɔøroː"),
        ("fr", "« L’été »", '" letˈe "'),
        ("es", "¿Qué?", "¿kˈe?"),
        ("ru", "Замок, 5 книг", "zamˈok, pʲˈɑtʲ knʲˈik"),
        ("en", "Dr. Smith, 1984", "dˈɑːktɚ smˈɪθ, nˈaɪntiːn ˈeɪɾifˈɔːɹ"),
        ("cmn", "你好。", "ni2χˈɑu2."),
    ],
)
def test_what_is_read(language: str, written: str, phonemes: str) -> None:
    assert read(language, written).text == phonemes


def test_english_and_russian_are_expanded_by_our_own_rules() -> None:
    reading = read("en-gb", "Dr. Smith paid $20.")
    assert reading.words == "doctor smith paid twenty dollars."
    assert [(each.written, each.spoken) for each in reading.expansions] == [
        ("Dr.", "doctor"),
        ("$20", "twenty dollars"),
    ]


@pytest.mark.parametrize("text", ["за́мок", "з+амок"])
def test_a_stress_that_espeak_would_not_follow_is_refused(text: str) -> None:
    with pytest.raises(UnreadableText, match=r"a stress, which espeak-ng does not follow.*characters"):
        read("ru", text)


def test_accents_are_kept() -> None:
    assert (read("de", "schön").text, read("de", "schon").text) == ("ʃˈøːn", "ʃˈoːn")
    assert read("fr", "élève").words == "élève"


@pytest.mark.parametrize(
    ("language", "text", "character"),
    [
        ("de", "hallo мир", "мир"),
        ("de", "🙂", "🙂"),
        ("ja", "日本", "日本"),
        ("en", "b + c", "+"),
        ("fr", "a\x00", "\x00"),
    ],
)
def test_a_character_that_is_not_read_is_named(language: str, text: str, character: str) -> None:
    with pytest.raises(UnknownCharacters) as caught:
        read(language, text)
    assert [each.character for each in caught.value.characters] == list(character)


@pytest.mark.parametrize(
    ("language", "code"),
    [("ger", "de"), ("deu", "de"), ("rus", "ru"), ("fre", "fr"), ("German", "de"), ("gr", "el"), ("ua", "uk")],
)
def test_a_language_by_another_name_is_answered_with_its_code(language: str, code: str) -> None:
    with pytest.raises(ConfigError, match=f"set `text.language: {code}`"):
        front_end(TextConfig("phonemes", language))


@pytest.mark.parametrize(
    ("language", "hint"),
    [("xx", "nearest"), ("german", "`text.language: de`, German"), ("en_us", "such as de"), ("auto", "such as de")],
)
def test_an_unknown_language_is_refused(language: str, hint: str) -> None:
    from trainer.config import TrainerConfig

    with pytest.raises(ConfigError, match=hint):
        front_end(TrainerConfig.from_mapping({"text": {"kind": "phonemes", "language": language}}).text)


def test_a_language_without_its_dictionary_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot load the language 'fo'"):
        read("fo", "hey")


def test_many_languages_are_known_also_by_their_short_names() -> None:
    assert len(languages()) > 100
    assert {"de", "fr", "en", "zh", "ru", "uk"} <= set(languages())


def test_the_docs_list_all_languages() -> None:
    page = (Path(__file__).parents[3] / "docs" / "text.md").read_text(encoding="utf-8")
    without_dictionary = {"fo", "kaa", "xex"}
    spelled_otherwise = {"pt-pt"}
    assert {name for name in languages() if f"`{name}`" not in page} == without_dictionary | spelled_otherwise


def test_missing_packages_are_named_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "phonemizer.backend", None)
    with pytest.raises(ConfigError, match=re.escape(extra_command("phonemes"))):
        read("de", "hallo")


def test_a_symbol_that_the_table_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    front: Any = front_end(TextConfig("phonemes", "de"))
    monkeypatch.setattr(front._phonemiser._backend, "phonemize", lambda texts, strip: ["ɡˈ☃"])
    with pytest.raises(UnreadableText, match="'☃' has no symbol"):
        front.read("Schnee")


def test_the_tables_differ_and_fit_into_a_byte() -> None:
    letters, phonemes = symbols_of(TextConfig()), symbols_of(TextConfig("phonemes", "de"))
    assert letters != phonemes
    assert max(len(letters), len(phonemes)) <= 256
    assert letters[0] == phonemes[0] == "_"
