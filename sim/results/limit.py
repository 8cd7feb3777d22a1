"""One limit of a run: how close it came and whether it binds."""

from __future__ import annotations

from dataclasses import dataclass

#: A share of time or arrivals below which a limit counts as not touched, and the share of requests
#: that may miss while a workload still meets its objectives.
TOUCH = 0.01

_HELD, _EXCEEDED, _FREE = range(3)


@dataclass(frozen=True)
class Limit:
    """One limit of a run.

    Attributes:
        kind: "power", "outage", "partition", "weights", "refused-context", "refused-kv-capacity",
            "queue", "kv", "sequences", "tokens", "network", "first-token", "speed", "control",
            "path" or "objective".
        entity: the power node, pool or workload it belongs to.
        binds: it was exceeded or held requests back.
        share: of the window, of replica time or of arrivals, in which it was hit.
        use: what was used of it, 1 = all; None where a share is all there is.
        sentence: what was seen, in numbers.
        label: its name, for "the nearest is …".
        outranks: it comes before others that held requests back.
    """

    kind: str
    entity: str
    binds: bool
    share: float
    use: float | None
    sentence: str
    label: str
    outranks: bool = False

    def order(self) -> tuple[int, bool, float, str]:
        """Sorts limits by the rule of ``sim.results.limits``."""
        if self.binds:
            rank = _EXCEEDED if self.kind == "power" else _HELD
            return (rank, not self.outranks, -self.share, self.label)
        return (_FREE, False, -(self.use or 0.0), self.label)
