"""What optuna-dashboard shows of a study, read back by Optuna's and the dashboard's own code."""

import errno
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from lab import Lab, study_spec
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta
from optuna.trial import FrozenTrial
from servers import every_store
from sqlalchemy import text

from smart_tuner.artifacts import artifacts_of
from smart_tuner.command_hints import hint_for_readers
from smart_tuner.dashboard.gallery import Gallery
from smart_tuner.dashboard.notes import write_note
from smart_tuner.dashboard.sink import NoteSink
from smart_tuner.dashboard.study_note import study_note, write_study_note
from smart_tuner.dashboard.trial_note import NoteDetails, Story, trial_note
from smart_tuner.outcome import Cause, Outcome, State
from smart_tuner.store.attributes import Attr
from smart_tuner.store.storage import open_storage
from smart_tuner.study import open_study
from smart_tuner.workspace import Workspace
from trainer.evaluation.verdict import Heard
from trainer.protocol import Event, EventKind, RunDir

pytestmark = pytest.mark.filterwarnings("ignore:.*:optuna.exceptions.ExperimentalWarning")
SETTING = NoteDetails(budget=1000, floor=0.5, folder="runs/lab/trial-0000")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A study whose first trial is complete, after a failed attempt, and whose second one was pruned."""
    from tuner_process import no_corpus

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("smart_tuner.run.corpus.prepare_corpus", no_corpus)
        lab = Lab(tmp_path_factory.mktemp("shown"), monkeypatch)
        lab.order(t0={"previews": True, "act_once": ["crash"], "at": 3}, t1={"previews": True, "hold_unguided_at": 2})
        lab.tuner(jobs=2).optimize(2)
        yield lab
        lab.console.file.close()


def artifacts(lab: Lab, trial: FrozenTrial) -> dict[str, tuple[str, str]]:
    """The artifacts of a trial in the store: name -> (MIME type, content)."""
    store = FileSystemArtifactStore(lab.workspace / "artifacts")
    found = get_all_artifact_meta(study_or_trial=trial, storage=open_storage(lab.url))
    assert len({meta.filename for meta in found}) == len(found), "a name is there twice"
    contents = [store.open_reader(meta.artifact_id) for meta in found]
    for content in contents:
        content.close()
    return {
        m.filename: (m.mimetype, Path(content.name).read_text()) for m, content in zip(found, contents, strict=True)
    }


def note(study: optuna.Study, trial: FrozenTrial | None = None) -> str:
    from optuna_dashboard._note import get_note_from_system_attrs

    attrs = study._storage.get_study_system_attrs(study._study_id)
    return get_note_from_system_attrs(attrs, trial and trial._trial_id)["body"]


def test_the_artifacts_of_a_complete_trial_are_its_last_pictures_and_its_samples(shown: Lab) -> None:
    assert artifacts(shown, shown.study().trials[0]) == {
        "alignment-0004-updates.png": ("image/png", "alignment after 4 updates"),
        "alignment-free-running.png": ("image/png", "alignment after 4 updates"),
        "mel-0004-updates.png": ("image/png", "mel after 4 updates"),
        "sample-middle.wav": ("audio/x-wav", "sample after 4 updates"),
    }


def test_a_pruned_trial_has_pictures_and_a_sample_too(shown: Lab) -> None:
    assert artifacts(shown, shown.study().trials[1]) == {
        "alignment-0002-updates.png": ("image/png", "alignment after 2 updates"),
        "mel-0002-updates.png": ("image/png", "mel after 2 updates"),
        "sample-middle.wav": ("audio/x-wav", "sample after 2 updates"),
    }


def test_the_dashboard_serves_notes_and_artifacts_of_a_trial(shown: Lab) -> None:
    import optuna_dashboard

    store = FileSystemArtifactStore(shown.workspace / "artifacts")
    app = optuna_dashboard.wsgi(open_storage(shown.url), artifact_store=store)
    response: list[Any] = []

    def get(path: str) -> str:
        response.clear()
        request = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "SERVER_NAME": "x", "wsgi.input": io.BytesIO()}
        answer = app(request, lambda status, headers, *_: response.extend((status, dict(headers))))  # type: ignore
        text = b"".join(answer).decode()
        getattr(answer, "close", lambda: None)()
        return text

    body = note(shown.study(), shown.study().trials[0])
    picture = body.rpartition("](")[2].removesuffix(")")
    assert get(picture) == "alignment after 4 updates"
    assert (response[0], response[1]["Content-Type"]) == ("200 OK", "image/png")
    assert "and the best trial when it ended" in get("/api/studies/1")


def test_the_note_of_a_trial_has_its_parameters_progress_and_end(shown: Lab) -> None:
    complete, pruned = (
        " ".join(note(shown.study(), trial).replace("\\\n", " ").split()) for trial in shown.study().trials
    )
    assert complete.startswith("**Complete**, and the best trial when it ended. It tried ")
    assert "`optimizer.lr` 0.002" in complete
    assert "`guided_attention.enabled` true" in complete
    assert "It came to 1,000 frames of speech, 100% of the budget, in 4" in complete
    assert "Its best report, after 4 updates (100%), has validation loss 1.111 and alignment 0.86: enough" in complete
    heard = f"**{Heard.PARTS}**: sentences that fail 0%, half seconds recognised 86%, free-running alignment 0.78"
    assert f"What is heard without a teacher: {heard}, distance to the recordings 7.33 dB (hum 12.00 dB)." in complete
    assert f"(hum 12.00 dB). {Heard.PARTS.advice}" in complete
    assert "It was started 2 times. One attempt failed" in complete
    assert "the trainer crashed (exit code 1): see the log." in complete
    assert "![alignment-free-running.png](/artifacts/1/1/" in complete
    assert pruned.startswith("**Pruned** (attention): attention does not align: alignment 0.0")
    assert "It came to 500 frames of speech, 50% of the budget" in pruned
    assert "runs/lab/trial-0001" in pruned
    assert "![alignment-0002-updates.png](/artifacts/1/2/" in pruned


def test_constraints_and_parts_of_the_score_are_attributes_of_their_own(shown: Lab) -> None:
    complete, pruned = shown.study().trials
    metrics = complete.user_attrs[Attr.METRICS]
    assert complete.user_attrs["alignment.score"] == metrics["alignment"]
    for name in ("alignment.without_teacher", "heard.alignment"):
        assert complete.user_attrs[name] == metrics["free_running_alignment"]
    assert complete.user_attrs["heard.distance"] == metrics["free_running_distance"]
    assert complete.user_attrs["heard.verdict"] == "intelligible in parts"
    for trial in (complete, pruned):
        names = ("alignment", "free_running_alignment", "failed", "memory")
        assert {name: trial.user_attrs[f"constraint.{name}"] for name in names} == trial.constraints
    assert pruned.user_attrs["constraint.alignment"] > 0 >= complete.user_attrs["constraint.alignment"]


def test_a_sync_writes_a_note_that_a_dead_worker_left_out_and_no_other(shown: Lab) -> None:
    study, storage = shown.study(), open_storage(shown.url)
    hint = hint_for_readers(shown.workspace, None)
    sink = NoteSink(study_spec(), study, storage, Workspace(shown.workspace), hint)
    lost, kept = study.trials
    before = note(study, lost)
    study._storage.set_study_system_attr(study._study_id, f"dashboard:{kept._trial_id}:note_ver", 5)
    with storage.engine.begin() as connection:
        connection.execute(text(f"DELETE FROM study_system_attributes WHERE key LIKE 'dashboard:{lost._trial_id}:%'"))
    assert note(shown.study(), lost) == ""
    edited = note(study, kept)
    record = Workspace(shown.workspace).run_dir("lab", lost.number).events
    record.rename(record.with_suffix(".elsewhere"))  # as for a trial of another machine
    sink.sync()
    assert note(shown.study(), lost) == ""
    record.with_suffix(".elsewhere").rename(record)
    sink.sync()
    assert note(shown.study(), lost) == before != ""
    assert note(shown.study(), kept) == edited
    study._storage.set_study_system_attr(study._study_id, f"dashboard:{kept._trial_id}:note_ver", 1)


def test_the_note_of_a_submitted_study_explains_it_and_a_persons_edit_stays(shown: Lab) -> None:
    study, storage = shown.study(), open_storage(shown.url)
    assert note(study) == study_note(shown.tuner().spec)
    assert "`smart-tuner best --study lab`" in note(study)
    other = study_spec(constraints={"alignment": {"at_least": 0.123}})
    write_study_note(study, storage, other)
    assert note(study) == study_note(other)
    optuna_note(study, "mine")
    write_study_note(study, storage, other)
    assert note(study) == "mine"
    optuna_note(study, "")
    write_study_note(study, storage, other)
    assert note(study) == "", "a person removed it"


def optuna_note(study: optuna.Study, body: str) -> None:
    from optuna_dashboard import save_note

    save_note(study, body)


@every_store
def test_a_note_is_replaced_by_a_longer_or_shorter_one_on_every_store(storage_url: str) -> None:
    storage = open_storage(storage_url)
    study = open_study(storage, study_spec())
    trial_id = storage.create_new_trial(study._study_id)
    for body in ("short", "длинный " * 1000, "", "short again"):
        assert storage.transaction(lambda store, body=body: write_note(store, study._study_id, trial_id, body))
        assert note(study, study.trials[0]) == body
    assert storage.transaction(lambda store: write_note(store, study._study_id, None, "of the study"))
    assert (note(study), note(study, study.trials[0])) == ("of the study", "short again")


def test_artifacts_that_cannot_be_written_are_logged_once_and_fail_no_trial(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    lab.order(any={"previews": True, "hold_unguided_at": 2})
    lab.workspace.mkdir()
    (lab.workspace / "artifacts").write_text("no folder")
    lab.tuner(jobs=2).optimize(2)
    assert lab.states() == ["COMPLETE", "PRUNED"]
    assert [artifacts(lab, trial) for trial in lab.study().trials] == [{}, {}]
    assert len([record for record in caplog.records if "cannot be shown by the dashboard" in record.message]) == 1
    assert "](/artifacts/" not in note(lab.study(), lab.study().trials[0])


def test_deleting_a_study_deletes_its_artifacts_and_no_others(lab: Lab) -> None:
    lab.order(any={"previews": True})
    tuner = lab.tuner()
    tuner.optimize(1)
    (lab.workspace / "artifacts" / "another's").touch()
    assert "4 of its files" in tuner.what_delete_would_do()
    tuner.delete()
    assert [path.name for path in (lab.workspace / "artifacts").iterdir()] == ["another's"]


def test_only_files_of_the_trial_itself_are_kept(lab: Lab, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret.wav").write_text("secret")
    (home / "link.wav").symlink_to(tmp_path / "secret.wav")
    (home / "good.wav").write_text("good")
    gallery = Gallery(tmp_path / "artifacts", open_study(open_storage(lab.url), study_spec()))
    paths = ["../secret.wav", str(tmp_path / "secret.wav"), "link.wav", "lost.wav", "x" * 5000, "\0", "good.wav"]
    events = [Event(EventKind.ARTIFACT, 100, 1, {"path": path, "what": "sample"}) for path in paths]
    artifacts = artifacts_of(RunDir(home), events)
    kept = gallery.keep(0, {f"{i}.wav": artifact for i, artifact in enumerate(artifacts)})
    assert (len(artifacts), len(kept)) == (len(paths), 1)
    assert gallery.keep(0, {"6.wav": artifacts[6]}) == kept
    (shown,) = (tmp_path / "artifacts").iterdir()
    assert shown.samefile(home / "good.wav"), "nothing is copied"


def test_where_the_file_system_has_no_links_files_are_copied(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    (tmp_path / "good.wav").write_text("good")
    gallery = Gallery(tmp_path / "artifacts", open_study(open_storage(lab.url), study_spec()))
    event = Event(EventKind.ARTIFACT, 100, 1, {"path": "good.wav", "what": "sample"})
    assert gallery.keep(0, {"good.wav": artifacts_of(RunDir(tmp_path), [event])[0]})
    (shown,) = (tmp_path / "artifacts").iterdir()
    assert shown.read_text() == "good"
    assert not shown.samefile(tmp_path / "good.wav")


def test_markup_in_a_log_is_escaped_in_a_note() -> None:
    reason = "crashed: <b>[x](http://h/?token=hunter2) `a`\n# no\n![p](q) $y$ | z"
    body = trial_note(Story(), Outcome(State.FAIL, Cause.CRASHED, reason), SETTING)
    assert body.startswith(r"**Failed** (crashed): crashed: \<b\>\[x\](http://h/?token=\*\*\*")
    assert r"The log ends: \!\[p\](q) \$y\$ \| z." in body.replace("\\\n", " ")
    assert "hunter2" not in body


def test_a_note_says_whose_setting_it_is_and_how_to_try_one_like_it() -> None:
    setting = replace(SETTING, origin="trial 7 of study 'en'", again="smart-tuner enqueue --study lab --like 0")
    body = trial_note(Story(), Outcome(State.COMPLETE), setting).replace("\\\n", " ")
    assert "The setting comes from trial 7 of study 'en'." in body
    assert body.endswith("A trial like it, with something changed: `smart-tuner enqueue --study lab --like 0`.")


def test_no_line_of_a_note_is_broken_within_code() -> None:
    for length in range(1, 60):
        again = "smart-tuner enqueue --study lab --like 0"
        body = trial_note(Story(), Outcome(State.COMPLETE), replace(SETTING, folder="x" * length, again=again))
        assert f"`{again}`" in body


def test_a_note_counts_corrections() -> None:
    story = Story()
    for update in (10, 20):
        story.take(Event(EventKind.CORRECTION, 100, update, {"what": "skip", "reason": "not finite; was skipped"}))
    body = trial_note(story, Outcome(State.COMPLETE), SETTING).replace("\\\n", " ")
    assert "2 corrections were made, the last after 20 updates: not finite; was skipped." in body
    assert "It came to 100 frames of speech, 10% of the budget, in 20 updates. It never reported." in body
