"""Whether a checker should be believed: when most of what it checks stops answering at once, it is more likely that the
checker is cut off than that everything has died. Pure."""

from __future__ import annotations

from typing import Final

from c2c.monitoring.results import Result

WINDOW_S: Final = 60.0
HOSTS_MIN: Final = 4
_SHARE: Final = 0.5
# Failures without any answer. A page that says 503 proves that the network works.
_CUT_OFF: Final = frozenset({"timeout", "dns", "refused", "unreachable", "reset", "tls"})


class Suspicion:
    """What one node saw of each host within the last minute. `suspect` changes with what it sees."""

    def __init__(self) -> None:
        self.suspect = False
        self._seen: dict[str, tuple[float, bool]] = {}

    @property
    def failing(self) -> int:
        """Hosts that did not answer."""
        return sum(not answered for _, answered in self._seen.values())

    @property
    def checked(self) -> int:
        """Hosts that were asked."""
        return len(self._seen)

    def note(self, host: str, result: Result, was_up: bool, now_s: float) -> bool:
        """A check has ended. `was_up`: the endpoint answered before: what was dead already says nothing about us.

        Returns whether `suspect` has changed by it.
        """
        self._seen = {name: seen for name, seen in self._seen.items() if now_s - seen[0] < WINDOW_S}
        if result.ok or result.reason not in _CUT_OFF:
            self._seen[host] = (now_s, True)
        elif was_up or host in self._seen:
            self._seen[host] = (now_s, False)
        suspect = self.checked >= HOSTS_MIN and self.failing > _SHARE * self.checked
        changed, self.suspect = suspect != self.suspect, suspect
        return changed
