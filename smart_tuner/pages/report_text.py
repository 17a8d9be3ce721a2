"""The sentences and figures of a report, the same in HTML and Markdown."""

from collections.abc import Iterable

from smart_tuner import figures
from smart_tuner.artifacts import ArtifactKind
from smart_tuner.command_hints import LONGER_TRAINING, is_worth_training, train_longer
from smart_tuner.command_hints import try_like as try_like_trial
from smart_tuner.formatting import counted, counted_causes, duration, finished_of
from smart_tuner.pages.facts import StudyFacts, TrialFacts
from trainer.evaluation.verdict import heard

_EARLY = ("pruned", "failed")  # outcomes that have a cause


def summary(facts: StudyFacts) -> list[str]:
    """A few sentences: how many trials, their outcomes, the best one."""
    if not facts.finished:
        started = sum(trial.state != "WAITING" or bool(trial.params) for trial in facts.trials)
        paused = f", and {facts.states['paused']} paused" if facts.states["paused"] else ""
        of_all = f"{counted(started, 'trial')} of {facts.target} {_have(started)} started"
        return [f"No trial has finished yet: {of_all}{paused}."]
    sentences = [f"{finished_of(facts.finished, facts.target)}: {_outcomes(facts)}."]
    sentences += [
        f"{word.capitalize()}: {counted_causes(causes)}." for word in _EARLY if (causes := facts.causes(word))
    ]
    if replicates := len(facts.trials) - len(facts.searched):
        sentences.append(f"{counted(replicates, 'replicate')} of the best settings, with other seeds.")
    return [" ".join(sentences), _verdict(facts)]


def _outcomes(facts: StudyFacts) -> str:
    return _listed(
        f"{facts.states[word]} {word}" for word in ("complete", "paused", "pruned", "failed") if facts.states[word]
    )


def _verdict(facts: StudyFacts) -> str:
    if facts.best:
        metrics = facts.best.metrics
        objective = figures.objective(facts.spec.objective.metric)
        sure = facts.best.certainty
        return (
            f"The best is trial {facts.best.trial}: {objective.words} {objective.text(facts.best.value)}, "
            f"{figures.ALIGNMENT.words} {figures.ALIGNMENT.of(metrics)}. What is heard: {figures.verdict(metrics)}."
            f"{f' {sure.in_words(objective)}' if sure else ''}"
        )
    none = "No trial is feasible: none satisfies all constraints, so none is called the best."
    if facts.nearest is None:
        return f"{none} None has any figures, either; the reasons are below."
    metrics = facts.nearest.metrics
    return f"{none} Nearest is trial {facts.nearest.trial}: {facts.missed}. What is heard: {figures.verdict(metrics)}."


def headline(facts: StudyFacts) -> list[tuple[str, str, str]]:
    """(name, figure, note) of the most important figures; first what is heard of the shown trial."""
    found = []
    if facts.shown:
        (words, text, _), *rest = figures.headline(facts.shown.metrics)
        whose = f"trial {facts.shown.trial}, {'the best' if facts.best else 'the nearest'}"
        found += [(words, text, whose), *rest]
    if facts.finished:
        found.append(("trials finished", str(facts.finished), _asked(facts)))
    if facts.bill.total:
        found.append(("trained for", _hours(facts.bill.total), "all trials together"))
    if facts.bill.spared:
        found.append(("saved by pruning", _hours(facts.bill.spared), "compared with full budgets"))
    return found


def _asked(facts: StudyFacts) -> str:
    return f"of {facts.target} asked for" if facts.finished <= facts.target else f"{facts.target} asked for"


def next_steps(facts: StudyFacts) -> list[tuple[str, str]]:
    """(sentence, command or nothing), the most useful first."""
    named = f"--study {facts.name}{facts.command_hint.options}"
    steps = []
    if facts.finished < facts.target:
        lacking = facts.target - facts.finished
        steps.append((f"{counted(lacking, 'trial')} more {_were(lacking)} asked for:", f"smart-tuner worker {named}"))
    if facts.shown and (advice := figures.advice(facts.shown.metrics)):
        verdict = figures.verdict(facts.shown.metrics)
        steps.append((f"What is heard of trial {facts.shown.trial}: {verdict}. {advice}", ""))
    elif facts.best is None and facts.finished:
        steps.append(("Give the trials a larger budget.frames, or search wider.", ""))
    if facts.shown and is_worth_training(heard(facts.shown.metrics)):
        steps.append((LONGER_TRAINING, train_longer(facts.spec, facts.command_hint.options)))
    if any(trial.state == "COMPLETE" and trial.newest(ArtifactKind.SAMPLE) for trial in facts.trials):
        steps.append(("Hear the best trials side by side, and rate them:", f"smart-tuner listen {named}"))
    steps = steps or [("See the outcome of the trials:", f"smart-tuner status {named}")]
    first = facts.command_hint.first if any(named in command for _, command in steps) else ""
    return [(first, ""), *steps] if first else steps


def try_like(facts: StudyFacts) -> tuple[str, str] | None:
    """(sentence, command) to try a setting like that of a trial, the shown one if there is one; None: nothing does."""
    trial = facts.shown.trial if facts.shown else "TRIAL"
    command = try_like_trial(facts.spec, trial, facts.command_hint.options)
    if not command or not facts.trials:
        return None
    whose = f"trial {trial}" if facts.shown else "one of the trials"
    first = f" {facts.command_hint.first}" if facts.command_hint.first else ""
    return f"A trial like {whose}, with something changed:{first}", command


def cost(facts: StudyFacts) -> list[str]:
    bill = facts.bill
    if not bill.total:
        return ["No trial has trained yet."]
    costing = [trial for trial in facts.trials if trial.cost]
    devices = _listed(f"{_hours(hours)} on {_device(device)}" for device, hours in bill.hours.items())
    sentences = [
        f"{counted(len(costing), 'trial')} trained for {devices}; {duration(3600 * bill.total / len(costing))} each on "
        "average. This counts the time at work by the trials' own records; trials that share a device count in full."
    ]
    if bill.spared:
        share = bill.spared / (bill.spared + bill.total)
        sentences.append(
            f"Pruning saved {_hours(bill.spared)}, {share:.0%} of what all trials would have cost: the rest of "
            "the pruned ones' budgets, each at its own pace."
        )
    if bill.estimated:
        sentences.append(
            f"For {counted(bill.estimated, 'trial')}, neither record nor times at work are here: the last "
            "start of each counts, by the store."
        )
    return [*sentences, *_longest(costing)]


def _longest(costing: list[TrialFacts]) -> list[str]:
    if len(costing) < 3:
        return []
    trial = max(costing, key=lambda t: t.cost.seconds if t.cost else 0.0)
    return [f"The longest was trial {trial.number} with {duration(trial.cost.seconds if trial.cost else 0.0)}."]


def _device(name: str) -> str:
    return {"cpu": "a CPU", "cuda": "a GPU", "unknown device": "devices unknown here"}.get(name, name)


def _hours(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else duration(3600 * hours)


def _have(n: int) -> str:
    return "has" if n == 1 else "have"


def _were(n: int) -> str:
    return "was" if n == 1 else "were"


def _listed(parts: Iterable[str]) -> str:
    """a, b and c."""
    *some, last = list(parts) or [""]
    return f"{', '.join(some)} and {last}" if some else last
