"""Sends one message to a place, to see whether it arrives."""

import platform

from smart_tuner.notify.message import Level, Message
from smart_tuner.notify.places import Away, Place, Refused
from smart_tuner.notify.texts import TEST, Language, say


def try_place(place: Place, language: Language) -> str | None:
    """Why it was not sent; None where it was."""
    try:
        place.send(Message(Level.INFO, say(language, TEST, machine=platform.node())))
    except (Away, Refused) as error:
        return str(error)
    return None
