"""The post office of one process: an outbox for each place, and what the settings say of language and level."""

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from smart_tuner.config import Settings
from smart_tuner.masking import masked
from smart_tuner.notify.channel import Channel
from smart_tuner.notify.channels import channels_of
from smart_tuner.notify.message import LEAST, Level, Message
from smart_tuner.notify.outbox import Outbox, Pace
from smart_tuner.notify.texts import Language, Text, say

PACE = Pace()


class Dispatcher:
    """`tell` may be called from any thread, never waits and never raises. jobs: trials at a time in this process."""

    def __init__(self, places: Sequence[Channel], language: Language, least: Level, jobs: int) -> None:
        self.language, self.machine, self.jobs = language, platform.node(), jobs
        self._least = least
        self._outboxes = [Outbox(place, language, PACE) for place in places]

    def wants(self, level: Level) -> bool:
        """Whether anybody is told of what weighs so much."""
        return bool(self._outboxes) and level >= self._least

    def tell(self, message: Message) -> None:
        if self.wants(message.level):
            for outbox in self._outboxes:
                outbox.put(message)

    def say(self, level: Level, text: Text, **values: object) -> None:
        """Tell a text with these values, which may hold words of a trainer or a library."""
        self.tell(Message(level, masked(say(self.language, text, machine=self.machine, **values))))

    def close(self, seconds: float) -> None:
        """What waits has so many seconds, all outboxes the same ones."""
        for outbox in self._outboxes:
            outbox.close(seconds)
        for outbox in self._outboxes:
            outbox.join()


@contextmanager
def open_dispatcher(settings: Settings, jobs: int, seconds: Callable[[], float]) -> Iterator[Dispatcher]:
    """seconds: asked at the end, how long what waits may take. Raises SettingsError for a place that cannot be."""
    post = Dispatcher(channels_of(settings), settings.notify_language, LEAST[settings.notify_level], jobs)
    try:
        yield post
    finally:
        post.close(seconds())
