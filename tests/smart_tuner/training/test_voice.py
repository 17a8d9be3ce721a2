"""`smart-tuner voice`: the steps in their order, what is kept of them, and how a stopped one goes on."""

import json
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from commands import Cli, call_command
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from smart_tuner.errors import NoStudies
from smart_tuner.main import SmartTunerMain
from smart_tuner.outcome import Cause
from smart_tuner.spec import load_study
from smart_tuner.store.attributes import Attr
from smart_tuner.training import new_study as measuring
from smart_tuner.training import plan as planning
from smart_tuner.training import voice as making
from smart_tuner.training.plan import Plan
from smart_tuner.training.voices import name_of_corpus
from trainer.evaluation.verdict import Heard
from trainer.files import try_lock

SETTING = making.VoiceMaker._setting
STEPS = ["corpus check", "optimize", "train", "evaluate", "export", "say"]


class Steps:
    """Stands in for the processes of the steps: their commands, and the exit codes that they shall have."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.environment: dict[str, str] = {}
        self.codes: dict[str, int] = {}

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
        self.environment = dict(environment)
        self.commands.append(list(arguments))
        return self.codes.get(arguments[0], 0)

    @property
    def names(self) -> list[str]:
        return [" ".join(command[:2]) if command[0] == "corpus" else command[0] for command in self.commands]


PREPARED = {"minutes": 10.0, "language": "en", "train": 285, "validation": 15}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """On a machine that trains 10,000 frames a second, with ten minutes of speech."""
    steps = Steps()
    monkeypatch.setattr(making, "_run", steps.run)
    monkeypatch.setattr(measuring, "frames_per_second", lambda *_: 10_000.0)
    monkeypatch.setattr(measuring, "prepare_corpus", lambda *_: PREPARED)
    monkeypatch.setattr(measuring, "count_gpus", lambda: 0)
    monkeypatch.setattr(measuring, "busy_processors", lambda: 0.0)
    monkeypatch.setattr(making.VoiceMaker, "_setting", lambda _: [])
    return steps


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return partial(call_command, capsys)


def kept(name: str = "demo-en") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(f"workspace/voices/{name}/plan.json").read_text())
    return found


def test_the_steps_are_plain_commands_that_are_printed(cli: Cli, steps: Steps) -> None:
    ended = cli("voice", "demo:en", "--minutes", "40")
    assert ended.code == 0, ended.err
    assert steps.names == STEPS
    by_name = dict(zip(STEPS, steps.commands, strict=True))
    assert by_name["optimize"] == ["optimize", "--study", "workspace/voices/demo-en/study.yaml"]
    assert by_name["train"][:6] == ["train", "--study", "demo-en", "--name", "demo-en", "--hours"]
    assert by_name["say"][-2:] == ["-o", "workspace/voices/demo-en/said.wav"]
    for command in steps.commands[1:-1]:
        assert f"$ smart-tuner {' '.join(command)}" in ended.out
    assert "10.0 minutes of speech, 10,000 frames a second here" in ended.out
    assert 'smart-tuner say "A sentence of yours." --voice demo-en' in ended.out


@pytest.fixture
def evaluated(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> Callable[[Heard], None]:
    """What the evaluation of the voice shall find."""

    def found(heard: Heard) -> None:
        def read(folder: Path) -> SimpleNamespace:
            assert folder.parts[-3:] == ("voices", "demo-en", "evaluation")
            return SimpleNamespace(verdict=heard)

        monkeypatch.setattr(making, "read_evaluation", read)

    return found


@pytest.mark.parametrize(
    ("code", "heard", "next_command"),
    [
        (3, Heard.MUTE, 'smart-tuner voice demo:en --hours 2 --name demo-en-longer --set=text.language="en"'),
        (0, Heard.HUM, "smart-tuner train --study demo-en-voice --hours 2 --name demo-en-longer"),
    ],
)
def test_a_voice_that_cannot_be_understood_ends_with_its_verdict_and_what_to_do(
    cli: Cli, steps: Steps, evaluated: Callable[[Heard], None], code: int, heard: Heard, next_command: str
) -> None:
    steps.codes = {"train": code}
    evaluated(heard)
    ended = cli("voice", "demo:en", "--minutes", "40", "--set", "text.language=en")
    assert (ended.code, steps.names) == (3, STEPS)
    assert f"voice 'demo-en' is not ready: {heard}." in ended.err
    assert heard.advice in ended.err
    assert ("the constraints" in ended.err) is (code == 3)
    assert " ".join(shlex.split(ended.err.rpartition("To give it more time: ")[2])) == next_command
    assert "let it say something" not in ended.out
    again = cli("voice", "demo:en")
    assert (again.code, again.err, steps.names) == (3, ended.err, STEPS)
    assert again.out == "The voice, its evaluation and what it said: workspace/voices/demo-en\n"


def test_a_voice_of_which_parts_are_understood_is_ready_and_may_become_better(
    cli: Cli, steps: Steps, evaluated: Callable[[Heard], None]
) -> None:
    evaluated(Heard.PARTS)
    ended = cli("voice", "demo:en", "--minutes", "40")
    assert ended.code == 0, ended.err
    verdict, _, say, advice, longer = ended.out.splitlines()[-5:]
    assert (verdict, advice) == ("voice 'demo-en': intelligible in parts", Heard.PARTS.advice)
    assert "let it say something" in say
    assert longer == "To give it more time: smart-tuner train --study demo-en-voice --hours 2 --name demo-en-longer"


def test_a_finished_voice_says_what_it_is_and_no_plan(
    cli: Cli, steps: Steps, evaluated: Callable[[Heard], None]
) -> None:
    evaluated(Heard.GOOD)
    assert cli("voice", "demo:en", "--minutes", "40").code == 0
    evaluated(Heard.MUTE)  # an evaluation of another corpus changes nothing
    again = cli("voice", "demo:en")
    assert (again.code, again.err, steps.names) == (0, "", STEPS)
    verdict, where, say = again.out.splitlines()
    assert (verdict, where) == (
        "voice 'demo-en': good",
        "The voice, its evaluation and what it said: workspace/voices/demo-en",
    )
    assert "--voice demo-en -o mine.wav" in say


def test_a_voice_of_an_earlier_version_has_the_verdict_of_its_evaluation(
    cli: Cli, steps: Steps, evaluated: Callable[[Heard], None]
) -> None:
    assert cli("voice", "demo:en", "--minutes", "40").code == 0
    before = {key: value for key, value in kept().items() if key not in ("codes", "heard")}
    Path("workspace/voices/demo-en/plan.json").write_text(json.dumps(before))
    evaluated(Heard.MUTE)
    assert cli("voice", "demo:en").code == 3


def test_the_study_can_be_read_and_has_the_plan(cli: Cli, steps: Steps) -> None:
    changes = ("--set", "fixed.text.kind=phonemes", "--set", "text.language=en-us")
    assert cli("voice", "demo:en", "--minutes", "40", "--name", "mine", *changes).code == 0
    path = Path("workspace/voices/mine/study.yaml")
    study = load_study(str(path))
    assert (study.name, study.corpus, study.preset) == ("mine", "demo:en", "tiny")
    assert study.fixed["text.kind"] == "phonemes"
    plan = Plan(**kept("mine")["plan"])
    assert (study.trials, study.budget.frames) == (plan.trials, plan.frames)
    assert study.hours == pytest.approx(1.5 * plan.search_seconds / 3600, abs=1e-3)
    assert "# 10 minutes of speech, 10,000 frames a second" in path.read_text()


@pytest.mark.parametrize("failing", ["optimize", "train", "evaluate"])
def test_a_stopped_voice_goes_on_with_the_step_that_was_stopped(cli: Cli, steps: Steps, failing: str) -> None:
    steps.codes = {failing: 130}
    stopped = cli("voice", "demo:en", "--minutes", "40")
    assert stopped.code == 130
    assert "the same command goes on" in stopped.err
    before = steps.names
    assert before[-1] == failing
    hours = kept()["train_hours"]
    steps.codes, steps.commands = {}, []
    went_on = cli("voice", "demo:en")
    assert went_on.code == 0  # the time that was asked for is known
    done = ", ".join(STEPS[: STEPS.index(failing)])
    assert went_on.out.count(f"voice 'demo-en' goes on; done before: {done}\n") == 1
    assert "frames a second here" not in went_on.out, "the plan was shown before"
    assert steps.names == STEPS[STEPS.index(failing) :]
    if hours is not None:
        assert kept()["train_hours"] == hours


@pytest.mark.parametrize("step", ["corpus", "optimize", "train"])
def test_a_step_that_ended_by_ctrl_c_is_an_interruption(cli: Cli, steps: Steps, step: str) -> None:
    steps.codes = {step: -signal.SIGINT}
    stopped = cli("voice", "demo:en", "--minutes", "40")
    assert (stopped.code, stopped.err) == (130, "Stopped; the same command goes on.\n")
    steps.codes = {}
    assert cli("voice", "demo:en").code == 0


def test_a_voice_that_was_stopped_while_the_machine_was_measured_does_not_read_the_corpus_again(
    cli: Cli, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> float:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(measuring, "frames_per_second", stopped)
        assert cli("voice", "demo:en", "--minutes", "40").code == 130
    assert cli("voice", "demo:en").code == 0
    assert steps.names == STEPS
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "frames_per_second", stopped)
        assert cli("voice", "demo:en", "--minutes", "40", "--name", "other").code == 130
    assert cli("voice", "demo:en", "--minutes", "50", "--name", "other").code == 0, "nothing was decided"
    assert kept("other")["hours"] == pytest.approx(5 / 6)


def test_a_search_whose_time_was_up_before_a_trial_was_feasible_is_followed_by_the_training(
    cli: Cli, steps: Steps
) -> None:
    steps.codes = {"optimize": 3}
    assert cli("voice", "demo:en", "--minutes", "40").code == 0
    assert steps.names == STEPS


@pytest.fixture
def search(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What the search leaves behind: for each cause a trial without figures that ended by it, None: one that waits."""

    def left_behind(*causes: Cause | None) -> None:
        def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
            if arguments[0] == "optimize":
                SmartTunerMain("workspace/voices/demo-en/study.yaml").submit(check_corpus=False)
                study = optuna.load_study(study_name="demo-en", storage="sqlite:///workspace/studies.db")
                study.add_trials([ended_by(cause) for cause in causes])
            return steps.run(arguments, environment)

        monkeypatch.setattr(making, "_run", run)
        monkeypatch.setattr(making.VoiceMaker, "_setting", SETTING)

    return left_behind


def ended_by(cause: Cause | None) -> FrozenTrial:
    if cause is None:
        return create_trial(state=TrialState.WAITING)
    return create_trial(
        state=TrialState.PRUNED,
        params={"optimizer.lr": 1e-3},
        distributions={"optimizer.lr": FloatDistribution(1e-4, 1e-2)},
        user_attrs={Attr.CAUSE: cause.value, Attr.REASON: f"{cause}: as it was told\nits log"},
    )


@pytest.mark.parametrize(
    ("causes", "trained"),
    [
        ([None], 0),
        ([Cause.TIME, Cause.DIVERGED], 0),
        ([Cause.DIVERGED, Cause.NOT_PROMOTED], 1),
        ([Cause.DIVERGED, None, Cause.TIME], 2),
    ],
)
def test_where_no_trial_has_figures_the_first_setting_that_has_not_failed_is_trained_on(
    cli: Cli, steps: Steps, search: Callable[..., None], causes: list[Cause | None], trained: int
) -> None:
    """Of one that waits, other than the first, no setting is known."""
    search(*causes)
    assert cli("voice", "demo:en", "--minutes", "40").code == 0
    assert steps.commands[2][:5] == ["train", "--study", "demo-en", "--trial", str(trained)]


def test_where_each_setting_has_failed_there_is_nothing_to_train_until_the_search_has_gone_on(
    cli: Cli, steps: Steps, search: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    search(Cause.DIVERGED, Cause.MEMORY)
    ended = cli("voice", "demo:en", "--minutes", "40")
    assert ended.code == 2
    assert "none of the 2 trials of its search has figures: trial 0, diverged: as it was told. Look" in ended.err
    assert "`smart-tuner optimize --study workspace/voices/demo-en/study.yaml --trials 7`" in ended.err
    assert steps.names == ["corpus check", "optimize"]
    monkeypatch.setattr(making.VoiceMaker, "_setting", lambda _: [])  # of a search that has figures
    assert cli("voice", "demo:en").code == 0
    assert steps.names == STEPS


@pytest.mark.parametrize(
    ("step", "code", "ends"), [("corpus", 1, False), ("corpus", 2, True), ("optimize", 3, False), ("evaluate", 1, True)]
)
def test_a_step_that_fails_ends_it_and_a_warning_does_not(
    cli: Cli, steps: Steps, step: str, code: int, ends: bool
) -> None:
    steps.codes = {step: code}
    ended = cli("voice", "demo:en", "--minutes", "40")
    assert ended.code == (code if ends else 0)
    if ends:
        assert f"failed (exit code {code}); its message is above" in ended.err


def test_too_short_a_time_is_refused_with_one_that_is_not(cli: Cli, steps: Steps) -> None:
    ended = cli("voice", "demo:en", "--minutes", "3")
    assert ended.code == 2
    assert "3 min are too short here: at 10,000 frames a second" in ended.err
    enough = ended.err.rpartition("--minutes ")[2].split()[0]
    assert steps.names == ["corpus check"]
    assert cli("voice", "demo:en", "--minutes", enough).code == 0  # the first command has left nothing in the way


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        (
            {"train": 1},
            "voice 'demo-en' is being made already, from demo:en in 40 min; the same command continues it.",
        ),
        ({}, "voice 'demo-en' was made already, from demo:en in 40 min. To train it further: `smart-tuner train "),
    ],
)
def test_another_time_or_corpus_is_refused_for_a_voice_that_has_begun(
    cli: Cli, steps: Steps, codes: dict[str, int], said: str
) -> None:
    steps.codes = codes
    cli("voice", "demo:en", "--minutes", "40")
    for other in (["demo:en", "--minutes", "50"], ["demo:ru", "--name", "demo-en", "--minutes", "40"]):
        ended = cli("voice", *other)
        assert ended.code == 2
        assert said in ended.err


def test_a_voice_is_made_by_one_process_at_a_time(cli: Cli, steps: Steps) -> None:
    assert cli("voice", "demo:en", "--minutes", "40").code == 0
    with Path("workspace/voices/demo-en/lock").open("a") as file:
        assert try_lock(file)
        ended = cli("voice", "demo:en")
    assert ended.code == 2
    assert "voice 'demo-en' is being made by another process now" in ended.err
    assert cli("voice", "demo:en").code == 0


@pytest.mark.parametrize("taken", ["mine", "mine-voice"])
def test_the_name_of_a_study_is_refused_before_anything_is_measured(cli: Cli, steps: Steps, taken: str) -> None:
    Path("workspace").mkdir()
    optuna.create_study(storage="sqlite:///workspace/studies.db", study_name=taken)
    ended = cli("voice", "demo:en", "--minutes", "40", "--name", "mine")
    assert ended.code == 2
    assert f"--name mine: there is a study {taken!r} already" in ended.err
    assert steps.names == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hours", "1", "--minutes", "60"], "--hours and --minutes both say how long"),
        ([], "say how long it may take: --hours 8, or --minutes 20"),
        (["--minutes", "40", "--set", "optimizer.lrr=1"], "`fixed.optimizer.lrr` is no known setting"),
    ],
)
def test_mistakes_are_refused_and_leave_no_plan(cli: Cli, steps: Steps, options: list[str], message: str) -> None:
    ended = cli("voice", "demo:en", *options)
    assert ended.code == 2
    assert message in ended.err
    assert not Path("workspace/voices/demo-en").exists()


def test_a_first_start_that_fails_leaves_no_folder_that_it_made(cli: Cli, steps: Steps) -> None:
    steps.codes = {"corpus": 2}
    assert cli("voice", "missing", "--minutes", "40").code == 2
    assert not Path("workspace/voices/missing").exists()
    Path("workspace/voices/missing").mkdir(parents=True)
    Path("workspace/voices/missing/notes.txt").touch()
    assert cli("voice", "missing", "--minutes", "40").code == 2
    assert Path("workspace/voices/missing/notes.txt").exists()


@pytest.mark.parametrize(("code", "files"), [(2, ["corpus.html"]), (0, [])])
def test_the_page_of_a_corpus_is_kept_where_it_is_the_reason(
    cli: Cli, steps: Steps, monkeypatch: pytest.MonkeyPatch, code: int, files: list[str]
) -> None:
    def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
        Path(arguments[arguments.index("--html") + 1]).touch()
        return code

    monkeypatch.setattr(making, "_run", run)
    for _ in range(2):
        assert cli("voice", "demo:en", "--minutes", "40", "--set", "optimizer.lrr=1").code == 2
        assert [path.name for path in Path("workspace/voices").glob("demo-en/*")] == files


def test_a_gpu_gets_the_full_size(cli: Cli, steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "count_gpus", lambda: 1)
    monkeypatch.setattr(measuring, "frames_per_second", lambda *_: 100_000.0)
    assert cli("voice", "demo:en", "--hours", "1").code == 0
    written = Path("workspace/voices/demo-en/study.yaml")
    assert "trials are left: the best setting is trained for the rest.\nhours:" in written.read_text(encoding="utf-8")
    study = load_study(str(written))
    assert study.preset == "full"
    assert study.budget.frames == 5_000_000


def test_a_voice_to_begin_with_is_fine_tuned(cli: Cli, steps: Steps, tmp_path: Path) -> None:
    (tmp_path / "old voice.pt").touch()
    assert cli("voice", "demo:en", "--minutes", "40", "--from", "old voice.pt").code == 0
    study = load_study("workspace/voices/demo-en/study.yaml")
    assert study.preset == "voice"
    assert study.fixed["warm_start"] == str(tmp_path / "old voice.pt")
    ended = cli("voice", "demo:en", "--minutes", "40", "--from", "missing")
    assert ended.code == 2
    assert "--from missing: " in ended.err


@pytest.mark.parametrize("hours", [0.2, 0.5, 1, 8, 100])
@pytest.mark.parametrize("speed", [5_000.0, 15_000.0, 100_000.0])
def test_the_parts_of_a_plan_are_the_whole_time(hours: float, speed: float) -> None:
    plan = Plan("v", "demo:en", "tiny", 10, "en", hours, speed)
    assert plan.search_seconds + plan.train_seconds + plan.rest_seconds == pytest.approx(3600 * hours)
    assert 1 <= plan.trials <= planning.MOST_TRIALS
    if plan.trials > 1:
        assert plan.search_seconds <= planning.SEARCH_SHARE * 3600 * hours + 30


@pytest.mark.parametrize(
    ("train", "validation", "options", "share"),
    [
        (30, 2, [], 0.2),  # at most a fifth
        (95, 5, [], 0.08),  # eight clips
        (152, 8, [], None),
        (30, 2, ["--set", "fixed.corpus.validation_share=0.1"], 0.1),
    ],
)
def test_a_small_corpus_is_judged_by_more_of_its_clips(
    cli: Cli,
    steps: Steps,
    monkeypatch: pytest.MonkeyPatch,
    train: int,
    validation: int,
    options: list[str],
    share: float | None,
) -> None:
    found = {**PREPARED, "train": train, "validation": validation}
    monkeypatch.setattr(measuring, "prepare_corpus", lambda *_: found)
    ended = cli("voice", "demo:en", "--minutes", "40", *options)
    assert ended.code == 0, ended.err
    assert load_study("workspace/voices/demo-en/study.yaml").fixed.get("corpus.validation_share") == share
    assert ("to validate: " in ended.out) == (share is not None and not options)


def test_a_slow_machine_trains_the_known_setting_alone(cli: Cli, steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "frames_per_second", lambda *_: 900.0)
    monkeypatch.setattr(measuring, "busy_processors", lambda: 0.75)
    ended = cli("voice", "demo:en", "--minutes", "20")
    assert ended.code == 0, ended.err
    assert "other programs use 75 % of its processors now" in ended.out
    assert "about 13 min, the known setting: there is no time for others" in ended.out
    study = load_study("workspace/voices/demo-en/study.yaml")
    assert study.trials == 1
    assert study.hours == pytest.approx(1 / 3, abs=1e-3)  # the whole time: the trial must end


def test_the_steps_have_the_settings_also_those_that_are_not_shown(
    cli: Cli, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    def empty(url: str) -> None:
        raise NoStudies("no study yet")

    monkeypatch.setattr(measuring, "open_to_read", empty)
    secret = "postgresql+psycopg://me:hunter2@127.0.0.1:9/db"
    ended = cli("voice", "demo:en", "--minutes", "40", "--device", "cpu", "--storage", secret)
    assert "hunter2" not in ended.out + ended.err
    assert steps.environment["SMART_TUNER_STORAGE"] == secret
    assert steps.environment["SMART_TUNER_DEVICE"] == "cpu"


@pytest.mark.parametrize("name", ["../x", "my voice", "a" * 97, "-x"])
def test_a_name_that_names_no_folder_is_refused_at_once(cli: Cli, steps: Steps, name: str) -> None:
    ended = cli("voice", "demo:en", "--minutes", "40", f"--name={name}")
    assert ended.code == 2
    assert "must be at most 100 letters, digits" in ended.err
    assert steps.names == []


@pytest.mark.parametrize("name", ["2024", "yes", "null", "1e5"])
def test_a_name_may_look_like_another_value_of_yaml(cli: Cli, steps: Steps, name: str) -> None:
    assert cli("voice", "demo:en", "--minutes", "40", "--name", name).code == 0
    assert load_study(f"workspace/voices/{name}/study.yaml").name == name


def test_the_time_of_a_killed_step_is_lost_and_no_more(cli: Cli, steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
        if arguments[0] == "train":
            raise SystemExit(137)
        return steps.run(arguments, environment)

    clock = iter(range(0, 10**6, 100))
    monkeypatch.setattr(making.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(making, "_run", kill)
    assert cli("voice", "demo:en", "--minutes", "40").code == 137
    spent = kept()["spent"]
    assert spent > 0
    monkeypatch.setattr(making, "_run", steps.run)
    assert cli("voice", "demo:en").code == 0
    assert kept()["spent"] > spent


@pytest.mark.parametrize(
    ("corpus", "name"),
    [
        ("demo:en:300:f3", "demo-en-300-f3"),
        ("data/Моя речь!/", "Моя-речь"),
        ("data/LJSpeech-1.1", "LJSpeech-1.1"),
        ("data/v1.2", "v1.2"),
        ("data/v1.3", "v1.3"),
        ("clips/list.csv", "list"),
        ("a b", "a-b"),
        ("!!!", "voice"),
    ],
)
def test_a_voice_is_named_as_its_corpus(corpus: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / corpus
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        path.touch()
    else:
        path.mkdir(exist_ok=True)
    assert name_of_corpus(corpus if corpus.startswith("demo:") else str(path)) == name


@pytest.mark.parametrize(("folder", "before"), [("data/LJSpeech-1.1", "LJSpeech-1"), ("data/Моя речь", "voice")])
def test_a_voice_under_the_name_of_an_earlier_rule_goes_on(
    cli: Cli, steps: Steps, tmp_path: Path, folder: str, before: str
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "other" / folder).mkdir(parents=True)
    assert cli("voice", folder, "--minutes", "40", "--name", before).code == 0
    again = cli("voice", folder)
    assert (again.code, steps.names) == (0, STEPS)
    assert f"said: workspace/voices/{before}\n" in again.out
    another = cli("voice", f"other/{folder}", "--minutes", "40")
    assert (another.code, steps.names) == (0, STEPS * 2)
    name = name_of_corpus(folder)
    assert name != before
    assert f"workspace/voices/{name}\n" in another.out
