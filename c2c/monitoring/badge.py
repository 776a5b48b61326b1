"""A badge: two words on a strip, as SVG, for README files and other sites. Pure."""

from __future__ import annotations

import math
import unicodedata
from typing import Final
from xml.sax.saxutils import escape, quoteattr

# White text on each has a contrast of 4.5 or more.
GREEN: Final = "#1b7a47"
AMBER: Final = "#8a5800"
RED: Final = "#b3261e"
BLUE: Final = "#2f55d4"
GREY: Final = "#545e70"
_LABEL: Final = "#333a47"
_STATUS: Final = {"UP": ("up", GREEN), "DEGRADED": ("degraded", AMBER), "DOWN": ("down", RED)}
_UNKNOWN: Final = ("unknown", GREY)
_PADDING: Final = 6
_NARROW: Final = frozenset("iljtfrI|!.,:;'()[] ")
_WIDE: Final = frozenset("mwMW@%&")


def status_words(status: str, *, maintenance: bool) -> tuple[str, str]:
    """What a badge says of a status, and on which colour."""
    return ("maintenance", BLUE) if maintenance else _STATUS.get(status, _UNKNOWN)


def uptime_words(uptime: float | None) -> tuple[str, str]:
    """What a badge says of an uptime, and on which colour. Rounded down: only what never failed is 100 %."""
    if uptime is None:
        return "n/a", GREY
    percent = math.floor(round(uptime * 10_000, 6)) / 100
    colour = GREEN if percent >= 99.9 else AMBER if percent >= 99 else RED
    return f"{percent:.2f}".rstrip("0").rstrip(".") + "%", colour


def draw_badge(label: str, value: str, colour: str) -> str:
    """The badge. Text is fitted into its place, whatever font there is."""
    label, value = _printable(label), _printable(value)
    label_width, value_width = _width(label), _width(value)
    left = label_width + 2 * _PADDING if label else 0
    whole = left + value_width + 2 * _PADDING
    name = f"{label}: {value}" if label else value
    words = [_text(label, left / 2, label_width)] if label else []
    words.append(_text(value, left + value_width / 2 + _PADDING, value_width))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="20" role="img" aria-label={quoteattr(name)}>'
        f"<title>{escape(name)}</title>"
        f'<clipPath id="c"><rect width="{whole}" height="20" rx="3"/></clipPath>'
        f'<g clip-path="url(#c)"><rect width="{left}" height="20" fill="{_LABEL}"/>'
        f'<rect x="{left}" width="{whole - left}" height="20" fill="{colour}"/></g>'
        f'<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{''.join(words)}</g></svg>"
    )


def _printable(text: str) -> str:
    """XML has no place for control characters, not even escaped."""
    return "".join(character if character.isprintable() else " " for character in text)


def _text(text: str, middle: float, width: int) -> str:
    return f'<text x="{middle:g}" y="14" textLength="{width}" lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'


def _width(text: str) -> int:
    """About as wide as Verdana draws it in 11 pixels."""
    return math.ceil(sum(map(_advance, text)))


def _advance(character: str) -> float:
    if unicodedata.combining(character):
        return 0
    if unicodedata.east_asian_width(character) in "WF":
        return 11
    return 4.2 if character in _NARROW else 10.4 if character in _WIDE else 7
