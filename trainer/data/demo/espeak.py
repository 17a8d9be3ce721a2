"""Text to speech through libespeak-ng, which the optional package espeakng-loader carries.

Covers speaking, and the variants of voices. The library's state is global to the process: a lock serialises calls.
The functions and numbers are those of espeak-ng 1.52, `src/include/espeak-ng/speak_lib.h`.
espeak-ng is GPL-3, hence optional and loaded at run time only.
"""

import ctypes
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.errors import CorpusError
from trainer.installing import extra_command, reinstall_command

SAMPLE_RATE = 22050  # Hz; compared with what the library reports

_AUDIO_OUTPUT_SYNCHRONOUS = 2  # samples go to the callback, espeak_Synth returns after the last
_INITIALIZE_DONT_EXIT = 0x8000  # report missing data instead of ending the process
_CHARS_UTF8 = 1
_POS_CHARACTER = 1
_EE_OK = 0
_WHISPER = ("whisper", "whisperf", "caleb")  # of the variants: no voiced sounds

_lock = threading.Lock()
_chunks: list[bytes] = []  # of the call in progress; guarded by the lock


def _collect(samples: int | None, count: int, events: int | None) -> int:
    if samples and count > 0:
        _chunks.append(ctypes.string_at(samples, count * 2))
    return 0  # continue


# A module variable: the library calls it, and ctypes frees a callback that has no reference.
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(_collect)


def speak(text: str, voice: str) -> npt.NDArray[np.int16]:
    """Speak `text` with the voice named `voice` ("en-us", "ru+f3"); return (samples,) at `SAMPLE_RATE` Hz.

    Digits are read in the voice's language. New processes that speak the same texts in the same order get the same
    samples; in another order pauses differ by up to 15 ms, because the synthesiser keeps some state. Raises CorpusError
    where the package is missing or the library fails.
    """
    with _lock:
        library = _library()
        _check(library.espeak_SetVoiceByName(voice.encode()), f"the voice {voice!r}")
        _chunks.clear()
        raw = text.encode()
        status = library.espeak_Synth(raw, len(raw) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
        _check(status, f"the text {text!r}")
        return np.frombuffer(b"".join(_chunks), dtype=np.int16)


def variants() -> tuple[str, ...]:
    """What may follow a voice and a plus: other speakers ("f3"), without those that whisper.

    Of a name that it does not know, espeak-ng says nothing, and speaks as without. Raises CorpusError as `speak`.
    """
    folder = Path(_loader().get_data_path(), "voices", "!v")
    return tuple(sorted(path.name for path in folder.iterdir() if path.name.isalnum() and path.name not in _WHISPER))


def _check(status: int, what: str) -> None:
    if status != _EE_OK:
        raise CorpusError(f"espeak-ng refused {what} (code {status}).")


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    loader = _loader()
    try:
        library = ctypes.CDLL(loader.get_library_path())
    except OSError as error:
        raise CorpusError(
            f"espeak-ng cannot be loaded ({error}); install it again: {reinstall_command('espeakng-loader')}"
        ) from error
    library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.POINTER(ctypes.c_uint),
        ctypes.c_void_p,
    ]
    _initialise(library, loader.get_data_path())
    return library


def _loader() -> Any:
    try:
        import espeakng_loader  # optional: only needed to train without recordings
    except ImportError as error:
        raise CorpusError(
            f"The embedded corpus needs espeak-ng, which is not installed: {extra_command('demo')}"
        ) from error
    return espeakng_loader


def _initialise(library: ctypes.CDLL, data: str) -> None:
    rate = library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data.encode(), _INITIALIZE_DONT_EXIT)
    if rate != SAMPLE_RATE:
        raise CorpusError(
            f"espeak-ng cannot use its voices in {data} (a path of {len(data.encode())} bytes, of about 150 at most): "
            f"install them again ({reinstall_command('espeakng-loader')}), or move the environment to a shorter path."
        )
    library.espeak_SetSynthCallback(_CALLBACK)
