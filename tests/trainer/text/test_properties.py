"""What holds for all texts: one form of Unicode, nothing left to expand, and symbols that decode to the text."""

import string
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.config import TextConfig
from trainer.text import FrontEnd, UnreadableText, decode, encode, front_end, normalise
from trainer.text.plain import plain

ANY = settings(max_examples=150, deadline=None, database=None)

WORDS = [
    *("Mr.", "Dr.", "St.", "e.g.", "etc.", "U.S.", "p.m.", "No.", "vol.", "Jan.", "May", "Inc.", "Main", "million"),
    *("т. е.", "и т. д.", "г.", "гг.", "руб.", "млн", "мая", "году", "XX", "век", "в.", "часов", "книги", "к", "до"),
    *("1984", "10:30", "$20", "£5.50", "20 €", "5%", "1/2", "½", "1st", "1-й", "12.05.2024", "2024-05-12", "1,234"),
    *("café", "naïve", "з+амок", "замо\u0301к", "ёлка", "…", "–", "№ 5", "#5", "-5", "1\u00a0234", "007", "'90s"),
    *("5 km", "1 kg", "60 mph", "20 m²", "1/2 mi", "5 hrs.", "Henry VIII", "War II", "Chapter IV", "XX century", "BBC"),
    *(
        "CDs",
        "MP3s",
        "2.0.1",
        "555-0199",
        "+1 (555) 010-9999",
        "www.example.com",
        "a@b.org",
        "vs",
        "est.",
        "ext.",
        "10-12",
        "3:1",
        "@",
        "~5",
    ),
    *("5 км", "1 кг", "16 ГБ", "10-12 мин.", "Пётр I", "II", "глава V", "XIX-XX вв.", "СССР", "+7 (495) 123-45-67"),
]
SIGNS = " .,:;!?-–—'\"()[]«»…+$€£₽%&=#№°/\u00a0\u0301"
CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюяё"
LETTERS = string.ascii_letters + CYRILLIC + CYRILLIC.upper() + "éèêçñüôâæ"

tangled = st.lists(st.sampled_from([*WORDS, *SIGNS, *LETTERS, *string.digits, " "]), max_size=12).map("".join)
spaced = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
texts = tangled | spaced | st.text(max_size=20)


def read(text: str, language: str) -> str | None:
    """None: it is refused."""
    try:
        return normalise(text, language)
    except UnreadableText:
        return None


@ANY
@given(text=texts, language=st.sampled_from(["en", "ru"]))
def test_reading_again_changes_nothing(text: str, language: str) -> None:
    once = read(text, language)
    if once is not None:
        assert not any(character.isdigit() for character in once)
        assert decode(encode(once)) == once
        assert normalise(once, language) == once


@ANY
@given(text=texts, language=st.sampled_from(["en", "ru"]))
def test_all_forms_of_unicode_are_read_alike(text: str, language: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert read(composed, language) == read(decomposed, language) == read(text, language)


@ANY
@given(text=texts, language=st.sampled_from(["en", "ru"]))
def test_each_expansion_is_where_it_says(text: str, language: str) -> None:
    try:
        reading = front_end(TextConfig(language=language)).read(text)
    except UnreadableText:
        return
    form = plain(text).text
    ends = 0
    for each in reading.expansions:
        assert form[each.start : each.end] == each.written
        assert each.start >= ends
        ends = each.end


SCRIPTS = {
    "de": "abcdefghijklmnopqrstuvwxyzäöüß ABCÄ.,?!-'0123456789%",
    "fr": "abcdefghijklmnopqrstuvwxyzéèêëàâçîïôûùœ .,;:?!-'«»0123456789",
    "ru": CYRILLIC + " .,?!-+0123456789abc",
    "el": "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώ .;,",
    "hi": "अआइईउऊएऐओऔकखगघचछजझटठडढतथदधनपफबभमयरलवशषसहािीुूेैोौ्ंः ।,",
    "ko": "가나다라마바사아자차카타파하거너더러안녕하세요 .,",
    "ar": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي ،.؟",
}


@pytest.fixture(scope="module", params=sorted(SCRIPTS))
def phonemes(request: pytest.FixtureRequest) -> tuple[str, FrontEnd]:
    return request.param, front_end(TextConfig("phonemes", request.param))


@settings(max_examples=40, deadline=None, database=None)
@given(data=st.data())
def test_phonemes_decode_to_what_was_read(phonemes: tuple[str, FrontEnd], data: st.DataObject) -> None:
    language, front = phonemes
    text = data.draw(st.text(alphabet=SCRIPTS[language], max_size=30))
    try:
        reading = front.read(text)
    except UnreadableText:
        return
    assert decode(encode(reading.text, front.symbols), front.symbols) == reading.text
    assert unicodedata.is_normalized("NFC", reading.words)
    assert front.read(unicodedata.normalize("NFD", text)).text == reading.text
