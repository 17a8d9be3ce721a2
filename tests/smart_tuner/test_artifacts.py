"""The pictures and sounds that a record announces, and which of them each display shows."""

from pathlib import Path
from typing import Any

from smart_tuner.artifacts import ArtifactKind, artifacts_of, last_of
from smart_tuner.dashboard import gallery
from smart_tuner.mlflow_mirror import projection
from smart_tuner.pages import records
from trainer.protocol import Event, EventKind, RunDir


def announced(path: str, what: str, update: int, **more: Any) -> Event:
    return Event(EventKind.ARTIFACT, 100, update, {"path": path, "what": what, "text": "a sentence"} | more)


def validated(update: int, best: bool) -> Event:
    data = {"index": update // 10, "best": best, "loss": 1.0, "alignment": 0.5}
    return Event(EventKind.VALIDATION, 100, update, data)


# A trial with three reports, the second one the best, and free-running synthesis at the end. Its trainer was killed
# after the third report, and continued from the second.
EVENTS = [
    validated(10, True),
    announced("alignments/1.png", "alignment", 10),
    announced("alignments/mel.png", "mel", 10),
    validated(20, True),
    announced("alignments/2.png", "alignment", 20),
    announced("alignments/mel.png", "mel", 20),
    *2 * [validated(30, False), announced("alignments/3.png", "alignment", 30)],
    announced("x", "unheard of", 30),
    announced("alignments/mel.png", "mel", 30),
    announced("alignments/spoken.png", "alignment", 30, free_running=True),
    announced("samples/sample-middle.wav", "sample", 30, free_running=True, text="hear"),
    announced("../stolen.wav", "sample", 30, free_running=True, text="stolen"),
]


def test_each_display_chooses_among_the_same_artifacts(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "trial")
    run_dir.create()
    for event in EVENTS:
        if event.kind is EventKind.ARTIFACT:
            (run_dir.path / event.data["path"]).write_text("here")
    found = artifacts_of(run_dir, EVENTS)
    best = [artifact.path for artifact in found if artifact.of_best]
    assert best == ["alignments/2.png"], "the mel was drawn again at the last report"

    assert {name: artifact.path for name, artifact in gallery.shown(found).items()} == {
        "alignment-0020-updates.png": "alignments/2.png",
        "alignment-0030-updates.png": "alignments/3.png",
        "mel-0030-updates.png": "alignments/mel.png",
        "alignment-free-running.png": "alignments/spoken.png",
        "sample-middle.wav": "samples/sample-middle.wav",
        "stolen.wav": "../stolen.wav",  # not copied
    }
    assert {(a.path, a.sentence) for a in records.shown(found)} == {
        ("alignments/spoken.png", "a sentence"),
        ("alignments/mel.png", "a sentence"),
        ("samples/sample-middle.wav", "hear"),
    }
    sent = [file.relative_to(run_dir.path).as_posix() for file in projection.files(run_dir, EVENTS)]
    assert sent == ["alignments/spoken.png", "samples/sample-middle.wav"]


def test_in_records_of_older_trainers_the_name_says_what_is_free_running() -> None:
    old = [
        announced("alignments/validation-001.png", "alignment", 10),
        announced("alignments/free-running.png", "alignment", 10),
        announced("alignments/free-running-mel.png", "mel", 10),
        announced("samples/sample-middle.wav", "sample", 10),
    ]
    found = artifacts_of(RunDir(Path("nowhere")), old)
    assert [artifact.free_running for artifact in found] == [False, True, True, True]
    last = last_of(found, ArtifactKind.ALIGNMENT)
    assert last is not None
    assert (last.path, last.file) == ("alignments/free-running.png", None)
