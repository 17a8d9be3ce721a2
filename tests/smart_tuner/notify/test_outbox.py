"""What waits, what is merged, what is left out: with a place that takes its time or refuses."""

import logging
import threading
import time
from pathlib import Path

import pytest
from waiting import wait_until

from smart_tuner.notify.channel import Away, Refused
from smart_tuner.notify.message import Level, Message
from smart_tuner.notify.outbox import Outbox, Pace

QUICK = Pace(gather=0.05, between=0.05, first_wait=0.05, longest_wait=0.1)
NEVER = Pace(gather=600)


class Chat:
    """Keeps what it takes, with the time; first raises each of `failures`, and waits for `gate`."""

    name = "Chat"

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.taken: list[Message] = []
        self.tried: list[float] = []
        self.gate = threading.Event()
        self.gate.set()

    def send(self, message: Message) -> None:
        self.tried.append(time.monotonic())
        self.gate.wait(30)
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(message)

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.taken]


def info(text: str) -> Message:
    return Message(Level.INFO, text)


def closed(outbox: Outbox, seconds: float = 10) -> None:
    outbox.close(seconds)
    outbox.join()


def test_messages_that_come_close_together_are_one() -> None:
    chat = Chat()
    outbox = Outbox(chat, pace=NEVER)
    for text in ("a", "b"):
        outbox.put(info(text))
    outbox.put(Message(Level.WARNING, "c", Path("c.png")))
    closed(outbox)
    assert chat.taken == [Message(Level.WARNING, "a\n\nb\n\nc", Path("c.png"))]


def test_the_first_is_sent_soon_and_what_follows_it_closely_is_one() -> None:
    chat = Chat()
    outbox = Outbox(chat, pace=Pace(gather=0, between=0.5))
    outbox.put(info("first"))
    wait_until(lambda: chat.texts == ["first"])
    for text in ("a", "b"):
        outbox.put(info(text))
        time.sleep(0.05)
    wait_until(lambda: len(chat.taken) == 2)
    assert chat.texts == ["first", "a\n\nb"]
    assert chat.tried[1] - chat.tried[0] >= 0.5
    closed(outbox)


def test_a_failure_is_told_at_once_with_all_that_waits() -> None:
    chat = Chat()
    outbox = Outbox(chat, pace=NEVER)
    outbox.put(info("a"))
    outbox.put(Message(Level.FAILURE, "broken"))
    wait_until(lambda: bool(chat.taken))
    assert chat.texts == ["a\n\nbroken"]
    closed(outbox)


def test_one_message_holds_no_more_than_a_caption_and_one_picture() -> None:
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
    assert [message.picture for message in chat.taken] == [None, Path("d.png"), Path("e.png")]


def test_of_one_topic_the_last_word_is_sent_and_not_too_often() -> None:
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


def test_a_place_that_hangs_holds_nobody_up_and_what_is_least_is_left_out() -> None:
    chat = Chat()
    chat.gate.clear()
    outbox = Outbox(chat, pace=Pace(gather=0, between=0, capacity=3))
    outbox.put(info("first"))
    wait_until(lambda: bool(chat.tried))
    outbox.put(Message(Level.WARNING, "lost"))
    for i in range(1000):  # returns, though the place does not
        outbox.put(info(str(i)))
    chat.gate.set()
    closed(outbox)
    assert chat.texts == ["first", "(998 messages before this one could not be sent)\n\nlost\n\n998\n\n999"]


def test_what_a_place_that_is_away_did_not_take_is_sent_later_with_what_came_since(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chat = Chat(Away("timed out"), Away("500"), Away("502"))
    outbox = Outbox(chat, pace=QUICK)
    outbox.put(info("a"))
    wait_until(lambda: len(chat.tried) == 2)
    outbox.put(info("b"))
    wait_until(lambda: bool(chat.taken))
    assert "\n\n".join(chat.texts).startswith("a")
    closed(outbox)
    assert "\n\n".join(chat.texts) == "a\n\nb"
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == [
        "Chat does not take notifications now (timed out). The trials are not affected; it is tried again."
    ]


def test_a_place_that_asks_to_wait_is_left_alone_for_so_long() -> None:
    chat = Chat(Away("429 Too Many Requests", 0.3))
    outbox = Outbox(chat, pace=QUICK)
    outbox.put(info("a"))
    wait_until(lambda: bool(chat.taken))
    assert chat.tried[1] - chat.tried[0] >= 0.3
    closed(outbox)


def test_at_the_end_a_place_that_was_away_is_tried_once_more(caplog: pytest.LogCaptureFixture) -> None:
    chat = Chat(Away("timed out"))
    outbox = Outbox(chat, pace=Pace(gather=0, first_wait=600))
    outbox.put(info("a"))
    wait_until(lambda: bool(chat.tried))
    outbox.put(info("finished"))
    closed(outbox)
    assert chat.texts == ["a\n\nfinished"]
    assert "left out" not in caplog.text


@pytest.mark.parametrize("hangs_at_the_end", [False, True])
def test_at_the_end_one_that_is_away_is_tried_once_and_what_is_left_out_is_said(
    hangs_at_the_end: bool, caplog: pytest.LogCaptureFixture
) -> None:
    chat = Chat(Away("timed out"), Away("timed out"))
    outbox = Outbox(chat, pace=Pace(gather=0, first_wait=600, capacity=2))
    if hangs_at_the_end:  # what failed then was taken before the last message came
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


def test_nobody_waits_at_the_end_for_a_place_that_wants_to_be_left_alone_for_longer() -> None:
    chat = Chat(Away("429", 600))
    outbox = Outbox(chat, pace=QUICK)
    outbox.put(info("a"))
    wait_until(lambda: bool(chat.tried))
    outbox.close(60)
    outbox._thread.join(10)  # long before its time is over
    assert not outbox._thread.is_alive()
    assert len(chat.tried) == 1
    assert chat.taken == []


def test_a_refusal_is_said_once_and_nothing_more_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    chat = Chat(Refused("401 Unauthorized"))
    outbox = Outbox(chat, pace=QUICK)
    outbox.put(info("a"))
    wait_until(lambda: not outbox._thread.is_alive())
    outbox.put(Message(Level.FAILURE, "b"))
    closed(outbox)
    assert len(chat.tried) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "Chat refuses notifications (401 Unauthorized); they are off for this run. "
        "`smart-tuner notify test` tries anew."
    ]


def test_a_mistake_of_a_place_costs_its_message_alone_and_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    chat = Chat(RuntimeError("hunter2"))
    outbox = Outbox(chat, pace=QUICK)
    outbox.put(info("a"))
    wait_until(lambda: len(chat.tried) == 1)
    outbox.put(info("b"))
    closed(outbox)
    assert chat.texts == ["(1 message before this one could not be sent)\n\nb"]
    assert "RuntimeError" in caplog.text
    assert "hunter2" not in caplog.text
