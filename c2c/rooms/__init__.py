"""Kinds of rooms: one module each, registered here."""

from c2c.rooms.base import Kinds
from c2c.rooms.chat import Chat
from c2c.rooms.lineup import Lineup
from c2c.rooms.monitor import Monitor
from c2c.rooms.presence import Presence

__all__ = ["default_kinds"]


def default_kinds() -> Kinds:
    """The kinds that every node knows."""
    return Kinds([Chat(), Presence(), Lineup(), Monitor()])
