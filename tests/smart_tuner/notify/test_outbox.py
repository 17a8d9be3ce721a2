"""Which messages wait, are merged or are left out, with a channel that is slow, unavailable or refuses."""

import logging
import threading
import time
from pathlib import Path

import pytest
from waiting import wait_until

from smart_tuner.notify.channel import Refused, Unavailable
from smart_tuner.notify.message import Level, Message
from smart_tuner.notify.outbox import Outbox, Pace

QUICK = Pace(gather=0.05, between=0.05, first_wait=0.05, longest_wait=0.1)
NEVER = Pace(gather=600)


class Chat:
    """Waits for `gate`, raises each of `failures` in turn, then accepts. Keeps what it accepted and the times."""

    name = "Chat"

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.accepted: list[Message] = []
        self.tried: list[float] = []
        self.gate = threading.Event()
        self.gate.set()

    def send(self, message: Message) -> None:
        self.tried.append(time.monotonic())
        self.gate.wait(30)
        if self.failures:
            raise self.failures.pop(0)
        self.accepted.append(message)

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.accepted]


def info(text: str) -> Message:
    return Message(Level.INFO, text)


def closed(outbox: Outbox, seconds: float = 10) -> None:
    outbox.close(seconds)
    outbox.join()


def test_messages_that_come_close_together_are_merged() -> None:
    chat = Chat()
    outbox = Outbox(chat, pace=NEVER)
    for text in ("a", "b"):
        outbox.put(info(text))
    outbox.put(Message(Level.WARNING, "c", Path("c.png")))
    closed(outbox)
    assert chat.accepted == [Message(Level.WARNING, "a\n\nb\n\nc", Path("c.png"))]


def test_the_first_message_is_sent_soon_and_the_next_ones_are_merged() -> None:
    chat = Chat()
    outbox = Outbox(chat, pace=Pace(gather=0, between=0.5))
    outbox.put(info("first"))
    wait_until(lambda: chat.texts == ["first"])
    for text in ("a", "b"):
        outbox.put(info(text))
        time.sleep(0.05)
    wait_until(lambda: len(chat.accepted) == 2)
    assert chat.texts == ["first", "a\n\nb"]
    assert chat.tried[1] - chat.tried[0] >= 0.5
    closed(outbox)


def test_a_failure_is_sent_at_once_with_all_that_waits() -> None:
    chat = Chat()
    outbox = Outbox(chat, pace=NEVER)
    outbox.put(info("a"))
    outbox.put(Message(Level.FAILURE, "broken"))
    wait_until(lambda: bool(chat.accepted))
    assert chat.texts == ["a\n\nbroken"]
    closed(outbox)


def test_a_merged_message_has_the_length_of_a_caption_and_one_picture_at_most() -> None:
    chat = Chat()
    outbox = Outbox(chat, pace=NEVER)
    for text in ("a" * 5000 + "end", "b" * 600, "c" * 300):
        outbox.put(info(text))
    for text in ("d", "e"):
        outbox.put(Message(Level.INFO, text, Path(f"{text}.png")))
    closed(outbox)
    assert chat.texts == [chat.texts[0], "b" * 600 + "\n\n" + "c" * 300 + "\n\nd", "e"]
    assert len(chat.texts[0]) == 1000
    assert chat.texts[0].endswith("aaa\n...\n" + "a" * 659 + "end")
    assert [message.picture for message in chat.accepted] == [None, Path("d.png"), Path("e.png")]


def test_of_one_topic_the_last_message_is_sent_and_not_too_often() -> None:
    chat = Chat()
    outbox = Outbox(chat, pace=QUICK)
    best = [Message(Level.SUCCESS, f"best {i}", topic="best", spacing=600) for i in range(4)]
    outbox.put(best[0])
    outbox.put(best[1])
    wait_until(lambda: chat.texts == ["best 1"])
    outbox.put(best[2])
    outbox.put(info("a"))
    wait_until(lambda: chat.texts == ["best 1", "a"])
    outbox.put(best[3])
    outbox.put(Message(Level.SUCCESS, "finished", topic="best"))  # without spacing: it is the end
    closed(outbox)
    assert chat.texts == ["best 1", "a", "finished"]


def test_a_channel_that_hangs_delays_nobody_and_the_lowest_levels_are_left_out() -> None:
    chat = Chat()
    chat.gate.clear()
    outbox = Outbox(chat, pace=Pace(gather=0, between=0, capacity=3))
    outbox.put(info("first"))
    wait_until(lambda: bool(chat.tried))
    outbox.put(Message(Level.WARNING, "lost"))
    for i in range(1000):  # returns, though `send` of the channel does not
        outbox.put(info(str(i)))
    chat.gate.set()
    closed(outbox)
    assert chat.texts == ["first", "(998 messages before this one could not be sent)\n\nlost\n\n998\n\n999"]


def test_messages_for_an_unavailable_channel_are_sent_later_with_newer_ones(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chat = Chat(Unavailable("timed out"), Unavailable("500"), Unavailable("502"))
    outbox = Outbox(chat, pace=QUICK)
    outbox.put(info("a"))
    wait_until(lambda: len(chat.tried) == 2)
    outbox.put(info("b"))
    wait_until(lambda: bool(chat.accepted))
    assert "\n\n".join(chat.texts).startswith("a")
    closed(outbox)
    assert "\n\n".join(chat.texts) == "a\n\nb"
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == [
        "Chat does not accept notifications now (timed out). The trials are not affected; it is tried again."
    ]


def test_a_channel_that_asks_to_wait_is_tried_again_after_that_time() -> None:
    chat = Chat(Unavailable("429 Too Many Requests", 0.3))
    outbox = Outbox(chat, pace=QUICK)
    outbox.put(info("a"))
    wait_until(lambda: bool(chat.accepted))
    assert chat.tried[1] - chat.tried[0] >= 0.3
    closed(outbox)


def test_close_tries_an_unavailable_channel_once_more(caplog: pytest.LogCaptureFixture) -> None:
    chat = Chat(Unavailable("timed out"))
    outbox = Outbox(chat, pace=Pace(gather=0, first_wait=600))
    outbox.put(info("a"))
    wait_until(lambda: bool(chat.tried))
    outbox.put(info("finished"))
    closed(outbox)
    assert chat.texts == ["a\n\nfinished"]
    assert "left out" not in caplog.text


@pytest.mark.parametrize("hangs_at_the_end", [False, True])
def test_close_tries_an_unavailable_channel_only_once_and_logs_what_is_left_out(
    hangs_at_the_end: bool, caplog: pytest.LogCaptureFixture
) -> None:
    chat = Chat(Unavailable("timed out"), Unavailable("timed out"))
    outbox = Outbox(chat, pace=Pace(gather=0, first_wait=600, capacity=2))
    if hangs_at_the_end:  # the batch that then fails was taken before the last message came
        chat.gate.clear()
    outbox.put(info("a"))
    wait_until(lambda: bool(chat.tried))
    for text in ("b", "c", "finished"):
        outbox.put(info(text))
    outbox.close(60)
    chat.gate.set()
    outbox._thread.join(10)  # long before its time is over
    assert not outbox._thread.is_alive()
    outbox.join()
    assert len(chat.tried) == 2
    assert caplog.messages[-1] == "Chat: notifications left out, as they could not be sent in time: 4"


def test_close_does_not_wait_for_a_channel_that_asked_for_a_longer_wait() -> None:
    chat = Chat(Unavailable("429", 600))
    outbox = Outbox(chat, pace=QUICK)
    outbox.put(info("a"))
    wait_until(lambda: bool(chat.tried))
    outbox.close(60)
    outbox._thread.join(10)  # long before its time is over
    assert not outbox._thread.is_alive()
    assert len(chat.tried) == 1
    assert chat.accepted == []


def test_a_refusal_is_logged_once_and_nothing_more_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    chat = Chat(Refused("401 Unauthorized"))
    outbox = Outbox(chat, pace=QUICK)
    outbox.put(info("a"))
    wait_until(lambda: not outbox._thread.is_alive())
    outbox.put(Message(Level.FAILURE, "b"))
    closed(outbox)
    assert len(chat.tried) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "Chat refuses notifications (401 Unauthorized); they are off for this run. "
        "`smart-tuner notify test` tries it again."
    ]


def test_an_exception_in_a_channel_loses_only_its_message_and_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    chat = Chat(RuntimeError("hunter2"))
    outbox = Outbox(chat, pace=QUICK)
    outbox.put(info("a"))
    wait_until(lambda: len(chat.tried) == 1)
    outbox.put(info("b"))
    closed(outbox)
    assert chat.texts == ["(1 message before this one could not be sent)\n\nb"]
    assert "RuntimeError" in caplog.text
    assert "hunter2" not in caplog.text
