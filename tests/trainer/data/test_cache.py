"""What a cache holds is listed with its users; what nobody uses can be removed, and nothing else."""

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from recordings import write_corpus
from trainer_process import call_main

from trainer.config import TrainerConfig
from trainer.data.cache import Entry, User, entries, remove
from trainer.data.features import open_features
from trainer.files import lock
from trainer.protocol import ExitCode


def config_of(source: Path | str, cache: Path, **settings: object) -> TrainerConfig:
    return TrainerConfig.from_mapping({"corpus": {"source": str(source), **settings}, "paths": {"cache": str(cache)}})


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus of recordings, an embedded one, and a cache with the features of both; read-only."""
    folder = tmp_path_factory.mktemp("filled")
    write_corpus(folder / "corpus", 4)
    open_features(config_of(folder / "corpus", folder / "cache", validation_share=0.5))
    open_features(config_of("demo:en:2", folder / "cache", validation_share=0.5))
    return folder


@pytest.fixture
def mine(filled: Path, tmp_path: Path) -> Path:
    """A copy of it: the corpora's files keep their times."""
    return Path(shutil.copytree(filled, tmp_path / "mine"))


def user(folder: Path, source: Path | str, **settings: object) -> User:
    return User("a study", asdict(config_of(source, folder / "cache", **{"validation_share": 0.5, **settings})))


def by_corpus(found: list[Entry], folder: Path) -> dict[str, Entry]:
    """Entries by "corpus", "demo:en:2" and "speech"."""
    names = {f"{folder}/corpus": "corpus"}
    return {
        "speech" if entry.name.startswith("corpora/") else names.get(entry.corpus, entry.corpus): entry
        for entry in found
    }


def test_each_entry_has_its_corpus_size_and_age(filled: Path) -> None:
    found = entries(filled / "cache", [])
    assert [entry.bytes for entry in found] == sorted((entry.bytes for entry in found), reverse=True)
    listed = by_corpus(found, filled)
    assert set(listed) == {"corpus", "demo:en:2", "speech"}
    assert listed["speech"].name == "corpora/demo-en-2"
    assert listed["speech"].corpus == "demo:en:2"
    for entry in found:
        folder = filled / "cache" / entry.name
        assert entry.bytes == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        assert (entry.studies, entry.in_work) == ((), False)


def test_the_age_is_the_time_since_the_last_use(mine: Path) -> None:
    name = by_corpus(entries(mine / "cache", []), mine)["demo:en:2"].name
    for path in (*(mine / "cache" / name).iterdir(), mine / "cache" / name):
        os.utime(path, (0, 1e9))
    assert next(e for e in entries(mine / "cache", [user(mine, "demo:en:2")]) if e.name == name).used == 1e9
    open_features(config_of("demo:en:2", mine / "cache", validation_share=0.5))
    assert next(entry for entry in entries(mine / "cache", []) if entry.name == name).used > 1.5e9


def test_a_study_uses_the_features_that_it_would_open(filled: Path, mine: Path) -> None:
    def used_by(source: Path | str) -> set[str]:
        listed = by_corpus(entries(mine / "cache", [user(mine, source)]), filled)
        return {name for name, entry in listed.items() if entry.studies}

    assert used_by(filled / "corpus") == {"corpus"}
    assert used_by("demo:en:2") == {"demo:en:2", "speech"}


def test_other_settings_use_other_features(mine: Path) -> None:
    used = [user(mine, "demo:en:2", max_seconds=3.0)]
    assert [entry.name for entry in entries(mine / "cache", used) if entry.studies] == ["corpora/demo-en-2"]


@pytest.mark.parametrize("broken", ["no corpus", "unknown key"])
def test_where_a_corpus_cannot_be_read_its_features_are_kept(filled: Path, tmp_path: Path, broken: str) -> None:
    mine = Path(shutil.copytree(filled, tmp_path / "mine"))
    source = filled / "corpus" if broken == "unknown key" else tmp_path / "gone"
    config: dict[str, object] = {"corpus": {"source": str(source)}}
    if broken == "unknown key":
        config["of a later version"] = 1
    else:  # what was made from it is still there
        name = next(entry.name for entry in entries(mine / "cache", []) if entry.corpus == f"{filled}/corpus")
        index = mine / "cache" / name / "index.json"
        index.write_text(json.dumps({**json.loads(index.read_text()), "source": str(source)}))
    used = [entry for entry in entries(mine / "cache", [User("a study", config)]) if entry.studies]
    assert [(entry.corpus, entry.studies) for entry in used] == [(str(source), ("a study",))]


def test_what_is_used_is_not_removed(mine: Path) -> None:
    used = [user(mine, "demo:en:2")]
    everything = [entry.name for entry in entries(mine / "cache", [])]
    removed = remove(mine / "cache", everything, used)
    assert [entry.name for entry in removed] == [name for name in everything if name not in _names(mine)]
    assert _names(mine) == {entry.name for entry in entries(mine / "cache", used) if entry.studies}
    # What is left can be used without computing anything.
    open_features(config_of("demo:en:2", mine / "cache", validation_share=0.5), lambda *report: pytest.fail("computed"))


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in entries(folder / "cache", [])}


def test_work_of_a_killed_process_is_removed_but_not_that_of_a_living_one(mine: Path) -> None:
    unfinished = mine / "cache" / "features" / ".unfinished"
    (unfinished / "ab12").mkdir(parents=True)
    (unfinished / "ab12" / "mels.npy").write_bytes(b"12345")
    (unfinished / "cd34.part").write_bytes(b"678")
    with lock(unfinished / "ab12.lock"):
        entry = next(entry for entry in entries(mine / "cache", []) if entry.name == "features/.unfinished")
        assert (entry.bytes >= 8, entry.in_work) == (True, True)
        assert remove(mine / "cache", [entry.name], []) == []
        assert (unfinished / "cd34.part").exists()
    assert [one.name for one in remove(mine / "cache", [entry.name], [])] == ["features/.unfinished"]
    assert list(unfinished.iterdir()) == []


def test_names_outside_of_the_cache_are_ignored(mine: Path) -> None:
    assert remove(mine / "cache", ["../corpus", "features", "/", "."], []) == []
    assert (mine / "corpus").is_dir()


def test_the_command_prints_json(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    used = user(mine, "demo:en:2")
    users = tmp_path / "users.json"
    users.write_text(json.dumps([{"study": used.study, "config": used.config}]))
    assert call_main("cache", str(mine / "cache"), "--users", str(users)) == ExitCode.FINISHED
    listed = json.loads(capsys.readouterr().out)["entries"]
    assert [Entry(**{**entry, "studies": tuple(entry["studies"])}) for entry in listed] == entries(
        mine / "cache", [used]
    )
    name = next(entry["name"] for entry in listed if not entry["studies"])
    assert call_main("cache", str(mine / "cache"), "--users", str(users), "--remove", name) == ExitCode.FINISHED
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)["removed"]] == [name]


def test_users_that_cannot_be_read_are_refused(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "users.json").write_text('[{"name": 1}]')
    code = call_main("cache", str(mine / "cache"), "--users", str(tmp_path / "users.json"))
    assert code == ExitCode.BAD_INPUT
    assert "cannot be read as a list of users" in capsys.readouterr().err


def test_a_cache_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert entries(tmp_path / "cache", [user(tmp_path, "demo:en:2")]) == []
    assert not (tmp_path / "cache").exists()
