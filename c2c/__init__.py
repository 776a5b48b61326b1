"""c2c: a Redis-first collaborative room server."""

from importlib.metadata import version

__version__ = version("c2c")
