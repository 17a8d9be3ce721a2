import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smart_tuner.errors import StudyError
from smart_tuner.spec import StudySpec, known_studies, load_study, parse_overrides, parse_study
from smart_tuner.spec.parameters import contains, is_active
from trainer.config import DeviceConfig, PathsConfig, TrainerConfig

LR = "optimizer.lr: {type: float, low: 5e-4, high: 5e-3, log: true}"
GUIDED = "guided_attention.enabled: {type: categorical, choices: [true, false]}"
WEIGHT = "guided_attention.weight: {type: float, low: 0.01, high: 1"
LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))
PATHS = PathsConfig(run="runs/7", tensorboard="logs/7", cache="cache")


def yaml_of(search: str = LR, more: str = "", budget: str = "{frames: 600_000, reports: 10}") -> str:
    lines = "\n".join(f"  {line}" for line in search.splitlines())
    return f"name: s\ncorpus: demo:en\npreset: tiny\nbudget: {budget}\nsearch:\n{lines}\n{more}\n"


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def _load(text: str, *sets: str) -> StudySpec:
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        return load_study(str(path), parse_overrides(sets))

    return _load


def refusal(load: Any, text: str, *sets: str) -> str:
    with pytest.raises(StudyError) as caught:
        load(text, *sets)
    return str(caught.value)


BAD_SEARCH = [
    ("optimizer.lrr: {type: float, low: 1, high: 2}", "`search.optimizer.lrr`", "nearest: `optimizer.lr`"),
    ("optimizer: {lr: {type: float, low: 1, high: 2}}", "`search.optimizer` is no known", "nearest: `optimizer.lr`"),
    ("optimizer.lr: {type: float, low: 1e-3, hgih: 2e-3}", "`search.optimizer.lr.hgih`", "`search.optimizer.lr.high`"),
    ("optimizer.lr: {type: float, low: 1e-3}", "`search.optimizer.lr.high` is missing", ""),
    ("optimizer.lr: {low: 1e-3, high: 1}", "`search.optimizer.lr.type` is missing", "float, int, categorical"),
    ("optimizer.lr: {type: flot, low: 1, high: 2}", "`search.optimizer.lr.type` must be one of", "got 'flot'"),
    ("optimizer.lr: 3", "`search.optimizer.lr` must be a mapping", "got 3"),
    ("optimizer.lr: {type: float, low: low, high: 2}", "`search.optimizer.lr.low` must be a number", "got 'low'"),
    ("optimizer.lr: {type: float, low: .nan, high: 2}", "`search.optimizer.lr.low` must be finite", "got nan"),
    ("optimizer.lr: {type: float, low: 1e-3, high: 20}", "`search.optimizer.lr.high` must lie between", "got 20.0"),
    ("optimizer.lr: {type: float, low: 0, high: 1}", "`search.optimizer.lr.low` must lie between", "got 0.0"),
    ("optimizer.lr: {type: float, low: 2e-3, high: 1e-3}", "`search.optimizer.lr`: low (0.002)", "than high (0.001)"),
    ("optimizer.lr: {type: float, low: 1e-3, high: 1e-3}", "`search.optimizer.lr` has one value", "`fixed`"),
    ("loss.gate_weight: {type: float, low: 0, high: 1, log: true}", "`search.loss.gate_weight.low`", "got 0.0"),
    (
        "loss.gate_weight: {type: float, low: 1, high: 2, log: true, step: 0.5}",
        "`search.loss.gate_weight` has both",
        "log",
    ),
    ("loss.gate_weight: {type: float, low: 1, high: 2, step: 3}", "`search.loss.gate_weight.step` must not", "got 3.0"),
    ("loss.gate_weight: {type: float, low: 1, high: 2, step: 0}", "`search.loss.gate_weight.step` must be g", "got 0"),
    (
        "loss.gate_weight: {type: float, low: 1, high: 2, step: 0.3}",
        "`search.loss.gate_weight.high` (2.0)",
        "1.9 and 2.2",
    ),
    ("batch.size: {type: float, low: 8, high: 32}", "`search.batch.size.type` must be int", "got 'float'"),
    ("batch.size: {type: int, low: 8.5, high: 32}", "`search.batch.size.low` must be a whole number", "got 8.5"),
    ("batch.size: {type: int, low: 0, high: 32}", "`search.batch.size.low` must lie between 1", "got 0"),
    ("schedule.kind: {type: int, low: 0, high: 2}", "`search.schedule.kind.type` must be categorical", "got 'int'"),
    ("schedule.kind: {type: categorical, choices: []}", "`search.schedule.kind.choices`", "got none"),
    ("schedule.kind: {type: categorical, choices: [cosine]}", "`search.schedule.kind.choices`", "use `fixed`"),
    ("optimizer.kind: {type: categorical, choices: [adam, adam]}", "`search.optimizer.kind.choices`", "'adam' twice"),
    ("optimizer.kind: {type: categorical, choices: [adam, sgd]}", "`search.optimizer.kind.choices`", "got 'sgd'"),
    ("batch.size: {type: categorical, choices: [8, big]}", "`search.batch.size.choices` must be of type int", "'big'"),
    ("batch.size: {type: categorical, choices: [8, [1]]}", "`search.batch.size.choices[1]`", "got [1]"),
    ("model.encoder_kernel: {type: int, low: 3, high: 9}", "`search.model.encoder_kernel.step` must be odd", "got 4"),
    ("seed: {type: int, low: 1, high: 2}", "`search.seed` must not be searched", "cannot be compared"),
    ("audio.n_mels: {type: int, low: 40, high: 80}", "`search.audio.n_mels` must not be searched", ""),
    (
        f"{WEIGHT}, when: {{guided_attention.enabld: true}}}}\n{GUIDED}",
        "when.guided_attention.enabld`",
        "nearest: `guid",
    ),
    (f"{WEIGHT}, when: {{guided_attention.enabled: true}}}}\n{GUIDED}", "when.guided_attention.enabled`", "before"),
    (f"{WEIGHT}, when: {{guided_attention.weight: 1}}}}\n{GUIDED}", "when.guided_attention.weight`", "before"),
    (f"{GUIDED}\n{WEIGHT}, when: {{guided_attention.enabled: 1}}}}", "when.guided_attention.enabled` must be", "got 1"),
    (f"{GUIDED}\n{WEIGHT}}}", "`search.guided_attention.weight`", "add `when: {guided_attention.enabled: true}`"),
    (
        f"{GUIDED}\n{WEIGHT}, when: {{guided_attention.enabled: false}}}}",
        "`search.guided_attention.weight`",
        "is false",
    ),
    ("schedule.final_factor: {type: float, low: 0.1, high: 1}", "`search.schedule.final_factor`", "is 'constant'"),
    (
        "schedule.kind: {type: categorical, choices: [constant, cosine, exponential]}\n"
        "schedule.final_factor: {type: float, low: 0.1, high: 1}",
        "`search.schedule.final_factor` has no effect in trials where `schedule.kind` is constant",
        "`when: {schedule.kind: [cosine, exponential]}`",
    ),
    (  # where guided attention is off, `schedule.kind` is the default: constant
        f"{GUIDED}\n"
        "schedule.kind: {type: categorical, choices: [cosine, exponential], when: {guided_attention.enabled: true}}\n"
        "schedule.final_factor: {type: float, low: 0.1, high: 1}",
        "`search.schedule.final_factor` has no effect in trials where `schedule.kind` is constant",
        "`when: {schedule.kind: [cosine, exponential]}`",
    ),
    ("{}", "`search`", "names no parameter, so that all 50 trials were the same"),
]


@pytest.mark.parametrize(("search", "key", "hint"), BAD_SEARCH)
def test_a_bad_search_is_refused_with_its_key_and_a_hint(load: Any, search: str, key: str, hint: str) -> None:
    message = refusal(load, yaml_of(search))
    assert "s.yaml: " in message
    assert key in message
    assert hint in message


BAD_REST = [
    ("name: ../up", "`name` must be", "got '../up'"),
    ("name: .hidden", "`name` must be", "got '.hidden'"),
    ("name: a/../../b", "`name` must be", "it names folders"),
    ("name: <script>alert(1)</script>", "`name` must be", "letters, digits"),
    ("name: x'; DROP TABLE studies;--", "`name` must be", "letters, digits"),
    ("name: $(reboot)", "`name` must be", "letters, digits"),
    ('name: "a\\nb"', "`name` must be", "letters, digits"),
    ("name: 7", "`name` must be text", "got 7"),
    ("colour: x", "`colour` is no known key", "known: `budget`"),
    ("nmae: x", "`nmae` is no known key", "nearest: `name`"),
    ("preset: tyny", "`preset` must be a known preset", "nearest: `tiny`"),
    ("corpus: ''", "`corpus` must not be empty", ""),
    ("trials: 0", "`trials` must be at least 1", "got 0"),
    ("budget: {frames: 0}", "`budget.frames` must be at least 1", "got 0"),
    ("budget: {frames: 1000, report: 3}", "`budget.report` is no known key", "nearest: `budget.reports`"),
    ("budget: {frames: 1000, reports: 2000}", "`budget.reports` must be at most 1000", "got 2000"),
    ("budget: {reports: 3}", "`budget.frames` is missing", ""),
    (
        "objective: {metric: loss}",
        "`objective.metric` must be 'free_running_distance' or 'validation_loss'",
        "got 'loss'",
    ),
    ("constraints: {alignment: {at_least: 1.5}}", "`constraints.alignment.at_least` must be at most 1", "got 1.5"),
    ("constraints: {alignmet: {at_least: 1}}", "`constraints.alignmet`", "nearest: `constraints.alignment`"),
    ("sampler: {kind: grid}", "`sampler.kind` must be 'tpe' or 'random'", "got 'grid'"),
    ("pruner: {kind: median}", "`pruner.kind` must be 'alignment_and_loss', 'promotion' or 'none'", "got 'median'"),
    ("pruner: {grace_fraction: 1}", "`pruner.grace_fraction` must be less than 1", "got 1"),
    ("pruner: {grace_fraction: 0.7}", "`pruner.alignment_deadline.fraction` must not be less than", "got 0.5"),
    ("pruner: {alignment_deadline: {fraction: 0}}", "`pruner.alignment_deadline.fraction` must be greater", "got 0"),
    ("pruner: {patience: 11}", "`pruner.patience` must not exceed `budget.reports` (10)", "got 11"),
    ("fixed: {batch.sise: 8}", "`fixed.batch.sise`", "nearest: `batch.size`"),
    ("fixed: {optimizer: {epps: 1}}", "`fixed.optimizer.epps`", "nearest: `optimizer.eps`"),
    ("fixed: {optimizer: {eps: 1e-6}, optimizer.eps: 1e-7}", "`fixed` must name each setting once", ""),
    ("fixed: {batch.size: 0}", "`fixed.batch.size` must lie between 1", "got 0"),
    ("fixed: {batch: {size: big}}", "`fixed.batch.size` must be of type int", "got 'big'"),
    ("fixed: {optimizer.lr: 1e-3}", "`search.optimizer.lr` is also in `fixed`", "0.001"),
    ("fixed: {audio.fmax: 20000}", "`fixed.audio.fmax`: `audio.fmin < audio.fmax", "20000"),
    (
        "fixed: {schedule.final_factor: 0.3}",
        "`fixed.schedule.final_factor` = 0.3 has no effect",
        "exponential, cosine or wsd",
    ),
    ("fixed: {corpus.source: demo:ru}", "`fixed.corpus.source`", "as `corpus`"),
    ("fixed: {budget.frames: 3}", "`fixed.budget.frames`", "under `budget`"),
    ("fixed: {preset: full}", "`fixed.preset`", "as `preset`"),
    ("fixed: {paths.run: x}", "`fixed.paths.run`", "its own"),
    ("fixed: {seed: 3}", "`fixed.seed`", "its own"),
    (
        "fixed: {validation.alignment_floor: 0.1}",
        "`fixed.validation.alignment_floor`",
        "`constraints.alignment.at_least`",
    ),
    ("fixed: {device.name: cpu}", "`fixed.device.name`", "config/local.yaml"),
    ("enqueue: [{optimizer.rl: 1e-3}]", "`enqueue[0].optimizer.rl`", "nearest: `optimizer.lr`"),
    ("enqueue: [{optimizer.lr: 1e-3}, {optimizer.lr: 1}]", "`enqueue[1].optimizer.lr` must be between", "got 1"),
    ("enqueue: [{optimizer.lr: [1]}]", "`enqueue[0].optimizer.lr` must be a number", "got [1]"),
    ("enqueue: [{}]", "`enqueue[0]` must name at least one", ""),
]


@pytest.mark.parametrize(("line", "key", "hint"), BAD_REST)
def test_a_bad_line_is_refused_with_its_key_and_a_hint(load: Any, line: str, key: str, hint: str) -> None:
    top = line.partition(":")[0] + ":"
    kept = [one for one in yaml_of().splitlines() if not one.startswith(top)]
    message = refusal(load, "\n".join([*kept, line]))
    assert key in message
    assert hint in message


def test_a_queued_parameter_needs_its_condition_in_the_same_entry(load: Any) -> None:
    search = f"{GUIDED}\n{WEIGHT}, when: {{guided_attention.enabled: true}}}}"
    for entry in ("{guided_attention.enabled: false, guided_attention.weight: 0.1}", "{guided_attention.weight: 0.1}"):
        message = refusal(load, yaml_of(search, f"enqueue: [{entry}]"))
        assert "`enqueue[0].guided_attention.weight` = 0.1" in message
        assert "needs `guided_attention.enabled` = True" in message
    study = load(yaml_of(search, "enqueue: [{guided_attention.enabled: true, guided_attention.weight: 0.1}]"))
    assert study.enqueue[0]["guided_attention.weight"] == 0.1


def test_all_problems_are_shown_one_per_line(load: Any) -> None:
    lines = refusal(load, yaml_of(more="trials: 0\nsarch: 1", budget="{frames: many}")).splitlines()
    assert len(lines) == 3
    assert all("s.yaml: `" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: a\nname: b\n", "line 2: is no valid YAML: the key `name` is given twice"),
        ("name: a\nsearch:\n  batch.size: 1\n  batch.size: 2\n", "line 4: is no valid YAML: the key `batch.size`"),
        ("name: a\nbudget: {frames: 3\ntrials: 1\n", "line 3: is no valid YAML"),
        ("name: !!python/object:os.system x\n", "line 1: is no valid YAML"),
        ("- a\n", "must hold a mapping"),
        ("", "s.yaml: is empty; it must hold a mapping"),
        ("name: 0b_\n", "is no valid YAML"),
        ("name: a\ntrials: 0x" + "f" * 10_000, "is no valid YAML: a number has 10,002 digits, more than 100"),
        ("name: a\n" + LAUGHS, "line 1: is no valid YAML: it has more than 100,000 values, with what its aliases"),
        ("name: a\nfixed: &a\n  b: *a\n", "nested too deeply, more than 100 levels, or holds itself by an alias"),
        ("name: a\nfixed: " + "[" * 200 + "]" * 200, "nested too deeply"),
        ("name: " + "[" * 500, "nested too deeply"),
    ],
)
def test_invalid_yaml_is_refused_with_its_line(load: Any, text: str, expected: str) -> None:
    assert expected in refusal(load, text)


def test_numbers_without_a_dot_are_numbers_and_dates_are_text(load: Any) -> None:
    study = load(yaml_of(more="description: 2026-01-31", budget="{frames: 6e5, reports: 1_0}"))
    assert study.search["optimizer.lr"].low == 5e-4
    assert (study.budget.frames, study.budget.reports) == (600_000, 10)
    assert study.description == "2026-01-31"


def test_ranges_can_be_shared_by_an_anchor(load: Any) -> None:
    search = (
        "model.attention_dropout: &low {type: float, low: 0, high: 0.1}\nmodel.decoder_dropout: {<<: *low, high: 0.2}"
    )
    study = load(yaml_of(search))
    assert [parameter.high for parameter in study.search.values()] == [0.1, 0.2]


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(StudyError, match=r"s\.yaml: is no valid YAML"):
        load_study(str(path))


def test_settings_that_are_valid_only_together_are_accepted(load: Any) -> None:
    study = load(yaml_of(more="fixed: {audio: {fmax: 20000, sample_rate: 44100}}"))
    assert study.fixed == {"audio.fmax": 20000, "audio.sample_rate": 44100}


def test_a_study_is_frozen(load: Any) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(yaml_of()).trials = 3


def test_with_pruner_none_the_other_keys_are_unused(load: Any) -> None:
    assert load(yaml_of(more="pruner: {kind: none, patience: 99}")).pruner.kind == "none"


@pytest.mark.parametrize("name", ["quickstart", "ljspeech", "finetune"])
def test_shipped_studies_are_valid_and_their_queue_can_be_trained(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = load_study(name)
    assert study.name == name
    for entry in study.enqueue:
        config = study.trainer_config(entry, seed=1, paths=PATHS, device=DeviceConfig())
        assert config.optimizer.lr == entry["optimizer.lr"]
        assert config.guided_attention.enabled == entry.get("guided_attention.enabled", True)


def test_a_study_in_the_working_directory_comes_before_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "quickstart.yaml").write_text(yaml_of())
    (tmp_path / "studies" / "mine.yaml").write_text(yaml_of())
    monkeypatch.chdir(tmp_path)
    assert load_study("quickstart").name == "s"
    assert {"mine", "ljspeech"} <= set(known_studies())


@pytest.mark.parametrize("wanted", ["quikstart", "studies/quikstart.yaml"])
def test_an_unknown_study_is_refused_with_the_known_ones(wanted: str) -> None:
    with pytest.raises(StudyError, match=r"no .*nearest: `quickstart`.*known: .*`ljspeech`"):
        load_study(wanted)


def test_overrides_reach_every_part_of_a_study(load: Any) -> None:
    study = load(
        yaml_of(f"{LR}\nbatch.size: {{type: int, low: 8, high: 32}}"),
        "budget.frames=1e5",
        "search.optimizer.lr.high=1e-2",
        "search.model.reduction={type: int, low: 2, high: 5}",
        "fixed.optimizer.eps=1e-8",
        "pruner.kind=none",
        "pruner.alignment_deadline.at_least=0.2",
        "sampler={kind: random}",
        "corpus=demo:ru",
        "name=other",
        "trials=3",
    )
    assert study.budget.frames == 100_000
    assert study.search["optimizer.lr"].high == 1e-2
    assert list(study.search) == ["optimizer.lr", "batch.size", "model.reduction"]
    assert study.fixed == {"optimizer.eps": 1e-8}
    assert (study.pruner.kind, study.pruner.alignment_deadline.at_least) == ("none", 0.2)
    assert (study.sampler.kind, study.corpus, study.name, study.trials) == ("random", "demo:ru", "other", 3)


def test_a_parameter_that_an_override_fixes_is_no_longer_searched() -> None:
    study = load_study("quickstart", {"fixed.batch.size": 8})
    assert "batch.size" not in study.search
    assert all("batch.size" not in entry for entry in study.enqueue)
    assert len(study.enqueue) == len(load_study("quickstart").enqueue)


def test_a_setting_of_the_trainer_needs_no_fixed() -> None:
    settings = {"corpus.speaker": "anna", "text.language": "ru", "batch.size": 8}
    study = load_study("quickstart", {**settings, "budget.frames": 300_000})
    assert settings.items() <= study.fixed.items()
    assert study.budget.frames == 300_000
    assert "batch.size" not in study.search
    in_full = {f"fixed.{key}": value for key, value in settings.items()}
    assert study == load_study("quickstart", {**in_full, "budget.frames": 300_000})


@pytest.mark.parametrize(("enabled", "weight_searched"), [(True, True), (False, False)])
def test_fixing_a_parent_keeps_or_removes_its_children(enabled: bool, weight_searched: bool) -> None:
    study = load_study("ljspeech", {"fixed.guided_attention.enabled": enabled})
    assert ("guided_attention.weight" in study.search) == weight_searched
    assert all(("guided_attention.weight" in entry) <= weight_searched for entry in study.enqueue)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("budget.frmes=3", "nearest: `budget.frames`"),
        ("pruner.alignment_deadline.fractoin=1", "nearest: `pruner.alignment_deadline.fraction`"),
        ("fixed.batch.sise=8", "`batch.sise` is no known setting of the trainer; nearest: `batch.size`"),
        ("corpus.speeker=anna", "`corpus.speeker` is no known setting of the trainer; nearest: `corpus.speaker`"),
        ("search.optimizer.lrr.high=1", "nearest: `optimizer.lr`"),
        ("search.optimizer.lr.hihg=1", "`hihg` is no key of a parameter; nearest: `high`"),
        ("search.model.reduction.high=1", "the study does not search `model.reduction`"),
        ("budget.frames", "must be KEY=VALUE"),
        ("trials={", "the value is no valid YAML"),
        ("trials=many", "s.yaml with --set trials: `trials` must be a whole number, but got 'many'"),
    ],
)
def test_an_invalid_override_is_refused_with_the_nearest_key(load: Any, text: str, expected: str) -> None:
    message = refusal(load, yaml_of(), text)
    assert "--set " in message
    assert expected in message


def test_trainer_config_merges_preset_fixed_study_and_suggestion(load: Any) -> None:
    study = load(
        yaml_of(
            more="fixed: {optimizer: {eps: 1e-8}, device.precision: float32}\nconstraints: {alignment: {at_least: 0.6}}"
        )
    )
    config = study.trainer_config({"optimizer.lr": 1e-3}, seed=7, paths=PATHS, device=DeviceConfig("cpu", 2))
    assert config.model.embedding_dim == 128
    assert (config.optimizer.lr, config.optimizer.eps) == (1e-3, 1e-8)
    assert (config.seed, config.paths) == (7, PATHS)
    assert config.device == DeviceConfig("cpu", 2, "float32")
    assert (config.budget.frames, config.budget.reports) == (600_000, 10)
    assert (config.corpus.source, config.validation.alignment_floor) == ("demo:en", 0.6)
    assert TrainerConfig.from_mapping(json.loads(config.to_json())) == config


@pytest.mark.parametrize(("enabled", "sigma"), [(True, 0.2), (False, 0.3)])
def test_a_fixed_setting_without_effect_in_a_trial_is_left_out(load: Any, enabled: bool, sigma: float) -> None:
    study = load(yaml_of(GUIDED, "fixed: {guided_attention.sigma: 0.2}"))
    config = study.trainer_config({"guided_attention.enabled": enabled}, seed=1, paths=PATHS, device=DeviceConfig())
    assert config.guided_attention.sigma == sigma


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "`optimizer.lr` is missing"),
        ({"optimizer.lr": 1e-3, "batch.size": 8}, "`batch.size` is no parameter of this study"),
        ({"optimizer.lr": 11.0}, "`optimizer.lr` must lie between 1e-09 and 10, but got 11.0"),
    ],
)
def test_parameters_that_do_not_fit_the_study_are_refused(load: Any, params: dict[str, Any], expected: str) -> None:
    with pytest.raises(StudyError, match=expected):
        load(yaml_of()).trainer_config(params, seed=1, paths=PATHS, device=DeviceConfig())


def test_a_parameter_whose_condition_is_not_met_is_refused() -> None:
    study = load_study("ljspeech")
    without = {**study.enqueue[0], "guided_attention.weight": 1.0}
    with pytest.raises(StudyError, match=r"`guided_attention.weight` has no effect with"):
        study.trainer_config(without, seed=1, paths=PATHS, device=DeviceConfig())


def test_parse_study_names_the_source_of_the_study() -> None:
    with pytest.raises(StudyError, match="there: `name` is missing"):
        parse_study({"corpus": "demo:en"}, "there")


def test_a_condition_needs_the_same_type_of_value() -> None:
    weight = load_study("ljspeech").search["guided_attention.weight"]
    assert is_active(weight, {"guided_attention.enabled": True})
    assert not is_active(weight, {"guided_attention.enabled": 1})
    assert not is_active(weight, {})
    assert not contains(weight, True)


def test_reading_a_study_loads_no_heavy_library_and_optimize_begins_with_few() -> None:
    """The second line is what docs/install.md says of its table of large packages."""
    large = {"torch", "pyarrow", "scipy", "pandas", "sympy", "numpy", "mlflow", "plotly", "sklearn", "matplotlib"}
    code = (
        "import sys, smart_tuner.space, smart_tuner.config, smart_tuner.spec as s; s.load_study('quickstart')\n"
        f"print(sorted({{'optuna', 'sqlalchemy', *{large}}} & sys.modules.keys()))\n"
        "import smart_tuner.terminal.summary; from smart_tuner import SmartTunerMain; SmartTunerMain('quickstart')\n"
        f"print(sorted({large} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['numpy']"]


def test_the_description_is_dropped_with_its_corpus() -> None:
    assert load_study("quickstart").description
    assert load_study("quickstart", {"corpus": "demo:ru"}).description == ""
    assert load_study("quickstart", {"corpus": "demo:ru", "description": "mine"}).description == "mine"


def test_a_name_that_names_no_folder_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(StudyError, match=r"`name` must be at most 100 letters, digits, - _ \. .*got 'мой голос'"):
        parse_study({"name": "мой голос"}, "s.yaml")


@pytest.mark.parametrize(("name", "words"), [("", "is a folder"), ("notes.md", "is a Markdown file")])
def test_what_is_no_yaml_file_is_refused_by_its_kind(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "notes.md").write_text("# My study\n", encoding="utf-8")
    with pytest.raises(StudyError, match=f"{words}; give the YAML file of a study"):
        load_study(str(tmp_path / name))


def test_an_earlier_name_of_a_setting_is_read(load: Any) -> None:
    old = load(yaml_of(more="fixed: {corpus.language: ru}"))
    assert dict(old.fixed) == {"text.language": "ru"}
    assert load(yaml_of(more="fixed: {corpus: {language: ru}}")) == old
    assert load(yaml_of(), "fixed.corpus.language=ru") == old
