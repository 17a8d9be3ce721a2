"""The messages that wait for one channel, and the thread that sends them.

Messages that come close together are merged into one. While the channel is unavailable they wait and are merged, and
the pauses between attempts grow. When the channel refuses us, that is logged once and nothing more is sent.
"""

import logging
import math
import threading
import time
from dataclasses import dataclass, replace

from smart_tuner.notify.channel import Channel, Refused, Unavailable
from smart_tuner.notify.message import Level, Message, merged
from smart_tuner.notify.texts import LEFT_OUT, Language, render

log = logging.getLogger(__name__)

TEXT_CHARACTERS = 1000  # of one message; about the longest caption of a picture that services accept


@dataclass(frozen=True)
class Pace:
    """Seconds, except for `capacity`, a number of messages. `gather` and `between` delay a message, to merge it."""

    gather: float = 1.0  # from a message to its sending
    between: float = 10.0  # from one sent message to the next
    first_wait: float = 2.0  # before the second attempt; doubled for each later one
    longest_wait: float = 300.0
    capacity: int = 100


@dataclass(frozen=True, eq=False)
class _Waiting:
    message: Message
    due: float  # when it is sent, with all others that wait; both times are on the monotonic clock
    not_before: float  # by the spacing of its topic


class Outbox:
    """`put` may be called from any thread, never waits and never raises. The thread is a daemon.

    A message is sent twice if the channel accepted it but its answer was lost.
    """

    def __init__(self, channel: Channel, language: Language = "en", pace: Pace | None = None) -> None:
        self._channel = channel
        self._language = language
        self._pace = pace or Pace()
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._sent_at: dict[str | None, float] = {}  # by topic; None: of any message
        self._left_out = 0
        self._deadline = math.inf  # for what waits; finite once `close` was called
        self._is_last = False  # whether the batch that is being sent was taken after `close`
        self._is_over = False
        self._warned = False
        self._thread = threading.Thread(target=self._work, name=f"notify-{channel.name}", daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        now = time.monotonic()
        message = replace(message, text=_cut(message.text))
        with self._changed:
            if self._is_over:
                return
            self._waiting = [w for w in self._waiting if w.message.topic is None or w.message.topic != message.topic]
            due = max(now + self._pace.gather, self._sent_at.get(None, -math.inf) + self._pace.between)
            not_before = self._sent_at.get(message.topic, -math.inf) + message.spacing
            self._waiting.append(_Waiting(message, now if message.level is Level.FAILURE else due, not_before))
            self._shorten()
            self._changed.notify_all()

    def close(self, seconds: float) -> None:
        """Send what waits within `seconds`; nothing is put from now on. Returns at once; `join` waits for the end."""
        with self._changed:
            self._deadline = time.monotonic() + seconds
            self._changed.notify_all()

    def join(self) -> None:
        """After `close`: wait until all is sent or the time is over. Messages that were left out are logged."""
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        with self._changed:
            count = len(self._waiting) and len(self._waiting) + self._left_out
        if count:
            log.warning("%s: notifications left out, as they could not be sent in time: %d", self._channel.name, count)

    def _work(self) -> None:
        wait = self._pace.first_wait
        while batch := self._next():
            left_out = self._left_out
            try:
                self._channel.send(self._composed(batch, left_out))
            except Refused as refusal:
                self._give_up(str(refusal))
                return
            except Unavailable as error:
                self._put_back(batch, str(error))
                if not self._rest(error.retry_after, wait):
                    return
                wait = min(2 * wait, self._pace.longest_wait)
            except Exception as error:  # the sinks' boundary; text and traceback may hold secrets
                log.warning("%s: a message is left out (%s)", self._channel.name, type(error).__name__)
                self._left_out += len(batch)
            else:
                wait = self._pace.first_wait
                self._note_sent(batch, left_out)

    def _next(self) -> list[_Waiting]:
        """Wait for what is to be sent next, as much as one message holds; empty at the end."""
        with self._changed:
            while True:
                now = time.monotonic()
                self._is_last = is_last = self._deadline < math.inf
                if now > self._deadline or (is_last and not self._waiting):
                    self._is_over = True
                    return []
                at = min((max(w.due, w.not_before) for w in self._waiting), default=math.inf)
                if is_last or at <= now:
                    return self._take([w for w in self._waiting if is_last or w.not_before <= now])
                self._changed.wait(None if at == math.inf else at - now)

    def _take(self, ready: list[_Waiting]) -> list[_Waiting]:
        batch, length, pictures = list[_Waiting](), 0, 0
        for waiting in ready:
            length += len(waiting.message.text) + 2
            pictures += waiting.message.picture is not None
            if batch and (length > TEXT_CHARACTERS or pictures > 1):
                break
            batch.append(waiting)
        self._waiting = [w for w in self._waiting if w not in batch]
        return batch

    def _composed(self, batch: list[_Waiting], left_out: int) -> Message:
        messages = [waiting.message for waiting in batch]
        if left_out:
            messages.insert(0, Message(Level.INFO, render(self._language, LEFT_OUT, count=left_out)))
        return merged(messages)

    def _note_sent(self, batch: list[_Waiting], left_out: int) -> None:
        with self._changed:
            self._left_out -= left_out
            self._warned = False
            self._sent_at |= dict.fromkeys([None, *(w.message.topic for w in batch)], time.monotonic())

    def _put_back(self, batch: list[_Waiting], reason: str) -> None:
        with self._changed:
            newer = {w.message.topic for w in self._waiting} - {None}
            self._waiting = [*(w for w in batch if w.message.topic not in newer), *self._waiting]
            self._shorten()
        log.log(
            logging.DEBUG if self._warned else logging.WARNING,  # once per outage
            "%s does not accept notifications now (%s). The trials are not affected; it is tried again.",
            self._channel.name,
            reason,
        )
        self._warned = True

    def _shorten(self) -> None:
        while len(self._waiting) > self._pace.capacity:
            index = min(range(len(self._waiting)), key=lambda i: (self._waiting[i].message.level, i))
            del self._waiting[index]
            self._left_out += 1

    def _rest(self, asked: float | None, chosen: float) -> bool:
        """Wait as long as the channel asked, or else as we chose. False if the time to send is over by then.

        `close` ends a wait that we chose, so that every message is tried once more; one tried since `close` is not.
        """
        until = time.monotonic() + min(chosen if asked is None else asked, threading.TIMEOUT_MAX)
        with self._changed:
            if asked is None and not self._is_last:
                self._changed.wait_for(lambda: self._deadline < math.inf, until - time.monotonic())
                return True
            self._is_over = self._changed.wait_for(lambda: until > self._deadline, until - time.monotonic())
            return not self._is_over

    def _give_up(self, reason: str) -> None:
        with self._changed:
            self._is_over = True
            self._waiting.clear()
        log.warning(
            "%s refuses notifications (%s); they are off for this run. `smart-tuner notify test` tries it again.",
            self._channel.name,
            reason,
        )


def _cut(text: str) -> str:
    """A text that is too long loses its middle, since the last line of a traceback says the most."""
    if len(text) <= TEXT_CHARACTERS:
        return text
    begin = TEXT_CHARACTERS // 3
    return text[:begin] + "\n...\n" + text[begin + 5 - TEXT_CHARACTERS :]
