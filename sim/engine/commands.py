"""Which commands of power policies are taken: sense, and the rules of brakes.

The rules of brakes hold for every policy, so they are here and not in the policies:

1. While a brake is commanded or on, and for ``refractory`` after its release, clocks, caps and
   admission may be lowered and never raised: readings taken while braked look like headroom.
2. A brake is released once it was on for ``hold`` and everything commanded has acted and shows in
   the reading (it is the policy that starts the deep caps with the brake).
"""

from __future__ import annotations

from sim.check.scenario import Actuation
from sim.engine.actuation import Actuators
from sim.engine.arbiter import Refusal, decision
from sim.engine.controllers import ClassState, Controller
from sim.engine.levers import wanted
from sim.engine.recorder import Recorder
from sim.policies.power.base import (
    SAME,
    Admit,
    Brake,
    Cap,
    Clock,
    Release,
    priority_name,
)


class Gate:
    """Takes commands, or refuses them with a reason; both are rows of ``decisions``."""

    def __init__(
        self, kind: str, plan: Actuation, actuators: Actuators, recorder: Recorder
    ) -> None:
        self._kind, self._plan = kind, plan
        self._actuators, self._recorder = actuators, recorder

    def take(
        self,
        controller: Controller,
        command: Clock | Cap | Admit | Brake | Release,
        rank: int,
        now_s: float,
    ) -> None:
        """Hand a command to its actuator, unless it changes nothing or must not be."""
        if isinstance(command, (Brake, Release)):
            self._take_brake(controller, isinstance(command, Brake), rank, now_s)
        else:
            self._take_lever(controller, command, rank, now_s)

    def _take_lever(
        self, controller: Controller, command: Clock | Cap | Admit, rank: int, now_s: float
    ) -> None:
        name, value = wanted(command)
        show = self._actuators.kinds[name].show
        classes = [
            one
            for one in controller.classes
            if command.priority is None or one.priority == command.priority
        ]
        senseless = self._senseless(name, value)
        if senseless is not None:
            self._refuse(controller, f"{name}: {show(value)}", senseless, rank, now_s)
        elif not classes and command.priority is not None:
            who = priority_name(command.priority)
            refusal = Refusal("class", f"no replica of this priority is below {controller.name}")
            self._refuse(controller, f"{who} to {show(value)}", refusal, rank, now_s)
        else:
            for one in classes:
                self._take_class(controller, one, name, value, rank, now_s)

    def _senseless(self, name: str, value: float) -> Refusal | None:
        """Why nobody can be told this, or None."""
        if name == "clock" and not 0.0 < value <= 1.0:
            return Refusal("share", "a clock is a share of the maximum above 0, at most 1")
        if name == "admission" and not 0.0 <= value <= 1.0:
            return Refusal("share", "a share of replicas is from 0 to 1")
        if name == "cap" and not value > 0.0:
            return Refusal("cap", "a cap is a number of watts above 0, or none")
        return None

    def _take_class(
        self,
        controller: Controller,
        one: ClassState,
        name: str,
        value: float,
        rank: int,
        now_s: float,
    ) -> None:
        """A command for one class; one that changes nothing is no command."""
        lever = one.levers[name]
        if value == lever.commanded or abs(value - lever.commanded) <= SAME:
            return
        suggestion = f"{priority_name(one.priority)} to {lever.kind.show(value)}"
        refusal = None
        if name == "cap" and value <= (idle_w := self._actuators.idle_w(one.replicas)):
            refusal = Refusal("cap", f"one of its GPUs draws {idle_w:g} W without work")
        elif value > lever.commanded:
            if controller.brake.word != "off":
                refusal = Refusal("brake", "nothing rises while the brake is in use")
            elif controller.refractory(now_s, self._plan.brake_refractory_s):
                until_s = controller.brake.released_s + self._plan.brake_refractory_s
                refusal = Refusal("refractory", f"nothing rises before {until_s:.10g} s")
        if refusal is not None:
            self._refuse(controller, suggestion, refusal, rank, now_s)
            return
        self._accept(controller, suggestion, rank, now_s)
        controller.count(name)
        self._actuators.set_lever(controller, one, lever, value, now_s)

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
        if not all(one.seen(controller.from_s) for one in controller.classes):
            return Refusal("brake-hold", "what was commanded does not show in a reading yet")
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
