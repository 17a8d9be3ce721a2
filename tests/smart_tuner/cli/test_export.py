"""`smart-tuner export`: which voice it means, what the trainer is asked for, and what is refused before."""

from functools import partial
from pathlib import Path

import pytest
from commands import call_command
from finished_study import HUM, FinishedStudy
from lively_voice import lively_voice

from smart_tuner.cli import export as command
from trainer import voice_format


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []

    def run(arguments: list[str]) -> int:
        calls.append(arguments)
        return 0

    monkeypatch.setattr(command, "run_in_terminal", run)
    return calls


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FinishedStudy:
    """Trial 0 has a voice, and so has a folder `voices/anna`."""
    monkeypatch.chdir(tmp_path)
    finished = FinishedStudy(tmp_path)
    finished.run_dir(finished.complete(1.5, spoken=HUM)).best_checkpoint.touch()
    folder = finished.workspace / "voices" / "anna"
    folder.mkdir(parents=True)
    (folder / "voice.pt").touch()
    return finished


def test_the_best_voice_becomes_a_safetensors_file(
    finished: FinishedStudy, asked: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    cli = partial(call_command, capsys)
    workspace = f"--workspace={finished.workspace}"
    best = str(finished.run_dir(0).best_checkpoint)
    assert cli("export", workspace).code == 0
    assert cli("export", workspace, "-o", "a b.onnx", "--licence", "CC0", "--force", "--vocoder", "hifigan").code == 0
    assert cli("export", workspace, "--format", "nvidia").code == 0
    assert asked == [
        ["export", "--to=voice.safetensors", "--format=safetensors", "--", best],
        ["export", "--to=a b.onnx", "--format=onnx", "--licence=CC0", "--vocoder=hifigan", "--force", "--", best],
        ["export", "--to=nvidia.pt", "--format=nvidia", "--", best],
    ]


def test_a_voice_is_a_file_a_folder_or_a_name(
    finished: FinishedStudy, asked: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    cli = partial(call_command, capsys)
    workspace = f"--workspace={finished.workspace}"
    voice = finished.workspace / "voices" / "anna" / "voice.pt"
    for given in ("anna", str(voice.parent), str(voice), "elsewhere.safetensors"):
        assert cli("export", workspace, "--voice", given).code == 0
    assert [arguments[-1] for arguments in asked] == [str(voice), str(voice), str(voice), "elsewhere.safetensors"]
    (finished.workspace / "voices" / "clara").mkdir()  # of a start that failed, without a voice
    refused = cli("export", workspace, "--voice", "berta")
    assert refused.code == 2
    assert f"{finished.workspace / 'voices'}, which has anna." in refused.err
    (finished.workspace / "empty").mkdir()
    refused = cli("export", workspace, "--voice", str(finished.workspace / "empty"))
    assert (refused.code, "empty/voice.pt does not exist" in refused.err) == (2, True)
    assert len(asked) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "wav"), "--format wav: must be one of safetensors, onnx, nvidia."),
        (("-o", "voice.bin"), "-o voice.bin: its name does not say the format; add --format"),
        (("-o", "v.pt", "--format", "onnx"), "-o v.pt: is a name for nvidia, but --format is onnx"),
        (("--voice", "a.pt", "--trial", "0"), "--voice names a voice by itself"),
    ],
)
def test_what_contradicts_itself_is_refused(
    finished: FinishedStudy,
    asked: list[list[str]],
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    refused = call_command(capsys, "export", f"--workspace={finished.workspace}", *arguments)
    assert refused.code == 2
    assert message in refused.err
    assert asked == []


def test_the_trainers_exit_code_is_ours(
    finished: FinishedStudy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "run_in_terminal", lambda arguments: 2)
    assert call_command(capsys, "export", f"--workspace={finished.workspace}").code == 2


@pytest.mark.slow
def test_the_trainer_writes_the_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    voice_format.save(tmp_path / "best.pt", lively_voice())
    assert call_command(capfd, "export", "--voice", "best.pt").code == 0
    assert same_about(tmp_path / "voice.safetensors", tmp_path / "best.pt")
    again = call_command(capfd, "export", "--voice", "best.pt")
    assert (again.code, again.err) == (
        2,
        "voice.safetensors: exists and is not overwritten; give another name, or add --force.\n",
    )


def same_about(a: Path, b: Path) -> bool:
    first, second = (voice_format.about(voice_format.to_share(voice_format.load(path))) for path in (a, b))
    return first == second
