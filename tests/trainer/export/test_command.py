"""`python -m trainer export`: which format, what is refused before anything is written, and a disk without space."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lively_voice import lively_voice, with_source
from safetensors import safe_open
from trainer_process import call_main

from trainer import files, voice_format
from trainer.protocol import ExitCode

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    path = tmp_path / "best.pt"
    voice_format.save(path, with_source(lively_voice(), "/data/anna"))
    return path


def export(voice: Path, *arguments: object) -> int:
    return call_main("export", str(voice), *map(str, arguments))


@pytest.mark.parametrize(
    ("name", "options", "start"),
    [
        ("v.safetensors", (), b'{"'),
        ("v.bin", ("--format", "safetensors"), b'{"'),
        ("v.onnx", (), b"\x08\x08"),
        ("v.pt", (), b"PK"),
        ("v.PTH", (), b"PK"),
        ("no-suffix", ("--format", "nvidia"), b"PK"),
        ("below/nothing yet/v.safetensors", (), b'{"'),
    ],
)
def test_the_format_is_that_of_the_name_or_the_given_one(
    voice: Path, tmp_path: Path, name: str, options: tuple[str, ...], start: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / name
    assert export(voice, "--to", target, *options) == ExitCode.FINISHED
    assert start in target.read_bytes()[:10]
    assert f"{target}: written" in capsys.readouterr().out
    assert not [path for path in target.parent.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("no-suffix", (), "its name does not say the format; add --format, one of safetensors, onnx, nvidia."),
        ("v.pt", ("--format", "onnx"), "is a name for nvidia, but --format is onnx; change one of them."),
    ],
)
def test_a_name_that_says_no_format_or_another_one_is_refused(
    voice: Path, tmp_path: Path, name: str, options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "new" / name
    assert export(voice, "--to", target, *options) == ExitCode.BAD_INPUT
    assert f"--to {target}: {said}" in capsys.readouterr().err
    assert not target.parent.exists()


def test_what_is_known_of_the_recordings_is_written_and_said(
    voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "v.safetensors"
    assert export(voice, "--to", target) == ExitCode.FINISHED
    assert "recordings: anna, unknown hours; licence: not stated" in capsys.readouterr().out
    assert export(voice, "--to", target, "--licence", "CC0, by Анна", "--force") == ExitCode.FINISHED
    assert "licence: CC0, by Анна" in capsys.readouterr().out
    with safe_open(str(target), "pt") as file:
        stated = json.loads(file.metadata()["recordings"])
    assert stated == {"corpus": "anna", "hours": None, "licence": "CC0, by Анна"}
    assert export(target, "--to", tmp_path / "v.onnx") == ExitCode.FINISHED  # stays with the voice
    assert "licence: CC0, by Анна" in capsys.readouterr().out


def test_an_export_of_an_export_is_the_same(voice: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    assert export(voice, "--to", first) == export(first, "--to", second) == ExitCode.FINISHED
    a, b = voice_format.load(first), voice_format.load(second)
    assert voice_format.about(a) == voice_format.about(b)
    assert all(torch.equal(a.weights[key], b.weights[key]) for key in a.weights)


@pytest.mark.parametrize("name", ["v.safetensors", "v.onnx", "v.pt"])
def test_an_existing_file_is_overwritten_only_by_force(
    voice: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / name
    target.write_text("mine")
    assert export(voice, "--to", target) == ExitCode.BAD_INPUT
    assert capsys.readouterr().err == (f"{target}: exists and is not overwritten; give another name, or add --force.\n")
    assert target.read_text() == "mine"
    assert export(voice, "--to", target, "--force") == ExitCode.FINISHED
    assert target.stat().st_size > 10_000


def test_the_voice_itself_is_never_overwritten(voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = voice.read_bytes()
    (tmp_path / "link.pt").symlink_to(voice)
    for target in (voice, tmp_path / "link.pt"):
        assert export(voice, "--to", target, "--force") == ExitCode.BAD_INPUT
        assert "is the voice itself" in capsys.readouterr().err
    assert voice.read_bytes() == before


def test_a_folder_that_is_missing_is_made(voice: Path, tmp_path: Path) -> None:
    assert export(voice, "--to", tmp_path / "new" / "a b" / "v.safetensors") == ExitCode.FINISHED
    assert [path.name for path in (tmp_path / "new" / "a b").iterdir()] == ["v.safetensors"]


def test_what_cannot_be_written_is_refused_with_the_reason(
    voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for target, message in ((tmp_path, "is a folder"), (voice / "v.onnx", f"cannot be written: {voice} is a file")):
        assert export(voice, "--to", target) == ExitCode.BAD_INPUT
        assert f"{target}: {message}" in capsys.readouterr().err
    assert export(voice, "--to", "/proc/v.safetensors") == ExitCode.BAD_INPUT
    assert "/proc/v.safetensors: cannot be written (" in capsys.readouterr().err


def test_a_licence_that_a_format_cannot_hold_is_refused(
    voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(voice, "--to", tmp_path / "v.pt", "--licence", "CC0") == ExitCode.BAD_INPUT
    assert "NVIDIA's layout has no place for it" in capsys.readouterr().err
    assert not (tmp_path / "v.pt").exists()


@pytest.mark.parametrize(("name", "vocoder"), [("v.safetensors", "hifigan"), ("v.onnx", "griffin-lim")])
def test_a_vocoder_goes_into_onnx_alone(
    voice: Path, tmp_path: Path, name: str, vocoder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(voice, "--to", tmp_path / name, "--vocoder", vocoder) == ExitCode.BAD_INPUT
    assert f"--vocoder {vocoder}: only onnx takes one" in capsys.readouterr().err
    assert export(voice, "--to", tmp_path / "v.onnx", "--vocoder", "none.pt") == ExitCode.BAD_INPUT
    assert "none.pt: the vocoder does not exist" in capsys.readouterr().err
    assert not (tmp_path / "v.onnx").exists()


@pytest.mark.parametrize("name", ["v.safetensors", "v.onnx", "v.pt"])
def test_a_full_disk_is_named_with_the_size(
    voice: Path,
    tmp_path: Path,
    name: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    target = tmp_path / name
    target.write_text("mine")
    assert export(voice, "--to", target, "--force") == ExitCode.NO_SPACE
    shown = capsys.readouterr().err
    assert f"{target}: cannot be written (No space left on device: it needs " in shown
    assert f"MB are free in {tmp_path})" in shown
    assert target.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["v.safetensors", "v.onnx", "v.pt"])
def test_a_disk_that_is_really_full(
    voice: Path, disk: Callable[[int], Path], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = disk(100_000)
    assert export(voice, "--to", folder / name) == ExitCode.NO_SPACE
    assert f"0.1 MB are free in {folder}" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_the_layout_of_nvidia_is_what_it_was(voice: Path, tmp_path: Path) -> None:
    assert export(voice, "--to", tmp_path / "n.pt") == ExitCode.FINISHED
    content = torch.load(tmp_path / "n.pt", weights_only=True)
    assert set(content) == {"iteration", "state_dict", "optimizer", "learning_rate"}


def test_help_names_the_way_back(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_main("export", "--help")
    assert "`python -m trainer import`" in " ".join(capsys.readouterr().out.split())
