"""The seam of power policies: what a controller sees, and the commands it may give.

One controller runs for each watched node of the electrical tree. It sees its node only through
telemetry: the mean draw over a period, rounded, late, sometimes lost. What it yields are
suggestions; ``sim.engine.control`` refuses those that break the rules of brakes, and everything
takes effect when its actuator has had its time (docs/control.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

from sim.rng import KeyedBits

#: Kinds of nodes that can be watched, from the top down.
WATCHABLE = ("utility", "ups", "pdu", "rack")
#: Two values of a lever (shares, watts) that differ by no more are the same.
SAME = 1e-9
#: What the first priorities are called.
_WORDS = ("high", "normal", "low")


def priority_name(priority: int) -> str:
    """``high``, ``normal``, ``low``, ``priority 5``."""
    return _WORDS[priority] if priority < len(_WORDS) else f"priority {priority}"


@dataclass(frozen=True)
class Clock:
    """Lock the clocks of one priority class below the node to a share of the maximum.

    A GPU takes the highest of its clock levels that is not above ``share``, else its lowest.
    ``priority`` None: every class.
    """

    share: float
    priority: int | None = None


@dataclass(frozen=True)
class Cap:
    """No GPU of one priority class is to draw more than ``watts``; None lifts the cap.

    A cap lowers the clocks of those iterations only that would draw more: each takes the highest
    of the GPU's levels, from the locked clock down, that keeps to it, else the lowest.
    """

    watts: float | None
    priority: int | None = None


@dataclass(frozen=True)
class Admit:
    """Only a share of the replicas of one priority class admits requests, those placed first.

    The others finish what runs, keep who waits, and unload their LLM if the policy ``parks``. Any
    share above 0 leaves one replica.
    """

    share: float
    priority: int | None = None


@dataclass(frozen=True)
class Brake:
    """Throw every GPU below the node on the brake's clock, the fastest actuator there is."""


@dataclass(frozen=True)
class Release:
    """Take the brake off again: GPUs return to the clocks that are in force."""


@dataclass(frozen=True)
class Note:
    """Something to be said: a row of the ``events`` table; with ``warn`` the user is told, too."""

    kind: str
    text: str
    warn: bool = False


Command: TypeAlias = Clock | Cap | Admit | Brake | Release | Note


@dataclass(frozen=True)
class ClassView:
    """One priority class of the replicas below a node, as its controller left it.

    Attributes:
        priority: of its pools; 0 is served first.
        commanded: share of the maximum clock last commanded by this controller.
        in_force: share that its actuator has reached.
        cap_w: cap of each GPU last commanded; None: no cap.
        admitting: share of the replicas last told to admit requests.
        replicas: how many there are.
        seen: every command has acted, and the whole period of the reading lies after that.
    """

    priority: int
    commanded: float
    in_force: float
    seen: bool
    cap_w: float | None = None
    admitting: float = 1.0
    replicas: int = 0


@dataclass(frozen=True)
class PowerView:
    """What a controller sees at a decision.

    Attributes:
        time_s: now: when the reading arrives, or should have.
        number: of the telemetry period; ``rng`` is keyed by it.
        node, kind: name and kind of the watched node.
        limit_w: its budget, else its rating; None if neither is stated.
        reading_w: its mean draw over (``from_s``, ``until_s``]; None: telemetry is stale.
        classes: of the replicas below the node, the one served last first.
        brake: "off", "commanded" (on its way), "on", "releasing".
        refractory: the brake was released so lately that clocks must not rise yet.
    """

    time_s: float
    number: int
    node: str
    kind: str
    limit_w: float | None
    reading_w: float | None
    from_s: float
    until_s: float
    classes: tuple[ClassView, ...]
    brake: str
    refractory: bool

    @property
    def use(self) -> float | None:
        """The reading as a share of the limit; None without one of them."""
        if self.reading_w is None or self.limit_w is None:
            return None
        return self.reading_w / self.limit_w


class PowerPolicy:
    """Keeps the draw of nodes within their limits: derive from it and write ``decide``.

    Attributes:
        watch: kinds of ``WATCHABLE`` that controllers watch, from the top down, joined by "+";
            empty: none.
        parks: held replicas unload their LLM once they are without work; before they admit again,
            they load it (``power.restart``).
        needs_limit: a node without budget and rating has no controller.
        fastest: the actuator that must act before equipment drops: "brake", "clock", "cap",
            "" (none).
    """

    watch: str = "pdu"
    needs_limit: bool = True
    fastest: str = "clock"
    parks: bool = False

    def new_state(self) -> Any:
        """What one controller remembers during one run."""
        return None

    def at_start(self, priority: int) -> float:
        """Share of the maximum clock at which a class runs from the first moment to the last."""
        return 1.0

    def cap_at_start(self, priority: int) -> float | None:
        """Watts that each GPU of a class draws at most, from the first moment to the last."""
        return None

    def deepest(self, priority: int) -> float:
        """The lowest share of the maximum clock that it may command for a class."""
        return 0.0  # unless it says so: the lowest that a GPU has

    def lasts_s(self) -> tuple[float, float] | None:
        """From when to when something is asked of it; None: from the first moment to the last."""
        return None

    def decide(self, view: PowerView, state: Any, rng: KeyedBits) -> Iterator[Command]:
        """Commands, in order; ``rng`` is keyed by the number of the period."""
        return iter(())


def watched(policy: Any) -> tuple[str, ...]:
    """The kinds of nodes that a policy watches, from the top down.

    Raises:
        ValueError: a word that is none of ``WATCHABLE``, one twice, or another order.
    """
    words = tuple(word.strip() for word in policy.watch.split("+")) if policy.watch else ()
    if words != tuple(kind for kind in WATCHABLE if kind in words):
        raise ValueError(
            f"watch {policy.watch!r} must be kinds of power nodes from the top down, joined by "
            f"'+': some of {', '.join(WATCHABLE)}"
        )
    return words


def need_shares(policy: Any, *names: str) -> None:
    """Every named parameter is a share above 0 and at most 1.

    Raises:
        ValueError: one is not; the message begins with its name.
    """
    for name in names:
        value = getattr(policy, name)
        if not 0.0 < value <= 1.0:
            raise ValueError(f"{name} must be above 0 % and at most 100 %, not {100 * value:g} %")


def need_order(policy: Any, *names: str) -> None:
    """Each named parameter is below the next.

    Raises:
        ValueError: one is not; the message begins with its name.
    """
    for low, high in pairwise(names):
        if not getattr(policy, low) < getattr(policy, high):
            raise ValueError(
                f"{low} {getattr(policy, low):g} must be below {high} {getattr(policy, high):g}"
            )
