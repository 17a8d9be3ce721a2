"""Compares a study with its copy in MLflow and prints every difference; exit code 1 if there is one.

    python -m benchmarks.mlflow_comparison --storage URL --study NAME --workspace FOLDER --tracking-uri URL

Uses none of this project's code: it reads the study with Optuna's client, MLflow with MLflow's client, and the trials'
`events.jsonl` by itself. It compares for each trial: that it has exactly one run, parameters, every point of every
curve (step, value, time), state, start and end, reason, constraints, figures, seed and files; and which run is marked
as the best, and whose voice is the champion in the Model Registry.
"""

import argparse
import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow
import optuna
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState

CURVES = {"progress": "train", "validation": "validation", "free_running": "free_running"}
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED", "RUNNING": "RUNNING", "WAITING": "SCHEDULED"}

Points = Counter[tuple[int, str, int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("storage", "study", "workspace", "tracking-uri"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    found, counts = compare(options.storage, options.study, Path(options.workspace), options.tracking_uri)
    print(*found[:50], sep="\n")
    print(json.dumps({"differences": len(found), **counts}))
    sys.exit(1 if found else 0)


def compare(storage: str, name: str, workspace: Path, tracking_uri: str) -> tuple[list[str], dict[str, int]]:
    """The differences as text, and how much was compared."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name=name, storage=storage)
    client = mlflow.MlflowClient(tracking_uri)
    runs = runs_of_trials(client, name)
    differences: list[str] = []
    counts = {"trials": 0, "points": 0, "params": 0, "files": 0}
    trials = study.get_trials()
    for trial in trials:
        mine = runs.pop(trial.number, [])
        if len(mine) != 1:
            differences.append(f"trial {trial.number}: {len(mine)} runs")
            continue
        expected = expected_of(trial, workspace)
        got = got_of(client, mine[0])
        counts["trials"] += 1
        counts["points"] += sum(sum(points.values()) for points in expected["curves"].values())
        counts["params"] += len(expected["params"])
        counts["files"] += len(expected["files"])
        for what in expected:
            if expected[what] != got[what]:
                differences.append(f"trial {trial.number}: {what}: {shorter(expected[what], got[what])}")
    differences += [f"trial {number}: a run, but no such trial" for number in runs]
    return differences + wrong_marks(client, trials, name), counts


def runs_in(client: mlflow.MlflowClient, name: str) -> Iterator[Run]:
    experiment = client.get_experiment_by_name(name)
    token = None
    while experiment is not None:
        page = client.search_runs([experiment.experiment_id], page_token=token)
        yield from page
        token = page.token
        if not token:
            break


def runs_of_trials(client: mlflow.MlflowClient, name: str) -> dict[int, list[Run]]:
    runs: dict[int, list[Run]] = defaultdict(list)
    for run in runs_in(client, name):
        if "trial" in run.data.tags:
            runs[int(run.data.tags["trial"])].append(run)
    return runs


def expected_of(trial: FrozenTrial, workspace: Path) -> dict[str, Any]:
    record = workspace / trial.user_attrs["run_dir"]
    events = [json.loads(line) for line in (record / "events.jsonl").read_text().splitlines()]
    curves: dict[str, Points] = defaultdict(Counter)
    for event in events:
        if event["kind"] in CURVES:
            at = (event["update"], round(event["time"] * 1000))
            figures = {f"{CURVES[event['kind']]}/{key}": value for key, value in event["data"].items()}
            for key, value in {**figures, "frames": event["frames"]}.items():
                if type(value) in (int, float) and not key.endswith("/index"):
                    curves[key][at[0], number(value), at[1]] = 1
    ended = None if trial.datetime_complete is None else milliseconds(trial.datetime_complete)
    if trial.value is not None and ended is not None:
        curves["value"][0, number(trial.value), ended] = 1
    tags = {"state": trial.state.name, "environment.seed": str(events[0]["data"]["config"]["seed"])}
    tags |= {"reason": trial.user_attrs["reason"]} if "reason" in trial.user_attrs else {}
    tags |= {f"constraint.{key}": str(value) for key, value in trial.constraints.items()}
    tags |= {f"figure.{key}": str(value) for key, value in trial.user_attrs.get("metrics", {}).items()}
    return {
        "params": {key: str(value) for key, value in trial.params.items()},
        "curves": dict(curves),
        "status": STATUS[trial.state.name],
        "start": round(events[0]["time"] * 1000),
        "end": ended,
        "tags": tags,
        "files": files_of(record, events),
    }


def files_of(record: Path, events: list[dict[str, Any]]) -> dict[str, int]:
    """Names and sizes: configuration, log, last picture, samples."""
    shown = [event["data"] for event in events if event["kind"] == "artifact"]
    pictures = [data["path"] for data in shown if data["what"] == "alignment"]
    samples = [data["path"] for data in shown if data["what"] == "sample"]
    wanted = ["config.json", "trainer.log", *pictures[-1:], *samples]
    return {name: (record / name).stat().st_size for name in wanted if (record / name).is_file()}


def got_of(client: mlflow.MlflowClient, run: Run) -> dict[str, Any]:
    curves: dict[str, Points] = {
        key: Counter((p.step, number(p.value), p.timestamp) for p in client.get_metric_history(run.info.run_id, key))
        for key in run.data.metrics
    }
    kept = ("state", "reason", "environment.seed")
    files = files_in(client, run.info.run_id)
    return {
        "params": run.data.params,
        "curves": curves,
        "status": run.info.status,
        "start": run.info.start_time,
        "end": run.info.end_time,
        "tags": {
            key: value
            for key, value in run.data.tags.items()
            if key in kept or key.startswith(("constraint.", "figure."))
        },
        "files": {name: size for name, size in files if not name.startswith(("checkpoints/", "champion/"))},
    }


def files_in(client: mlflow.MlflowClient, run_id: str, folder: str | None = None) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for file in client.list_artifacts(run_id, folder):
        found += files_in(client, run_id, file.path) if file.is_dir else [(file.path, file.file_size or 0)]
    return found


def wrong_marks(client: mlflow.MlflowClient, trials: list[FrozenTrial], name: str) -> list[str]:
    """Only the best feasible trial's run is marked and has the checkpoint and the registered voice; the study's run has
    its parameters."""
    done = [t for t in trials if t.state is TrialState.COMPLETE and all(c <= 0 for c in t.constraints.values())]
    best = min(done, key=lambda trial: (trial.value, trial.number), default=None)
    expected = [] if best is None else [best.number]
    runs = [(n, run) for n, found in runs_of_trials(client, name).items() for run in found]
    marked = [n for n, run in runs if run.data.tags.get("best") == "true"]
    holding = [n for n, run in runs if client.list_artifacts(run.info.run_id, "checkpoints")]
    voices = [n for n, run in runs if client.list_artifacts(run.info.run_id, "champion")]
    champion = champions(client, name)
    registered = [n for n, run in runs if run.info.run_id in champion]
    lists = {
        "marked as best": marked,
        "holding a checkpoint": holding,
        "holding a voice": voices,
        "registered as champion": registered,
    }
    wrong = [f"{what}: {found}, expected {expected}" for what, found in lists.items() if found != expected]
    heard = next((run.data.tags.get("verdict") for number, run in runs if number in expected), None)
    values = {} if best is None else {"trial": best.number, "value": best.value, **best.params, "verdict": heard}
    expected_tags = {f"best.{key}": str(value) for key, value in values.items()}
    parents = [run.data.tags for run in runs_in(client, name) if "trial" not in run.data.tags]
    got = [{key: value for key, value in tags.items() if key.startswith("best.")} for tags in parents]
    return (
        wrong
        if got == [expected_tags]
        else [*wrong, f"the study's run has as its best trial {got}, expected {[expected_tags]}"]
    )


def champions(client: mlflow.MlflowClient, name: str) -> list[str]:
    """The run that the alias in the Model Registry names, if any."""
    models = client.search_registered_models(f"name = '{name}'")
    return [str(client.get_model_version_by_alias(name, "champion").run_id) for model in models if model.aliases]


def number(value: float) -> str:
    """Exact text. All values that are not finite are `nan`, as MLflow shows them."""
    return repr(float(value)) if math.isfinite(value) else "nan"


def milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def shorter(expected: Any, got: Any) -> str:
    """Only the keys that differ, of dictionaries."""
    if not isinstance(expected, dict):
        return f"{got}, expected {expected}"
    keys = [key for key in {**expected, **got} if expected.get(key) != got.get(key)]
    return "; ".join(f"{key}: {str(got.get(key))[:80]}, expected {str(expected.get(key))[:80]}" for key in keys[:5])


if __name__ == "__main__":
    main()
