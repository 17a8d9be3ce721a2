"""How `smart-tuner voice` divides the time: which study is searched for how long, and how long its best is trained."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from jinja2 import Environment, StrictUndefined

from smart_tuner.formatting import counted, duration
from smart_tuner.training.speed import START_SECONDS, TRAINING_SHARE

Command = Literal["voice", "init"]  # of smart-tuner: what writes a study; `init` trains nothing after its search

SEARCH_SHARE = 0.3  # of the whole time
REST_SHARE = 0.08  # of it, for the evaluation, the export and the first sentences, and at least as long as:
REST_SECONDS = 60.0
MOST_TRIALS = 40
# Of its budget, what a trial takes on average: of 64 recorded settings, 17 budgets with promotion, 38 without
# (benchmarks/results/search.json). Measured for the tiny model alone.
_TRIAL_COST = {"tiny": 0.3, "full": 0.6, "voice": 0.6}
_FRAMES = {"tiny": 600_000, "full": 5_000_000, "voice": 1_000_000}  # of a trial; voice: fine-tuning
_WHY = {
    "tiny": "Trials run on the CPU: the small model, which it trains in minutes.",
    "full": "Trials run on a GPU: the model at full size.",
    "voice": "There is a voice to begin with: fine-tuning, with the sizes of its model.",
}
_AVERAGING = 0.03  # on its way to another speaker a voice is unsteady, and the mean of its weights much less so
_STARTUP = 5  # random trials, of those that are searched
_JUDGED_BY = 8  # clips to validate: as many sentences as a trial speaks
_MOST_JUDGED = 0.2  # of the clips: the others are to train on


@dataclass(frozen=True)
class Plan:
    """hours: for all. speed: frames a second that this machine trains, all its cores or one GPU together."""

    name: str
    corpus: str
    preset: str
    minutes: float  # of speech
    language: str  # of its texts, as the trainer names it
    hours: float
    speed: float
    validation_share: float | None = None  # of the clips; None: as it is set, which is enough

    @property
    def rest_seconds(self) -> float:
        return max(REST_SECONDS, REST_SHARE * 3600 * self.hours)

    @property
    def frames(self) -> int:
        """Of one trial."""
        return _FRAMES[self.preset]

    @property
    def trials(self) -> int:
        """As many as fit into the share of the search, and at least one: the known setting, which is trained on."""
        budgets = SEARCH_SHARE * 3600 * self.hours * TRAINING_SHARE * self.speed / self.frames
        return min(MOST_TRIALS, 1 + max(0, int((budgets - 1) / _TRIAL_COST[self.preset])))

    @property
    def search_seconds(self) -> float:
        """Expected. One trial trains to its end."""
        budgets = 1 + (self.trials - 1) * _TRIAL_COST[self.preset]
        return START_SECONDS + budgets * self.frames / (TRAINING_SHARE * self.speed)

    @property
    def search_limit_seconds(self) -> float:
        """When the search ends even where trials are left. A single trial has all of the time: it must end."""
        return 3600 * self.hours if self.trials == 1 else 1.5 * self.search_seconds

    @property
    def train_seconds(self) -> float:
        """What is left for the training of the best setting; not positive where the time is too short."""
        return 3600 * self.hours - self.search_seconds - self.rest_seconds

    def study(self, path: str, fixed: Mapping[str, Any], command: Command = "voice", found: Sequence[str] = ()) -> str:
        """The study as YAML. fixed: further settings for all trials. For the comments: path, of its file; command, that
        writes it; found: lines about the corpus."""
        if self.validation_share is not None:
            fixed = {**fixed, "corpus.validation_share": self.validation_share}
        if self.preset == "voice":
            fixed = {"averaging.share": _AVERAGING, **fixed}
        template = files("smart_tuner.training").joinpath("templates/study.yaml").read_text(encoding="utf-8")
        environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
        time = duration(3600 * self.hours)
        return environment.from_string(template).render(
            name=_scalar(self.name),
            command=command,
            path=shlex.quote(path),
            reason=f"{self.minutes:.0f} minutes of speech, {self.speed:,.0f} frames a second, {time}.",
            found=[" ".join(line.split()) for line in found],
            corpus=_scalar(self.corpus),
            preset=self.preset,
            chosen=self.why_preset,
            fixed={key: _scalar(value) for key, value in fixed.items()},
            frames=self.frames,
            startup=min(_STARTUP, max(1, self.trials // 2)),
            hours=self.search_limit_seconds / 3600,
            trials=self.trials,
        )

    @property
    def why_preset(self) -> str:
        return _WHY[self.preset]

    def lines(self) -> list[str]:
        """The plan, for people."""
        share = self.validation_share
        judged = [] if share is None else [f"to validate: {share:.0%} of the clips, since fewer would judge by too few"]
        alone = ", the known setting: there is no time for others" if self.trials == 1 else ""
        return [
            f"preset {self.preset}, {self.minutes:.1f} minutes of speech, {self.speed:,.0f} frames a second here",
            *judged,
            f"search: {counted(self.trials, 'trial')} of {self.frames / 1e6:g} million frames, about "
            f"{duration(self.search_seconds)}{alone}",
            f"training of the best setting: about {duration(self.train_seconds)}",
            f"evaluation, export, first sentences: up to {duration(self.rest_seconds)}",
        ]


def validation_share(train: int, validation: int) -> float | None:
    """The share of the clips to validate by, where `validation` of them are too few to judge by; else None."""
    if validation >= _JUDGED_BY:
        return None
    return round(min(_MOST_JUDGED, _JUDGED_BY / (train + validation)), 4)


def _scalar(value: Any) -> str:
    """In one line of YAML, of which JSON is a part."""
    return json.dumps(value, ensure_ascii=False)
