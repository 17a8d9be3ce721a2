"""What waits to be sent to one place, and the thread that sends it.

Messages that come close together become one. While the place is away they wait, are merged the more, and are tried
ever more seldom; where it refuses us, that is said once in the log, and nothing more is sent.
"""

import logging
import math
import threading
import time
from dataclasses import dataclass, replace

from smart_tuner.notify.channel import Away, Channel, Refused
from smart_tuner.notify.message import Level, Message, merged
from smart_tuner.notify.texts import LEFT_OUT, Language, say

log = logging.getLogger(__name__)

TEXT_CHARACTERS = 1000  # of one message; the caption of a picture must not be much longer anywhere


@dataclass(frozen=True)
class Pace:
    """Seconds, but for the capacity. What comes while a message gathers, or too soon after the last one, is merged."""

    gather: float = 1.0
    between: float = 10.0
    first_wait: float = 2.0
    longest_wait: float = 300.0
    capacity: int = 100


@dataclass(frozen=True, eq=False)
class _Waiting:
    message: Message
    due: float  # by then it is sent with all that waits; these two are on the monotonic clock
    not_before: float  # of its topic


class Outbox:
    """`put` may be called from any thread, never waits and never raises. The thread is a daemon.

    What the place took although its answer was lost is sent twice.
    """

    def __init__(self, place: Channel, language: Language = "en", pace: Pace | None = None) -> None:
        self._place, self._language, self._pace = place, language, pace or Pace()
        self._news = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._sent_at: dict[str | None, float] = {}  # by topic; None: anything
        self._left_out = 0
        self._deadline = math.inf  # for what waits; finite: nothing more comes
        self._is_last = False  # whether what is being sent was taken after `close`
        self._is_over = False
        self._warned = False
        self._thread = threading.Thread(target=self._work, name=f"notify-{place.name}", daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        now = time.monotonic()
        message = replace(message, text=_cut(message.text))
        with self._news:
            if self._is_over:
                return
            self._waiting = [w for w in self._waiting if w.message.topic is None or w.message.topic != message.topic]
            due = max(now + self._pace.gather, self._sent_at.get(None, -math.inf) + self._pace.between)
            not_before = self._sent_at.get(message.topic, -math.inf) + message.spacing
            self._waiting.append(_Waiting(message, now if message.level is Level.FAILURE else due, not_before))
            self._shorten()
            self._news.notify_all()

    def close(self, seconds: float) -> None:
        """What waits has so many seconds to be sent; nothing more comes. Returns at once; `join` waits for it."""
        with self._news:
            self._deadline = time.monotonic() + seconds
            self._news.notify_all()

    def join(self) -> None:
        """After `close`: until all is sent, or its time is over. What is left then is said in the log."""
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        with self._news:
            count = len(self._waiting) and len(self._waiting) + self._left_out
        if count:
            log.warning("%s: notifications left out, as they could not be sent in time: %d", self._place.name, count)

    def _work(self) -> None:
        wait = self._pace.first_wait
        while batch := self._next():
            left_out = self._left_out
            try:
                self._place.send(self._composed(batch, left_out))
            except Refused as refusal:
                self._give_up(str(refusal))
                return
            except Away as away:
                self._put_back(batch, str(away))
                if not self._rest(away.seconds, wait):
                    return
                wait = min(2 * wait, self._pace.longest_wait)
            except Exception as error:  # the boundary of sinks; its text and its traceback may hold secrets
                log.warning("%s: a message is left out (%s)", self._place.name, type(error).__name__)
                self._left_out += len(batch)
            else:
                wait = self._pace.first_wait
                self._note_sent(batch, left_out)

    def _next(self) -> list[_Waiting]:
        """What is to be sent now, as much as one message holds; empty when all is over."""
        with self._news:
            while True:
                now = time.monotonic()
                self._is_last = is_last = self._deadline < math.inf
                if now > self._deadline or (is_last and not self._waiting):
                    self._is_over = True
                    return []
                at = min((max(w.due, w.not_before) for w in self._waiting), default=math.inf)
                if is_last or at <= now:
                    return self._take([w for w in self._waiting if is_last or w.not_before <= now])
                self._news.wait(None if at == math.inf else at - now)

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
            messages.insert(0, Message(Level.INFO, say(self._language, LEFT_OUT, count=left_out)))
        return merged(messages)

    def _note_sent(self, batch: list[_Waiting], left_out: int) -> None:
        with self._news:
            self._left_out -= left_out
            self._warned = False
            self._sent_at |= dict.fromkeys([None, *(w.message.topic for w in batch)], time.monotonic())

    def _put_back(self, batch: list[_Waiting], reason: str) -> None:
        with self._news:
            newer = {w.message.topic for w in self._waiting} - {None}
            self._waiting = [*(w for w in batch if w.message.topic not in newer), *self._waiting]
            self._shorten()
        log.log(
            logging.DEBUG if self._warned else logging.WARNING,  # once while it is away
            "%s does not take notifications now (%s). The trials are not affected; it is tried again.",
            self._place.name,
            reason,
        )
        self._warned = True

    def _shorten(self) -> None:
        while len(self._waiting) > self._pace.capacity:
            index = min(range(len(self._waiting)), key=lambda i: (self._waiting[i].message.level, i))
            del self._waiting[index]
            self._left_out += 1

    def _rest(self, asked: float | None, chosen: float) -> bool:
        """For as long as the place asked for, else as we chose. False where the time is over before.

        Of our own choice nothing is left out untried: `close` ends such a wait, unless it was tried since.
        """
        until = time.monotonic() + min(chosen if asked is None else asked, threading.TIMEOUT_MAX)
        with self._news:
            if asked is None and not self._is_last:
                self._news.wait_for(lambda: self._deadline < math.inf, until - time.monotonic())
                return True
            self._is_over = self._news.wait_for(lambda: until > self._deadline, until - time.monotonic())
            return not self._is_over

    def _give_up(self, reason: str) -> None:
        with self._news:
            self._is_over = True
            self._waiting.clear()
        log.warning(
            "%s refuses notifications (%s); they are off for this run. `smart-tuner notify test` tries anew.",
            self._place.name,
            reason,
        )


def _cut(text: str) -> str:
    """What is too long loses its middle: a traceback says the most in its last line."""
    if len(text) <= TEXT_CHARACTERS:
        return text
    begin = TEXT_CHARACTERS // 3
    return text[:begin] + "\n...\n" + text[begin + 5 - TEXT_CHARACTERS :]
