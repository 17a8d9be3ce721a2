"""The audition: the best voices side by side with the same sentences. Chooses and ranks them; `listen.html` draws."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smart_tuner import figures
from smart_tuner.artifacts import ArtifactKind
from smart_tuner.pages.facts import StudyFacts, TrialFacts
from smart_tuner.pages.records import data_uri
from smart_tuner.pages.rendering import POLICY, render


@dataclass(frozen=True)
class Spoken:
    """One sentence by one trial. None: there is no such file."""

    text: str
    sound: str | None  # data URI
    alignment: str | None
    mel: str | None


@dataclass(frozen=True)
class Voice:
    """One column of the page."""

    trial: int
    rank: str  # among all of the study: "best", "place 2" ...; "not feasible"
    heard: str  # the verdict
    stars: int | None
    sentences: Sequence[Spoken]
    figures: Sequence[tuple[str, str, str]]  # words, figure, note
    params: Sequence[tuple[str, Any, bool]]  # name, value, whether the voices differ in it


@dataclass(frozen=True)
class Audition:
    voices: Sequence[Voice]
    silent: Sequence[int]  # trials that rank among them, but whose sound is not on this machine


def audition(facts: StudyFacts, top: int) -> Audition:
    """The best `top` complete trials with sound here: feasible ones by the objective, then others by alignment."""
    chosen: dict[int, TrialFacts] = {}  # by the place among all, with sound or without
    silent: list[int] = []
    for place, trial in enumerate(_ranked(facts.trials), 1):
        if len(chosen) == top:
            break
        if trial.newest(ArtifactKind.SAMPLE):
            chosen[place] = trial
        else:
            silent.append(trial.number)
    samples = (a for trial in chosen.values() for a in trial.artifacts if a.kind is ArtifactKind.SAMPLE)
    texts = list(dict.fromkeys(sample.sentence for sample in samples))
    differing = _differing([trial.params for trial in chosen.values()])
    return Audition([_voice(trial, place, texts, differing) for place, trial in chosen.items()], silent)


def _ranked(trials: Iterable[TrialFacts]) -> list[TrialFacts]:
    def rank(trial: TrialFacts) -> tuple[bool, float, int]:
        if trial.feasible and trial.value is not None:
            return False, trial.value, trial.number
        return True, -trial.metrics.get("alignment", 0.0), trial.number

    return sorted((trial for trial in trials if trial.state == "COMPLETE"), key=rank)


def _differing(params: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of parameters that differ between the trials, or that some of them lack."""
    names = dict.fromkeys(name for some in params for name in some)
    return [name for name in names if any(some.get(name) != params[0].get(name) for some in params)]


def _voice(trial: TrialFacts, place: int, texts: Sequence[str], differing: Sequence[str]) -> Voice:
    def uri(kind: ArtifactKind, text: str) -> str | None:
        artifact = trial.of_sentence(kind, text)
        return data_uri(artifact) if artifact else None

    def spoken(text: str) -> Spoken:
        return Spoken(
            text,
            sound=uri(ArtifactKind.SAMPLE, text),
            alignment=uri(ArtifactKind.ALIGNMENT, text),
            mel=uri(ArtifactKind.MEL, text),
        )

    marked = [(name, value, name in differing) for name, value in trial.params.items()]
    return Voice(
        trial=trial.number,
        rank=("best" if place == 1 else f"place {place}") if trial.feasible else "not feasible",
        heard=figures.verdict(trial.metrics),
        stars=trial.stars,
        sentences=[spoken(text) for text in texts],
        figures=figures.headline(trial.metrics)[1:],
        params=sorted(marked, key=lambda param: not param[2]),
    )


def audition_page(facts: StudyFacts, top: int, token: str | None) -> str:
    """token: lets the page save ratings on its server; None: it only shows them."""
    return render(
        "listen.html",
        facts=facts,
        audition=audition(facts, top),
        token=token,
        policy=POLICY.format(connect="'self'" if token else "'none'"),
    )
