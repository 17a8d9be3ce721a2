"""A voice as an MLflow model: texts in, WAV files out. The weights are random, so that speech ends at the limit."""

import io
import threading
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from endless_voice import RATE, endless_voice

from trainer import voice_format
from trainer.config import AudioConfig
from trainer.pyfunc import VoiceModel, _load_pyfunc
from trainer.synthesis import LONGEST, PAUSE, Synthesizer
from trainer.text import SYMBOLS
from trainer.text.phoneme_symbols import PHONEMES
from trainer.vocoder.vocoders import GriffinLim
from trainer.voice_format import Voice


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """With a model this small, two threads on busy cores take thirty times as long as one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VoiceModel:
    path = tmp_path_factory.mktemp("voice") / "best.pt"
    voice_format.save(path, endless_voice())
    return _load_pyfunc(str(path))


def synthesizer_of(voice: Voice) -> Synthesizer:
    return Synthesizer(voice, GriffinLim(voice.config.audio))


def test_each_text_becomes_a_complete_wav_file(model: VoiceModel, tmp_path: Path) -> None:
    files = model.predict(["Hello.", "A sentence that is longer than the first."])
    lengths = []
    for file in files:
        with wave.open(io.BytesIO(file)) as sound:
            assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, RATE)
            samples = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
            lengths.append(len(samples))
        assert samples.std() > 0
    assert RATE < lengths[0] < lengths[1]
    assert model.predict([]) == []


def test_an_exported_file_speaks_as_the_voice_does(model: VoiceModel, tmp_path: Path) -> None:
    voice_format.save_to_share(tmp_path / "voice.safetensors", endless_voice())
    assert _load_pyfunc(str(tmp_path / "voice.safetensors")).predict(["Hello."]) == model.predict(["Hello."])


def test_a_call_may_name_the_vocoder(model: VoiceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def opened(name: str, audio: AudioConfig) -> GriffinLim:
        asked.append(name)
        return GriffinLim(audio)

    monkeypatch.setattr("trainer.pyfunc.open_vocoder", opened)
    assert model.predict(["Hello."], params={"vocoder": "griffin-lim"}) == model.predict(["Hello."])
    model.speak(["Hello."], "mine.pt")
    assert asked == ["griffin-lim", "mine.pt"]
    with pytest.raises(ValueError, match=r"`vocoder` must be one of auto, hifigan, griffin-lim, but got 'mine\.pt'"):
        model.predict(["Hello."], params={"vocoder": "mine.pt"})  # it may come over the network


def test_all_forms_of_input_from_mlflow_are_accepted(model: VoiceModel) -> None:
    texts = ["Hello.", "Good day."]
    expected = model.predict(texts)
    forms: list[Any] = [
        np.array(texts),
        np.array(texts, dtype=object)[:, None],
        pandas.Series(texts),
        pandas.DataFrame({"text": texts}),
    ]
    for form in forms:
        assert model.predict(form, params=None) == expected
    assert model.predict("Hello.") == expected[:1]


def test_a_text_always_sounds_the_same(model: VoiceModel) -> None:
    """Independent of other texts and of the random state, which stays as it is."""
    (alone,) = model.predict(["Hello there."])
    torch.manual_seed(123)
    state = torch.get_rng_state()
    assert model.predict(["Before.", "Hello there."])[1] == alone
    assert torch.equal(torch.get_rng_state(), state)


def test_threads_do_not_disturb_each_other(model: VoiceModel) -> None:
    texts = ["Hello there.", "Good day.", "One more."]
    expected = model.predict(texts)
    files: dict[str, bytes] = {}
    threads = [
        threading.Thread(target=lambda text=text: files.update({text: model.predict([text])[0]})) for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [files[text] for text in texts] == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["fine", "日本"], r"text 1 \('日本'\): .*CJK UNIFIED IDEOGRAPH.* no symbol"),
        (["fine", "  "], "text 1 .* nothing to say"),
        (["..."], "text 0 .* nothing to say"),
        ([None], r"text 0 must be a string, but got None \(NoneType\)"),
        (["fine", 5], r"text 1 must be a string, but got 5 \(int\)"),
        (pandas.DataFrame({"a": ["x"], "b": ["y"]}), r"one column, but got an array of shape \(1, 2\)"),
    ],
)
def test_a_text_that_cannot_be_spoken_is_named(model: VoiceModel, given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.predict(given)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["one.", "two!", "three?"]),
        ('He said "no." Then he left', ['he said "no."', "then he left"]),
        ("It costs 3.5 pounds", ["it costs three point five pounds"]),
        ("Wait ... what?", ["wait ...", "what?"]),
        ("What?! - No.", ["what?!", "- no."]),
        ("The end. ...", ["the end."]),
        ("Two\n lines", ["two lines"]),
    ],
)
def test_a_long_text_is_split_where_sentences_end(text: str, sentences: list[str]) -> None:
    assert synthesizer_of(endless_voice()).sentences(text) == sentences


def test_a_long_sentence_is_cut_after_clauses_and_else_between_words() -> None:
    synthesizer = synthesizer_of(endless_voice())
    clause = " ".join(["word"] * 20)
    clauses = synthesizer.sentences(", ".join([clause] * 6) + ". Good bye.")
    assert clauses == [f"{clause}, {clause},"] * 2 + [f"{clause}, {clause}.", "good bye."]
    words = synthesizer.sentences("word " * 300)
    assert all(LONGEST - len("word ") < len(part) <= LONGEST for part in words[:-1])
    assert " ".join(words).split() == ["word"] * 300
    assert synthesizer.sentences("a" * 300) == ["a" * 300]


def test_sentences_are_joined_by_a_pause() -> None:
    synthesizer = synthesizer_of(endless_voice())
    both, first, second = (synthesizer.say(text) for text in ("Hello there. Good day.", "Hello there.", "Good day."))
    pause = np.zeros(round(PAUSE * RATE), np.float32)
    np.testing.assert_array_equal(both.samples, np.concatenate([first.samples, pause, second.samples]))
    assert [sentence.text for sentence in both.sentences] == ["hello there.", "good day."]


def test_a_sentence_reports_whether_it_ended() -> None:
    (cut,) = synthesizer_of(endless_voice(gate=-10.0)).say("Hello there.").sentences
    (ended,) = synthesizer_of(endless_voice(gate=10.0)).say("Hello there.").sentences
    assert not cut.ended
    assert ended.ended
    assert len(ended.mel) < len(cut.mel)
    assert 0 <= cut.alignment < 0.5  # random weights do not align


@pytest.mark.parametrize(
    ("language", "text", "read"),
    [("en", "2", "two"), ("ru", "2", "два"), ("auto", "2 кота", "два кота"), ("auto", "2 cats", "two cats")],
)
def test_numbers_are_read_in_the_language_of_the_voice(language: str, text: str, read: str) -> None:
    assert synthesizer_of(endless_voice(language)).sentences(text) == [read]


def test_a_voice_of_phonemes_reads_texts_in_its_language() -> None:
    synthesizer = synthesizer_of(endless_voice("de", PHONEMES, kind="phonemes"))
    assert synthesizer.sentences("Schön! Und jetzt?") == ["ʃˈøːn!", "ʊnt jˈɛtst?"]
    assert len(synthesizer.say("Ja.").samples) > RATE
    with pytest.raises(
        ValueError, match=r"'м' \(U\+043C CYRILLIC SMALL LETTER EM\) at character 1 is not read in 'de'"
    ):
        synthesizer.sentences("мир")


def test_a_symbol_that_the_voice_was_not_trained_with_is_refused() -> None:
    latin = SYMBOLS[: SYMBOLS.index("а")]
    synthesizer = synthesizer_of(endless_voice("auto", latin))
    assert synthesizer.sentences("Hello.") == ["hello."]
    with pytest.raises(ValueError, match="'в' was no symbol when this voice was trained"):
        synthesizer.sentences("Привет")
