"""The texts of a corpus: read in one language, with all that cannot be read at once."""

from trainer.config import TextConfig
from trainer.data.demo.sentences import compose
from trainer.data.faults import FaultKind, grouped
from trainer.data.texts import read_texts
from trainer.text import ExpansionKind

FRENCH = [(f"list.csv:{number}", text) for number, text in enumerate(compose("fr", 30, seed=1), 1)]


def test_each_text_is_shown_as_written_as_spoken_and_with_its_expansions() -> None:
    read = read_texts([("a:1", "Dr. Lee paid $20 in 1984."), ("a:2", "Naïve!")], TextConfig())
    first, second = read.readings
    assert first is not None
    assert second is not None
    assert (read.language, read.faults) == ("en", ())
    assert first.written == "Dr. Lee paid $20 in 1984."
    assert first.text == first.words == "doctor lee paid twenty dollars in nineteen eighty-four."
    assert [(each.kind, each.written, each.spoken) for each in first.expansions] == [
        (ExpansionKind.ABBREVIATION, "Dr.", "doctor"),
        (ExpansionKind.MONEY, "$20", "twenty dollars"),
        (ExpansionKind.YEAR, "1984", "nineteen eighty-four"),
    ]
    assert [(each.kind, each.written, each.spoken) for each in second.expansions] == [(ExpansionKind.ACCENT, "ï", "i")]


def test_all_texts_that_cannot_be_read_are_faults_with_their_line() -> None:
    read = read_texts([("a:1", "One."), ("a:2", "Київ"), ("a:3", "..."), ("a:4", "x / y")], TextConfig())
    assert [reading is None for reading in read.readings] == [False, True, True, True]
    assert [(fault.kind, fault.origin) for fault in read.faults] == [
        (FaultKind.SYMBOL, "a:2"),
        (FaultKind.NO_TEXT, "a:3"),
        (FaultKind.SYMBOL, "a:4"),
    ]
    assert "set `text.kind: phonemes`" in read.faults[0].text


def test_each_unreadable_character_of_a_corpus_is_named_once() -> None:
    read = read_texts([("a:1", "a_b_"), ("a:2", "c_ ☃"), ("a:3", "Fine.")], TextConfig())
    assert [fault.characters for fault in read.faults] == ["__", "_☃"]
    assert grouped(read.faults).splitlines()[:3] == [
        "A character without a symbol: 2",
        "  '_' (U+005F LOW LINE): 3 in 2 texts",
        "  '☃' (U+2603 SNOWMAN): 1 in 1 text",
    ]


def test_words_of_two_alphabets_are_a_group_of_their_own_and_lines_in_another_one_are_read() -> None:
    read = read_texts(
        [("a:1", "Тhe end."), ("a:2", "Он пошёл."), ("a:3", "Fine, we go on.")], TextConfig(language="en")
    )
    (fault,) = read.faults
    assert (fault.kind, fault.origin, fault.characters) == (FaultKind.ALPHABETS, "a:1", "Т")
    assert fault.text.endswith("write each word in the letters of one alphabet.")
    assert read.readings[1] is not None


def test_rare_accents_are_read_and_common_ones_refuse_the_corpus_once() -> None:
    english = [(f"list.csv:{number}", text) for number, text in enumerate(compose("en", 100, seed=1), 1)]
    rare = [*english, *((f"list.csv:{number}", "A café in Köln.") for number in range(101, 105))]
    assert read_texts(rare, TextConfig()).faults == ()
    common = [*english, *((f"list.csv:{number}", "A café in Köln.") for number in range(101, 141))]
    (fault,) = read_texts(common, TextConfig(language="en")).faults
    assert (fault.kind, fault.origin) == (FaultKind.LANGUAGE, "list.csv")
    assert "80 of" in fault.text
    assert "`text.kind: phonemes`" in fault.text


def test_a_corpus_in_another_language_is_one_fault_with_the_settings_to_add() -> None:
    read = read_texts(FRENCH, TextConfig())
    (fault,) = read.faults
    assert (fault.kind, fault.origin, read.language) == (FaultKind.LANGUAGE, "list.csv", "fr")
    assert "`text.kind: phonemes` and `text.language: fr`" in fault.text
    assert "set `text.language: en`" in fault.text


def test_with_these_settings_it_is_read() -> None:
    read = read_texts(FRENCH, TextConfig("phonemes", "fr"))
    assert (read.faults, read.language) == ((), "fr")
    assert all(reading and "ˈ" in reading.text for reading in read.readings)


def test_a_language_that_is_set_is_not_questioned() -> None:
    names = [("a:1", "Guten Morgen, Frau Doktor Schmidt, wie geht es Ihnen heute an diesem Tag? Wir kommen bald.")]
    assert read_texts(names, TextConfig()).faults[0].kind is FaultKind.LANGUAGE
    assert read_texts(names, TextConfig(language="en")).faults == ()
