"""The ``actuation`` section: how long commands of power controllers take to act."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.spec.types import PositiveSeconds, Seconds, Share, Spec


class ClockActuatorSpec(Spec):
    """Setting clocks: out-of-band commands take tens of seconds, in-band ones about two."""

    delay: Seconds = Field(default=40.0, description="from a command until its first step acts")
    steps: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="equal steps from the clock in force to the commanded one"
    )
    step_time: Seconds = Field(default=1.0, description="from one step to the next")


class CapActuatorSpec(Spec):
    """Setting power caps, on the same ways as clocks."""

    delay: Seconds = Field(default=40.0, description="from a command until it acts")


class AdmissionSpec(Spec):
    """Telling replicas to admit requests or to hold them: software, and quick."""

    delay: Seconds = Field(default=1.0, description="from a command until it acts")


class BrakeSpec(Spec):
    """The power brake: every GPU below a node on one low clock."""

    delay: Seconds = Field(default=5.0, description="from a command until it acts")
    clock: Share = Field(default=0.2, description="share of the maximum clock while it is on")
    hold: Seconds = Field(default=45.0, description="it stays on for at least so long")
    refractory: Seconds = Field(
        default=60.0, description="clocks do not rise for so long after its release"
    )


class ActuationSpec(Spec):
    """Actuators of power controllers, and the time within which they must act."""

    clock: ClockActuatorSpec = Field(default=ClockActuatorSpec(), description="setting clocks")
    cap: CapActuatorSpec = Field(default=CapActuatorSpec(), description="setting power caps")
    admission: AdmissionSpec = Field(
        default=AdmissionSpec(), description="which replicas admit requests"
    )
    brake: BrakeSpec = Field(default=BrakeSpec(), description="the power brake")
    deadline: PositiveSeconds | None = Field(
        default=None, description="how long equipment tolerates an overload; default: 10 s"
    )
