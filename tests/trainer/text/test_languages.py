"""The language of a corpus: found by its letters, or refused where it is neither English nor Russian."""

import pytest

from trainer.data.demo.sentences import compose
from trainer.text import detect_language, foreign_language, how_to_read


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("texts", [2, 10, 300])
def test_english_and_russian_are_not_foreign(language: str, texts: int) -> None:
    assert foreign_language(compose(language, texts, seed=3)) is None


@pytest.mark.parametrize("language", ["de", "fr", "es"])
@pytest.mark.parametrize("texts", [10, 300])
def test_other_languages_are_found(language: str, texts: int) -> None:
    assert foreign_language(compose(language, texts, seed=3)) == language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("De kat zit op de mat en de hond is in het huis. We gaan morgen naar de winkel om brood te kopen.", "nl"),
        ("Il gatto dorme sul tavolo e il cane sta nella casa con noi, ma domani andiamo tutti al mare.", "it"),
        ("Сьогодні ми їдемо до міста, щоб купити хліб і молоко, а завтра повернемося додому разом із друзями.", "uk"),
        ("你好世界。我们今天去学校，明天去北京看朋友。", "cmn"),
        ("Καλημέρα σε όλους", "el"),
    ],
)
def test_a_language_without_a_corpus_here_is_found(text: str, language: str) -> None:
    assert foreign_language([text]) == language


@pytest.mark.parametrize(
    "texts",
    [["left", "right", "stop", "go", "yes", "no", "up", "down"] * 20, ["Hola"], ["café"], ["ok", "..."], ["123"], []],
)
def test_what_does_not_clearly_show_a_language_is_not_refused(texts: list[str]) -> None:
    assert foreign_language(texts) is None


def test_letters_decide_between_english_and_russian() -> None:
    assert detect_language(["Привет, OK", "123"]) == "ru"
    assert detect_language(["Hello and да"]) == "en"
    assert detect_language(["123", ""]) == "en"


def test_the_settings_are_said() -> None:
    assert "`text.kind: phonemes` and `text.language: fr`" in how_to_read("fr")
    assert "--set fixed.text.language=fr" in how_to_read("fr")
