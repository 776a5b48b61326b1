"""Whether a checker should be believed: when most of what it checks stops answering at once, it is more likely that the
checker is cut off than that everything has died. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Final

from c2c.monitoring.results import CUT_OFF, Result

KEPT_S: Final = 600.0
HOSTS_MIN: Final = 4
FAILING_MIN: Final = 3
BELIEVED_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen of a host last. `silent_since_s`: when it stopped answering, None: it answers."""

    at_s: float
    silent_since_s: float | None


class Suspicion:
    """What one node saw of each host. `suspect`: since some moment more hosts have fallen silent than have answered,
    three at least, of four that are known.

    While others answer, a host that has been silent for five minutes is believed to be dead: if most of what there is
    has died for good, incidents open late, but they open. Without any answer the node goes on doubting itself.
    """

    def __init__(self) -> None:
        self.suspect = False
        self.failing = 0
        self.checked = 0
        self._seen: dict[str, _Seen] = {}

    def note(self, host: str, result: Result, was_up: bool, now_s: float) -> bool:
        """A check has ended. `was_up`: the endpoint answered before: what was dead already says nothing about us.

        Returns whether `suspect` has changed by it. O(hosts · log hosts) while hosts are silent.
        """
        self._seen = {name: seen for name, seen in self._seen.items() if now_s - seen.at_s < KEPT_S}
        former = self._seen.get(host)
        if result.ok or result.reason not in CUT_OFF:
            self._seen[host] = _Seen(now_s, None)
        elif former is not None and former.silent_since_s is not None:
            self._seen[host] = _Seen(now_s, former.silent_since_s)
        elif was_up or former is not None:
            self._seen[host] = _Seen(now_s, now_s)
        return self._decide()

    def _decide(self) -> bool:
        """For each moment at which a host fell silent: who has fallen silent since, and who has answered. What died
        long ago must not make answers of long ago count."""
        silent = sorted(seen.silent_since_s for seen in self._seen.values() if seen.silent_since_s is not None)
        answers = sorted(seen.at_s for seen in self._seen.values() if seen.silent_since_s is None) if silent else []
        if answers:
            silent = silent[bisect_right(silent, answers[-1] - BELIEVED_S) :]
        self.failing, self.checked, suspect = 0, 0, False
        for place, began_s in enumerate(silent):
            failing, answered = len(silent) - place, len(answers) - bisect_left(answers, began_s)
            if failing >= FAILING_MIN and failing > answered and len(self._seen) >= HOSTS_MIN:
                self.failing, self.checked, suspect = failing, failing + answered, True
                break
        changed, self.suspect = suspect != self.suspect, suspect
        return changed
