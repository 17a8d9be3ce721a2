"""A dispatcher that keeps messages in place of sending them."""

from smart_tuner.notify.dispatcher import Dispatcher
from smart_tuner.notify.message import Level, Message


class Recorder(Dispatcher):
    """texts: that would be sent."""

    def __init__(self) -> None:
        super().__init__([], "en", Level.INFO, jobs=1)
        self.texts: list[str] = []

    def wants(self, level: object) -> bool:
        return True

    def send(self, message: Message) -> None:
        self.texts.append(message.text)
