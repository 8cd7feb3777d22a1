"""Which commands of power policies are taken: sense, and the rules of brakes.

The rules of brakes hold for every policy, so they are here and not in the policies:

1. While a brake is commanded or on, and for ``refractory`` after its release, clocks may be lowered
   and never raised: readings taken while braked look like headroom.
2. A brake is released once it was on for ``hold`` and everything commanded to clocks has acted and
   shows in the reading (it is the policy that starts the deep caps with the brake).
"""

from __future__ import annotations

import math

from sim.check.scenario import Actuation
from sim.engine.actuation import Actuators
from sim.engine.arbiter import Refusal, decision
from sim.engine.controllers import ClassState, Controller, priority_name
from sim.engine.recorder import Recorder
from sim.policies.power.base import SAME_CLOCK, Brake, Clock, Release


class Gate:
    """Takes commands, or refuses them with a reason; both are rows of ``decisions``."""

    def __init__(
        self, kind: str, plan: Actuation, actuators: Actuators, recorder: Recorder
    ) -> None:
        self._kind, self._plan = kind, plan
        self._actuators, self._recorder = actuators, recorder

    def take(
        self, controller: Controller, command: Clock | Brake | Release, rank: int, now_s: float
    ) -> None:
        """Hand a command to its actuator, unless it changes nothing or must not be."""
        if isinstance(command, Clock):
            self._take_clock(controller, command, rank, now_s)
        else:
            self._take_brake(controller, isinstance(command, Brake), rank, now_s)

    def _take_clock(self, controller: Controller, command: Clock, rank: int, now_s: float) -> None:
        text = f"{100 * command.share:g} %"
        classes = [
            one
            for one in controller.classes
            if command.priority is None or one.priority == command.priority
        ]
        if not math.isfinite(command.share) or not 0.0 < command.share <= 1.0:
            refusal = Refusal("share", "a clock is a share of the maximum above 0, at most 1")
            self._refuse(controller, f"clock {text}", refusal, rank, now_s)
        elif not classes and command.priority is not None:
            who = priority_name(command.priority)
            refusal = Refusal("class", f"no replica of this priority is below {controller.name}")
            self._refuse(controller, f"clock of {who} {text}", refusal, rank, now_s)
        else:
            for one in classes:
                self._take_class(controller, one, command.share, rank, now_s)

    def _take_class(
        self, controller: Controller, one: ClassState, share: float, rank: int, now_s: float
    ) -> None:
        """A command for one class; one that changes nothing is no command."""
        if abs(share - one.commanded) <= SAME_CLOCK:
            return
        suggestion = f"clock of {priority_name(one.priority)} {100 * share:g} %"
        refusal = None
        if share > one.commanded:
            if controller.brake.word != "off":
                refusal = Refusal("brake", "clocks do not rise while the brake is in use")
            elif controller.refractory(now_s, self._plan.brake_refractory_s):
                until_s = controller.brake.released_s + self._plan.brake_refractory_s
                refusal = Refusal("refractory", f"clocks do not rise before {until_s:.10g} s")
        if refusal is not None:
            self._refuse(controller, suggestion, refusal, rank, now_s)
            return
        self._accept(controller, suggestion, rank, now_s)
        controller.count("commands")
        self._actuators.set_clock(controller, one, share, now_s)

    def _take_brake(self, controller: Controller, on: bool, rank: int, now_s: float) -> None:
        if controller.brake.commanded == on:
            return
        suggestion = "brake" if on else "release"
        refusal = None if on else self._holds(controller, now_s)
        if refusal is not None:
            self._refuse(controller, suggestion, refusal, rank, now_s)
            return
        self._accept(controller, suggestion, rank, now_s)
        if on:
            controller.count("brakes")
        self._actuators.set_brake(controller, on, now_s)

    def _holds(self, controller: Controller, now_s: float) -> Refusal | None:
        """Why the brake may not be released yet, or None."""
        brake = controller.brake
        if not brake.on or brake.in_flight:
            return Refusal("brake-hold", "the brake has not taken hold yet")
        if now_s < brake.since_s + self._plan.brake_hold_s:
            until_s = brake.since_s + self._plan.brake_hold_s
            return Refusal("brake-hold", f"the brake holds until {until_s:.10g} s at least")
        if not all(one.view(controller.from_s).seen for one in controller.classes):
            return Refusal("brake-hold", "clocks that were commanded do not show in a reading yet")
        return None

    # ---- what is written down ------------------------------------------------------------

    def _accept(self, controller: Controller, suggestion: str, rank: int, now_s: float) -> None:
        controller.refused.clear()
        self._recorder.decision(
            decision(now_s, "power", self._kind, controller.name, rank, suggestion, None)
        )

    def _refuse(
        self, controller: Controller, suggestion: str, refusal: Refusal, rank: int, now_s: float
    ) -> None:
        """Log a refusal; the same one again and again, reading after reading, is one row."""
        controller.count("refused")
        if controller.refused.get(suggestion) == refusal.code:
            return
        controller.refused[suggestion] = refusal.code
        self._recorder.decision(
            decision(now_s, "power", self._kind, controller.name, rank, suggestion, refusal)
        )
