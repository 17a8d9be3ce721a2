"""Whole studies whose notifications go to a server with Telegram's Bot API, which works or fails."""

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_trainer import picture
from lab import REPORTS, UNGUIDED, Lab, trainers_in
from telegram_server import CHAT, TOKEN, TelegramServer
from waiting import wait_until

import smart_tuner.run.studies
from smart_tuner.cli.app import main
from smart_tuner.errors import SettingsError, WorkerBroken
from smart_tuner.notify import dispatcher
from smart_tuner.notify.outbox import Pace
from trainer.evaluation.verdict import Heard

AT_ONCE = Pace(gather=0, between=0, first_wait=0.05)


@pytest.fixture
def server(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[TelegramServer]:
    monkeypatch.setattr(dispatcher, "PACE", AT_ONCE)
    with TelegramServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def holding_the_token(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if TOKEN.encode() in path.read_bytes()]


def test_a_study_is_reported_from_start_to_end_with_pictures(
    lab: Lab, server: TelegramServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    lab.order(any={"draw": True, "hold_unguided_at": 2})
    result = lab.tuner().optimize(6)
    assert result.best is not None
    sent = "\n".join(server.texts)
    assert sent.startswith("lab: started. 6 trials asked for, 1 at a time, on ")
    assert "lab: new best, trial 0: distance to the recordings 7.33 dB, alignment 0.86. What" in sent
    assert "What is heard: intelligible in parts. 1 of 6 trials finished." in sent
    assert f"What is heard: {Heard.PARTS}. {Heard.PARTS.advice}\n" in sent
    assert sent.count("lab: finished. 6 trials in ") == 1
    assert f"Best: trial {result.best.trial}, distance to the recordings {result.best.value:.2f} dB, alignment" in sent
    assert sent.endswith("smart-tuner best --study lab")
    assert "  guided_attention.enabled = true\n" in sent
    photos = [message.photo for message in server.accepted if message.method == "sendPhoto"]
    assert len(photos) > 1
    assert set(photos) == {picture(REPORTS)}  # of the best validation
    assert all(message.fields["chat_id"] == CHAT for message in server.received)
    assert TOKEN not in caplog.text
    assert not holding_the_token(lab.path)


def test_in_russian_and_only_what_is_important(
    lab: Lab, server: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMART_TUNER_NOTIFY_LANGUAGE", "ru")
    monkeypatch.setenv("SMART_TUNER_NOTIFY_LEVEL", "important")
    lab.tuner().optimize(1)
    sent = "\n".join(server.texts)
    assert "lab: готово. 1 испытание за " in sent
    assert "Лучшее: испытание 0, расстояние до записей 7.33 dB, выравнивание 0.86\n" in sent
    assert "\nЧто слышно: местами разборчиво. Слышны отдельные слова" in sent
    assert "начато" not in sent


@pytest.mark.parametrize(
    "mode", ["hang", 401, pytest.param(429, marks=pytest.mark.slow), pytest.param(500, marks=pytest.mark.slow)]
)
def test_a_server_that_accepts_nothing_does_not_change_the_study(
    lab: Lab,
    server: TelegramServer,
    mode: str | int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(smart_tuner.run.studies, "DRAIN_SECONDS", 0.2)
    server.mode, server.retry_after = mode, 600
    result = lab.tuner().optimize(2)
    assert dict(result.states) == {"COMPLETE": 1, "PRUNED": 1}
    assert result.best is not None
    assert (result.best.trial, result.best.value) == (0, pytest.approx(4 + 3 * 10 / 9))
    assert [lab.validated(number) for number in (0, 1)] == [[1, 2, 3, 4], [1, 2]]
    assert server.received
    assert not server.accepted
    if mode == "hang":
        assert server.holding == len(server.received) == 1  # the study did not wait for its answer
    if mode in (401, 429):
        assert len(server.received) == 1
    logged = [r.getMessage() for r in caplog.records if r.name.startswith("smart_tuner") and r.levelno > logging.DEBUG]
    assert len(logged) == (2 if mode in (429, 500) else 1), logged
    assert ("left out, as they could not be sent in time" in logged[-1]) == (mode != 401)
    assert TOKEN not in caplog.text
    assert not holding_the_token(lab.path)


@pytest.mark.slow
def test_a_process_exits_while_the_server_holds_its_request_and_shows_the_token_nowhere(
    lab: Lab, server: TelegramServer
) -> None:
    server.mode = "hang"
    lab.order(t0={"hold_at": 1})
    tuner = lab.process(1)
    wait_until(lambda: server.holding == 1 and bool(lab.validated(0)))
    arguments = Path(f"/proc/{tuner.pid}/cmdline").read_text()
    for trainer in trainers_in(lab.path):
        assert TOKEN not in Path(f"/proc/{trainer}/environ").read_text()
    (lab.run_dir(0).path / "go").touch()
    out, err = tuner.communicate(timeout=60)
    assert (tuner.returncode, server.holding) == (0, 1), err
    assert TOKEN not in out + err + arguments


@pytest.mark.slow
def test_of_several_workers_one_reports_and_a_lost_one_is_reported(lab: Lab, server: TelegramServer) -> None:
    lab.order(any={"hold_at": 1})
    first = lab.process(2)
    wait_until(lambda: bool(server.texts and lab.validated(0)))
    second = lab.process(2)
    wait_until(lambda: bool(lab.validated(1)))
    first.kill()
    first.communicate(timeout=60)
    for number in (0, 1):
        (lab.run_dir(number).path / "go").touch()
    _, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    sent = "\n".join(server.texts)
    assert sent.count("lab: started. 2 trials asked for") == 1
    assert sent.count("lab: a worker was lost. 1 trial back in the queue, to be continued: 0.") == 1
    assert sent.count("lab: finished. 2 trials") == 1


@pytest.mark.slow
def test_attention_that_fails_in_most_trials_is_reported_once(lab: Lab, server: TelegramServer) -> None:
    lab.define(enqueue=[UNGUIDED] * 10)
    lab.tuner(jobs=2).optimize(10)
    sent = "\n".join(server.texts)
    assert sent.count("lab: attention failed in 6 of the last 6 trials. What helps: guided attention") == 1
    assert sent.count("No trial satisfies the constraints. Nearest is trial ") == 1
    assert "free-running alignment too low, too many sentences fail." in sent


def test_the_circuit_breaker_is_reported_with_its_last_reason(lab: Lab, server: TelegramServer) -> None:
    lab.order(any={"act": ["crash"]})
    with pytest.raises(WorkerBroken):
        lab.tuner().optimize(3)
    sent = "\n".join(server.texts)
    assert ": 5 attempts failed in a row, so the worker there has stopped. The last failure:\n" in sent
    assert "the fake broke" in sent


@pytest.mark.slow
def test_a_stop_by_another_process_is_reported(lab: Lab, server: TelegramServer) -> None:
    lab.order(any={"hold_at": 1})
    tuner = lab.process(2)
    wait_until(lambda: bool(lab.validated(0)))
    lab.tuner().stop()
    tuner.communicate(timeout=60)
    sent = "\n".join(server.texts)
    assert sent.count("lab: started") == 1
    assert sent.count("lab: stopped. 0 of 2 trials finished.\nsmart-tuner resume --study lab") == 1


Cli = Callable[..., tuple[int, str]]


@pytest.fixture
def notify(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["smart-tuner", "notify", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out + output.err

    return run


def test_notify_test_reports_for_each_channel_whether_the_message_arrived(
    notify: Cli, server: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert notify("test") == (0, "Telegram: sent\n")
    assert server.texts[0].startswith("Smart Tuner on ")
    monkeypatch.setenv("SMART_TUNER_NOTIFY_URLS", f"json://127.0.0.1:{server.port}/{TOKEN}")
    server.mode = 401
    code, output = notify("test")
    assert code == 1
    assert output.splitlines()[0] == "Telegram: not sent: 401 Unauthorized"
    assert output.splitlines()[1].startswith("JSON (URL number 1): not sent: ")
    assert TOKEN not in output


def test_notify_test_without_a_channel_says_how_to_configure_one(notify: Cli) -> None:
    code, output = notify("test")
    assert code == 2
    assert "Set TELEGRAM_TOKEN and TELEGRAM_CHAT_ID, or SMART_TUNER_NOTIFY_URLS" in output


def test_notify_without_a_command_shows_its_help(notify: Cli) -> None:
    code, output = notify()
    assert code in (0, 2)
    assert "Send one message by each configured channel" in output


def test_a_malformed_channel_is_refused_before_the_study_starts(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_TOKEN", TOKEN)
    with pytest.raises(SettingsError, match="TELEGRAM_CHAT_ID is missing"):
        lab.tuner().optimize(1)
    assert not (lab.workspace / "studies.db").exists()
