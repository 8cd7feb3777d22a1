"""From provisioned to useful power: a list of parts in whole milliwatts that sum exactly."""

from __future__ import annotations

from dataclasses import dataclass

#: What a part is: power that nothing draws, that is drawn but does no wanted work, and the rest.
STRANDED, SPENT, USEFUL = "stranded", "spent", "useful"


@dataclass(frozen=True)
class Part:
    """One step of the waterfall; ``level``: where it is lost; ``meaning``: one sentence."""

    name: str
    kind: str
    level: str
    mw: int  # milliwatts
    meaning: str

    @property
    def watts(self) -> float:
        """Its power in watts."""
        return self.mw / 1e3


@dataclass(frozen=True)
class Waterfall:
    """Parts from the top down; the last is the useful one. They sum to ``provisioned_mw``.

    ``measured``: of runs, means over the measurement window; else planned, every GPU at its TDP.
    ``notes``: what a reader must know to judge it.
    """

    provisioned_mw: int  # milliwatts
    parts: tuple[Part, ...]
    measured: bool
    notes: tuple[str, ...] = ()

    def share(self, part: Part) -> float:
        """Its share of the provisioned power."""
        return part.mw / self.provisioned_mw

    def total_mw(self, kind: str) -> int:
        """All parts of a kind, mW."""
        return sum(part.mw for part in self.parts if part.kind == kind)

    @property
    def useful(self) -> Part:
        """What is left at the bottom."""
        return self.parts[-1]


class Cascade:
    """Takes part after part from what is left; none takes more than that, or less than nothing.

    So parts are never negative and always sum, however the numbers they come from were rounded.
    """

    def __init__(self, provisioned_mw: int) -> None:
        self.provisioned_mw = provisioned_mw
        self.left_mw = provisioned_mw
        self.parts: list[Part] = []

    def take(self, name: str, kind: str, level: str, mw: float, meaning: str) -> None:
        """One part of about ``mw``; of nothing there is none."""
        taken = max(0, min(round(mw), self.left_mw))
        if taken:
            self.parts.append(Part(name, kind, level, taken, meaning))
            self.left_mw -= taken

    def end(self, name: str, level: str, meaning: str) -> tuple[Part, ...]:
        """All parts; what is left is the useful one, which is there even if it is nothing."""
        return (*self.parts, Part(name, USEFUL, level, self.left_mw, meaning))
