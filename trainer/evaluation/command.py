"""`python -m trainer evaluate`: the full evaluation of one voice, written into a folder. `smart-tuner evaluate` adds a
page to it.
"""

import argparse
import json
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from trainer.config import ColumnsConfig, PathsConfig, TrainerConfig
from trainer.data.progress import OnProgress
from trainer.errors import CorpusError, VoiceError
from trainer.evaluation.verdict import heard, reservation
from trainer.exit_reports import print_to_stderr
from trainer.protocol import ExitCode
from trainer.stopping import Stopped, StopRequest
from trainer.vocoder.names import add_vocoder

if TYPE_CHECKING:
    import torch

    from trainer.data.features import Features
    from trainer.evaluation.listener import Listener
    from trainer.evaluation.results import Results
    from trainer.vocoder.vocoders import Vocoder
    from trainer.voice_format import Voice

LISTENER_IS_MISSING = "Word errors were not measured, since no listener of English is installed: {install}"
PHONEMES_ARE_NO_WORDS = "Word errors were not measured: what the voice reads are phonemes, in which no words are known."
WITHOUT_RECORDINGS = "These texts have no recordings: figures that compare with one are empty, and there is no verdict."


def add_evaluate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "evaluate",
        help="measure what a voice says without a teacher",
        description="Let a voice speak all validation sentences of its corpus, or texts, and write into a folder: "
        "sentences.csv, summary.json, pictures and sounds of the ten worst.",
    )
    parser.add_argument("voice", type=Path, metavar="VOICE.pt", help="a best.pt, or what `import` wrote")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="an earlier evaluation is replaced")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--corpus", metavar="SOURCE", help="another corpus than that in the voice, as in `corpus.source`")
    what.add_argument("--texts", type=Path, metavar="FILE", help="speak these texts, one per line, instead of a corpus")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, or one such as cuda:1 (default: auto)")
    add_vocoder(parser)
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(PathsConfig().cache),
        metavar="FOLDER",
        help="where features are kept, if the folder that the voice names is not here (default: %(default)s)",
    )


def evaluate(arguments: argparse.Namespace, stop: StopRequest, show: OnProgress) -> ExitCode:
    """show: prints progress. Raises UserError where voice, corpus, texts or folder cannot be used."""
    from trainer import voice_format
    from trainer.data.atomic_folders import replace_folder_atomically
    from trainer.device import named_device
    from trainer.evaluation.results import is_results
    from trainer.vocoder.vocoders import open_vocoder

    if Path.cwd().is_relative_to(arguments.out.resolve()):  # to replace it would take it away from the user's shell
        raise VoiceError(f"{arguments.out}: is the current folder, or holds it; name a new folder with --out.")
    if arguments.out.exists() and not is_results(arguments.out) and not _is_empty(arguments.out):
        raise VoiceError(f"{arguments.out}: holds something else than an evaluation; name another folder with --out.")
    stop.listen()

    def progress(done: int, total: int, what: str) -> None:
        show(done, total, what)
        stop.check()

    device = named_device(arguments.device)
    voice = voice_format.load(arguments.voice)
    vocoder = open_vocoder(arguments.vocoder, voice.config.audio, device)
    plan = (_plan_texts if arguments.texts else _plan_corpus)(arguments, voice, vocoder, device, progress)
    _stop_at_once()
    try:
        with replace_folder_atomically(arguments.out) as folder:
            summary = plan.write(folder, progress)
    except Stopped as stopped:
        print_to_stderr(f"{stopped}; {arguments.out} is as it was")
        return ExitCode.STOPPED
    except OSError as error:
        raise VoiceError(f"{arguments.out}: cannot be written ({error}); name another folder with --out.") from error
    print(json.dumps({"evaluated": str(arguments.out)}) if arguments.progress == "json" else _closing(summary))
    return ExitCode.FINISHED


@dataclass(frozen=True, eq=False)
class _Plan:
    """All that was checked before the work begins. work: adds the sentences, one after the other."""

    voice: "Voice"
    vocoder: "Vocoder"
    about: dict[str, Any]
    work: Callable[["Results", OnProgress], None]
    sounds_of_all: bool

    def write(self, folder: Path, progress: OnProgress) -> dict[str, Any]:
        """Returns what `summary.json` says besides the figures."""
        from trainer.evaluation.results import Results

        results = Results(folder, self.voice.config.audio, self.vocoder, sounds_of_all=self.sounds_of_all)
        self.work(results, progress)
        verdict = heard(results.figures(), prefix="")
        about = {**self.about, "verdict": verdict, "advice": verdict.advice if verdict else None}
        results.write(about, progress)
        return {**about, **results.counts}


def _plan_corpus(
    arguments: argparse.Namespace, voice: "Voice", vocoder: "Vocoder", device: "torch.device", progress: OnProgress
) -> _Plan:
    from trainer.device import set_up
    from trainer.evaluation.full import Corpus, refuse_unknown_symbols
    from trainer.model import Tacotron2

    config = _config(arguments, voice)
    features = _features(arguments, config, progress)
    refuse_unknown_symbols(features, voice.symbols, str(arguments.voice))
    listener, notes = _listener(features.language, config.text.kind)

    def work(results: "Results", progress: OnProgress) -> None:
        set_up(device, config.device)
        model = Tacotron2(config.model, len(voice.symbols), config.audio.n_mels).to(device)
        model.load_state_dict(voice.weights)
        for judged, perceived in Corpus(model, features, config.audio, device, listener).judge(progress):
            results.add(judged, perceived)

    about = _about(arguments, vocoder, corpus=config.corpus.source, language=features.language, notes=notes)
    return _Plan(voice, vocoder, about, work, sounds_of_all=False)


def _plan_texts(
    arguments: argparse.Namespace, voice: "Voice", vocoder: "Vocoder", device: "torch.device", progress: OnProgress
) -> _Plan:
    from trainer.evaluation.full import judge_texts
    from trainer.evaluation.texts import read_lines, read_texts
    from trainer.synthesis import Synthesizer
    from trainer.text import detect_language

    synthesizer = Synthesizer(voice, vocoder, device)
    lines = read_texts(arguments.texts, synthesizer)
    language = synthesizer.text.language
    if language == "auto":
        language = detect_language(sentence for line in lines for sentence in line.sentences)
    listener, notes = _listener(language, synthesizer.text.kind)
    if words := {word for _, text in read_lines(arguments.texts) for word in synthesizer.accented(text)}:
        notes = [*notes, f"Read without accents: {', '.join(sorted(words))}."]

    def work(results: "Results", progress: OnProgress) -> None:
        for judged, perceived in judge_texts(lines, synthesizer, listener, progress):
            results.add(judged, perceived)

    about = _about(
        arguments, vocoder, texts=str(arguments.texts), language=language, notes=[WITHOUT_RECORDINGS, *notes]
    )
    return _Plan(voice, vocoder, about, work, sounds_of_all=True)


def _about(arguments: argparse.Namespace, vocoder: "Vocoder", **given: Any) -> dict[str, Any]:
    written = f"{datetime.now().astimezone():%Y-%m-%d %H:%M}"
    voice = {"voice": str(arguments.voice), "vocoder": vocoder.name}
    return {**voice, "corpus": None, "texts": None, "written": written, **given}


def _config(arguments: argparse.Namespace, voice: "Voice") -> TrainerConfig:
    """The voice's configuration, with the corpus, the device and the folders that are used here."""
    config = voice.config
    corpus, paths = config.corpus, config.paths
    if arguments.corpus:
        corpus = replace(corpus, source=arguments.corpus, validation_source="")
        if corpus.source != config.corpus.source:  # laid out in its own way
            corpus = replace(corpus, layout="auto", columns=ColumnsConfig(), speaker="")
    elif voice.figures is None:
        raise VoiceError(
            f"{arguments.voice}: was imported, and does not say which recordings it is of; name a corpus with "
            "--corpus, or texts with --texts."
        )
    cache = paths.cache if Path(paths.cache).is_dir() else str(arguments.cache)
    features = paths.features if Path(paths.features).is_dir() and not arguments.corpus else ""
    config = replace(
        config,
        corpus=corpus,
        paths=replace(paths, cache=cache, features=features),
        device=replace(config.device, name=arguments.device, threads=0),
    )
    return TrainerConfig.from_mapping(asdict(config), "--device")


def _features(arguments: argparse.Namespace, config: TrainerConfig, progress: OnProgress) -> "Features":
    from trainer.data.features import locate_features, open_features

    # A voice names the language that was found; the features that it was trained on may be kept under "auto".
    found = replace(config, text=replace(config.text, language="auto"))
    try:
        if not config.paths.features and not locate_features(config) and locate_features(found):
            return open_features(found, progress)
        return open_features(config, progress)
    except CorpusError as error:
        if arguments.corpus:
            raise
        raise CorpusError(
            f"{error}\n{arguments.voice} was trained on it; if it has moved, name it with --corpus."
        ) from error


def _listener(language: str, kind: str) -> tuple["Listener | None", list[str]]:
    """For English, if it is installed; else a note that says how to get it."""
    from trainer.evaluation.listener import LANGUAGE, Listener, how_to_install, is_installed

    if language.partition("-")[0] != LANGUAGE:
        return None, []
    if kind != "characters":
        return None, [PHONEMES_ARE_NO_WORDS]
    return (Listener(), []) if is_installed() else (None, [LISTENER_IS_MISSING.format(install=how_to_install())])


def _stop_at_once() -> None:
    """From now on a signal raises Stopped: nothing is worth waiting for, and a sentence may take seconds."""

    def leave(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise Stopped(f"received {signal.Signals(number).name}")

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _closing(summary: dict[str, Any]) -> str:
    if not summary["verdict"]:
        return "\n".join([f"{summary['voice']}: no verdict", *summary["notes"]])
    verdict = f"{summary['verdict']}. {summary['advice']}"
    return "\n".join(
        filter(None, [f"{summary['voice']}: {verdict}", reservation(summary["sentences"]), *summary["notes"]])
    )
