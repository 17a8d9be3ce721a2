"""The channels: Telegram, to a server with Telegram's Bot API, and apprise, to a server that accepts anything."""

import base64
import logging
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_trainer import picture
from servers import free_port
from telegram_server import CHAT, TOKEN, TelegramServer

from smart_tuner.config import Settings, load_settings
from smart_tuner.errors import SettingsError
from smart_tuner.notify import telegram
from smart_tuner.notify.channel import Channel, Refused, Unavailable
from smart_tuner.notify.channels import channels_of
from smart_tuner.notify.message import Level, Message

BOTH = {"TELEGRAM_TOKEN": TOKEN, "TELEGRAM_CHAT_ID": CHAT}
TEXT = "lab: new best <b>*_`[trial](\n&amp; Ёлка"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[TelegramServer]:
    monkeypatch.chdir(tmp_path)
    with TelegramServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "выравнивание.png"
    path.write_bytes(picture(7))
    return path


def only_channel() -> Channel:
    (channel,) = channels_of(load_settings())
    return channel


def test_telegram_gets_the_text_unchanged(server: TelegramServer) -> None:
    only_channel().send(Message(Level.INFO, TEXT))
    (got,) = server.received
    assert got.method == "sendMessage"
    assert (got.fields["chat_id"], got.fields["text"]) == (CHAT, TEXT)
    assert "parse_mode" not in got.fields


def test_telegram_gets_the_picture_with_the_text_as_its_caption(server: TelegramServer, png: Path) -> None:
    only_channel().send(Message(Level.SUCCESS, TEXT, png))
    (got,) = server.received
    assert got.method == "sendPhoto"
    assert (got.fields["chat_id"], got.fields["caption"]) == (CHAT, TEXT)
    assert got.photo == png.read_bytes()


def test_the_text_is_sent_although_its_picture_is_gone_or_refused(server: TelegramServer, png: Path) -> None:
    channel = only_channel()
    channel.send(Message(Level.INFO, "gone", png.with_name("gone.png")))
    server.mode = 400
    channel.send(Message(Level.INFO, "refused", png))
    assert [got.method for got in server.received] == ["sendMessage", "sendPhoto", "sendMessage"]
    assert server.texts == ["gone", "refused"]


def test_a_text_that_is_longer_than_a_caption_arrives_whole(server: TelegramServer, png: Path) -> None:
    text = "\N{BAR CHART}" * 600  # 1200 for Telegram, which counts units of UTF-16
    only_channel().send(Message(Level.INFO, text, png))
    assert [(got.method, bool(got.photo)) for got in server.received] == [("sendPhoto", True), ("sendMessage", False)]
    assert server.texts == ["", text]


@pytest.mark.parametrize(
    ("mode", "expected", "reason"),
    [
        (401, Refused, "401 Unauthorized"),
        (403, Refused, "403 Forbidden: bot was blocked"),
        (404, Refused, "404 Not Found"),
        (408, Unavailable, "408 Request Timeout"),
        (429, Unavailable, "429 Too Many Requests: retry after 7"),
        (500, Unavailable, "500 Internal Server Error"),
        ("hang", Unavailable, "timed out"),
    ],
)
def test_the_answer_of_telegram_decides_between_unavailable_and_refused(
    server: TelegramServer, mode: str | int, expected: type[Exception], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telegram, "TIMEOUT_SECONDS", 0.2)
    server.mode, server.retry_after = mode, 7
    with pytest.raises(expected, match=reason) as caught:
        only_channel().send(Message(Level.INFO, TEXT))
    assert TOKEN not in repr(caught.getrepr(showlocals=False))
    assert getattr(caught.value, "retry_after", None) == (7 if mode == 429 else None)


@pytest.mark.parametrize("body", [b"Content-Length: 9\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"])
@pytest.mark.parametrize("hangs", [True, False])
def test_an_error_whose_body_does_not_arrive_is_classified_by_its_status(
    server: TelegramServer, body: bytes, hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telegram, "TIMEOUT_SECONDS", 0.5)
    raised = threading.Event()

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(2**16)
            connection.sendall(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\n" + body)
            if not hangs:
                connection.shutdown(socket.SHUT_WR)  # `close` before all is read would reset it, and lose the status
            raised.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("SMART_TUNER_TELEGRAM_API", f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(Unavailable, match="429 Too Many Requests") as caught:
            only_channel().send(Message(Level.INFO, TEXT))
        raised.set()
        thread.join(10)
    assert caught.value.retry_after == 7


def test_telegram_follows_no_redirect(server: TelegramServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is in the URL, and another host is not to see it."""

    def redirect() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {server.url}/stolen\r\n\r\n".encode())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("SMART_TUNER_TELEGRAM_API", f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=redirect)
        thread.start()
        with pytest.raises(Unavailable, match="302 Found"):
            only_channel().send(Message(Level.INFO, TEXT))
        thread.join(10)
    assert server.received == []


def test_telegram_is_unavailable_when_nothing_listens(server: TelegramServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMART_TUNER_TELEGRAM_API", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match="Connection refused"):
        only_channel().send(Message(Level.INFO, TEXT))


def test_apprise_gets_text_level_and_picture(
    server: TelegramServer, png: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TELEGRAM_TOKEN")
    monkeypatch.delenv("TELEGRAM_CHAT_ID")
    both = f"json://127.0.0.1:{server.port}/a/?:x=1,2, json://127.0.0.1:{server.port}/b/"
    monkeypatch.setenv("SMART_TUNER_NOTIFY_URLS", both)
    channels = channels_of(load_settings())
    assert [channel.name for channel in channels] == ["JSON (URL number 1)", "JSON (URL number 2)"]
    for channel in channels:
        channel.send(Message(Level.WARNING, TEXT, png))
    assert [got.method.rstrip("/") for got in server.received] == ["/a", "/b"]
    got = server.received[0].fields
    assert (got["message"], got["type"]) == (TEXT, "warning")
    assert base64.b64decode(got["attachments"][0]["base64"]) == png.read_bytes()


@pytest.mark.parametrize(("mode", "expected"), [(401, Refused), (404, Refused), (429, Unavailable), (500, Unavailable)])
def test_a_failure_of_apprise_is_reported_without_secrets(
    server: TelegramServer,
    mode: int,
    expected: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SMART_TUNER_NOTIFY_URLS", f"json://me:hunter2@127.0.0.1:{server.port}/{TOKEN}/")
    caplog.set_level(logging.DEBUG)
    server.mode = mode
    with pytest.raises(expected, match=f"error={mode}") as caught:
        channels_of(load_settings())[1].send(Message(Level.INFO, TEXT))
    assert server.received[0].method == f"/{TOKEN}/"
    assert caplog.text == ""
    for secret in (TOKEN, "hunter2"):
        assert secret not in str(caught.value)


def test_an_exception_of_a_plug_in_is_reported_by_its_type_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMART_TUNER_NOTIFY_URLS", "json://127.0.0.1/hunter2")

    def broken(*_: object, **__: object) -> None:
        raise TypeError("json://127.0.0.1/hunter2")

    from apprise.plugins.custom_json import NotifyJSON

    monkeypatch.setattr(NotifyJSON, "send", broken)
    with pytest.raises(Unavailable) as caught:
        only_channel().send(Message(Level.INFO, TEXT))
    assert str(caught.value) == "TypeError in apprise"
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"TELEGRAM_TOKEN": TOKEN}, "TELEGRAM_CHAT_ID is missing, while TELEGRAM_TOKEN is set"),
        ({"TELEGRAM_CHAT_ID": CHAT}, "TELEGRAM_TOKEN is missing, while TELEGRAM_CHAT_ID is set"),
        ({"TELEGRAM_TOKEN": "hunter2", "TELEGRAM_CHAT_ID": CHAT}, "TELEGRAM_TOKEN must look like"),
        ({"TELEGRAM_TOKEN": TOKEN, "TELEGRAM_CHAT_ID": "hunter2 x"}, "TELEGRAM_CHAT_ID must be a number"),
        ({**BOTH, "SMART_TUNER_TELEGRAM_API": "https://me:hunter2@bot.example"}, "`telegram_api` must be .* without a"),
        ({**BOTH, "SMART_TUNER_TELEGRAM_API": "https://hunter2@bot.example"}, "`telegram_api` must be .* without a"),
        ({"SMART_TUNER_NOTIFY_URLS": "json://ok.example hunter2://x"}, "URL number 2 is not one that apprise accepts"),
        ({"SMART_TUNER_NOTIFY_URLS": "hunter2"}, "URL number 1 is not one"),
        ({"SMART_TUNER_NOTIFY_URLS": "tgram://hunter2/"}, "URL number 1 is not one"),
    ],
)
def test_a_malformed_setting_is_refused_by_name_and_its_value_not_shown(
    given: dict[str, str], complaint: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=complaint) as caught:
        channels_of(load_settings())
    for secret in (TOKEN, CHAT, "hunter2"):
        assert secret not in str(caught.value) + caplog.text


@pytest.mark.parametrize("blank", ["", " "])
def test_what_is_set_to_nothing_counts_as_unset(blank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*BOTH, "SMART_TUNER_NOTIFY_URLS"):
        monkeypatch.setenv(name, blank)
    assert channels_of(load_settings()) == []
    monkeypatch.setenv("TELEGRAM_TOKEN", TOKEN)
    with pytest.raises(SettingsError, match="TELEGRAM_CHAT_ID is missing, while TELEGRAM_TOKEN is set"):
        channels_of(load_settings())


def test_settings_show_no_secret(server: TelegramServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMART_TUNER_NOTIFY_URLS", "tgram://hunter2/")
    settings = load_settings()
    for shown in (repr(settings), str(settings), str(settings.model_dump())):
        assert not [secret for secret in (TOKEN, CHAT, "hunter2") if secret in shown]


def test_the_settings_may_be_in_the_local_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    text = f"telegram_token: {TOKEN}\ntelegram_chat_id: {CHAT}\nnotify_urls: [json://a.example, json://b.example]\n"
    (tmp_path / "config" / "local.yaml").write_text(text)
    names = [channel.name for channel in channels_of(load_settings())]
    assert names == ["Telegram", "JSON (URL number 1)", "JSON (URL number 2)"]


def test_a_misspelt_setting_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMART_TUNER_TELEGRAM_TOKEN", TOKEN)
    with pytest.raises(SettingsError, match="it is called `TELEGRAM_TOKEN`"):
        load_settings()


def test_without_a_channel_nothing_is_imported_and_no_thread_is_started() -> None:
    code = (
        "import sys, threading\n"
        "from smart_tuner.config import load_settings\n"
        "from smart_tuner.notify.dispatcher import open_dispatcher\n"
        "with open_dispatcher(load_settings(), 1, lambda: 0.0):\n"
        "    assert threading.active_count() == 1, threading.enumerate()\n"
        "assert not {'apprise', 'smart_tuner.notify.telegram'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_chosen_level_and_language_are_checked() -> None:
    with pytest.raises(ValueError, match="'all', 'important' or 'problems'"):
        Settings(notify_level="loud")  # type: ignore[arg-type]
