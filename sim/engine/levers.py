"""What a controller moves for a class of replicas: clocks, power caps, admission.

Of every lever more means more power: a rise is a command to something higher. The values of a lever
are shares (of the maximum clock, of the replicas that admit) or watts of each GPU, inf for no cap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sim.check.scenario import Actuation
from sim.policies.power.base import Admit, Cap, Clock


@dataclass(frozen=True)
class Kind:
    """A lever: its name in tables and messages, where it stands at the start, how it moves.

    Attributes:
        start: nothing is limited.
        delay_s: from a command to its first step.
        steps, step_s: a command acts in so many equal steps, so long apart.
    """

    name: str
    start: float
    delay_s: float
    steps: int = 1
    step_s: float = 0.0

    def show(self, value: float) -> str:
        """A value in words, after the name of a class."""
        if self.name == "clock":
            return f"{100 * value:g} % of the maximum clock"
        if self.name == "cap":
            return "no cap" if value == math.inf else f"{value:g} W a GPU at most"
        return f"{100 * value:g} % of its replicas admitting"


def kinds(plan: Actuation) -> dict[str, Kind]:
    """Every lever, by name."""
    found = (
        Kind("clock", 1.0, plan.clock_delay_s, plan.clock_steps, plan.clock_step_s),
        Kind("cap", math.inf, plan.cap_delay_s),
        Kind("admission", 1.0, plan.admission_delay_s),
    )
    return {kind.name: kind for kind in found}


def wanted(command: Clock | Cap | Admit) -> tuple[str, float]:
    """The lever that a command moves, and to what."""
    if isinstance(command, Clock):
        return "clock", command.share
    if isinstance(command, Cap):
        return "cap", math.inf if command.watts is None else command.watts
    return "admission", command.share


@dataclass
class Lever:
    """One lever of one class, as its controller and its actuator know it."""

    kind: Kind
    commanded: float
    in_force: float
    acted_s: float = 0.0  # when the last command that acted had acted in full
    free_s: float = 0.0  # when the actuator is done with all it was told
    in_flight: int = 0  # commands that have not acted in full

    def seen(self, from_s: float) -> bool:
        """Whether everything commanded shows in a reading of a period that began at ``from_s``."""
        return self.in_flight == 0 and from_s >= self.acted_s


def levers(plan: Actuation) -> dict[str, Lever]:
    """The levers of a class at the start."""
    return {name: Lever(kind, kind.start, kind.start) for name, kind in kinds(plan).items()}
