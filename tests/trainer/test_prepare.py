"""`python -m trainer --prepare`: what it computes and shows, and that it can be stopped."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from trainer_process import TIMEOUT, call_main, configure, start_trainer

from trainer.protocol import EventKind, ExitCode, all_events


def test_preparing_again_computes_nothing_and_prints_a_summary(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = configure(tmp_path, cache)
    assert call_main("--config", str(run.config), "--prepare", "--progress", "json") == ExitCode.FINISHED
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (summary,) = (line["prepared"] for line in printed if "prepared" in line)
    assert summary["train"] + summary["validation"] == 24
    assert summary["minutes"] == pytest.approx(summary["frames"] * 256 / 22050 / 60, abs=0.01)
    assert not any("done" in line for line in printed)
    assert call_main("--config", str(run.config), "--prepare") == ExitCode.FINISHED
    assert capsys.readouterr().out.splitlines() == [
        f"ready: {summary}",
        f"warning: {summary['minutes']:.1f} minutes of speech",
        f"warning: {summary['validation']} clips to validate",
    ]
    assert not run.events.exists()


def test_preparing_shows_its_progress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("json", "text"):
        run = configure(tmp_path / form, tmp_path / form, corpus={"source": "demo:en:2", "validation_share": 0.5})
        assert call_main("--config", str(run.config), "--prepare", "--progress", form) == ExitCode.FINISHED
        out, err = capsys.readouterr()
        if form == "json":
            steps = [json.loads(line) for line in out.splitlines()][:-1]
            assert {"done": 2, "total": 2, "what": "log-mel features"} in steps
        else:
            assert "log-mel features: 2/2\n" in err


@pytest.mark.parametrize("arguments", [[], ["--prepare"]])
def test_a_signal_stops_the_preparation(tmp_path: Path, arguments: list[str]) -> None:
    run = configure(tmp_path, tmp_path / "cache", corpus={"source": "demo:en:1000"})
    process = start_trainer(run, *arguments)
    try:
        _wait_for_speech(tmp_path / "cache", process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    assert process.returncode == ExitCode.STOPPED
    assert errors == "received SIGINT; what is prepared is kept: run the same command again to continue\n"
    events = [(event.kind, event.data) for event in all_events(run.events)]
    assert events == ([] if arguments else [(EventKind.STOPPED, {"reason": "received SIGINT"})])


def test_preparation_ends_with_the_watching_process(tmp_path: Path) -> None:
    run = configure(tmp_path, tmp_path / "cache", corpus={"source": "demo:en:1000"})
    with start_trainer(run, "--prepare", "--tied") as process:
        try:
            _wait_for_speech(tmp_path / "cache", process)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(TIMEOUT) == ExitCode.STOPPED
        finally:
            process.kill()
    assert not list((tmp_path / "cache" / "corpora").iterdir())


def _wait_for_speech(cache: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + TIMEOUT
    while not list(cache.rglob("*.wav")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
