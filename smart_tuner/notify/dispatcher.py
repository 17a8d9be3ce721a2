"""The notifications of one process: an outbox for each channel, the language, and the lowest level that is sent."""

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from smart_tuner.config import Settings
from smart_tuner.masking import masked
from smart_tuner.notify.channel import Channel
from smart_tuner.notify.channels import channels_of
from smart_tuner.notify.message import LEAST, Level, Message
from smart_tuner.notify.outbox import Outbox, Pace
from smart_tuner.notify.texts import Language, Text, render

PACE = Pace()


class Dispatcher:
    """`send` may be called from any thread, never waits and never raises. jobs: trials at a time in this process."""

    def __init__(self, channels: Sequence[Channel], language: Language, least: Level, jobs: int) -> None:
        self.language = language
        self.machine = platform.node()
        self.jobs = jobs
        self._least = least
        self._outboxes = [Outbox(channel, language, PACE) for channel in channels]

    def wants(self, level: Level) -> bool:
        """Whether a message of this level is sent to anybody."""
        return bool(self._outboxes) and level >= self._least

    def send(self, message: Message) -> None:
        if self.wants(message.level):
            for outbox in self._outboxes:
                outbox.put(message)

    def send_text(self, level: Level, text: Text, **values: object) -> None:
        """Send a text with these values; secrets in them, such as in a trainer's message, are masked."""
        self.send(Message(level, masked(render(self.language, text, machine=self.machine, **values))))

    def close(self, seconds: float) -> None:
        """Send what waits, in all outboxes at the same time, for at most `seconds`."""
        for outbox in self._outboxes:
            outbox.close(seconds)
        for outbox in self._outboxes:
            outbox.join()


@contextmanager
def open_dispatcher(settings: Settings, jobs: int, seconds: Callable[[], float]) -> Iterator[Dispatcher]:
    """seconds: called at the end, the time limit for what still waits. Raises SettingsError for an invalid channel."""
    dispatcher = Dispatcher(channels_of(settings), settings.notify_language, LEAST[settings.notify_level], jobs)
    try:
        yield dispatcher
    finally:
        dispatcher.close(seconds())
