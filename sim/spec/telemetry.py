"""The ``telemetry`` section: what power controllers see, and how late."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.spec.types import PositiveSeconds, Quantity, Seconds, Spec


class TelemetrySpec(Spec):
    """Readings of power nodes on their way to controllers."""

    period: Annotated[float, Quantity("time", least=0.01, most=86400.0)] = Field(
        default=2.0, description="a reading is the mean draw over it"
    )
    delay: Seconds = Field(
        default=2.0, description="from the end of its period until a reading arrives"
    )
    quantum: Annotated[float, Quantity("power", least=0.0, most=1e9)] = Field(
        default=100.0, description="readings are whole multiples of it"
    )
    lost: Annotated[float, Quantity("fraction", least=0.0, most=1.0)] = Field(
        default=0.0, description="share of readings that never arrive"
    )
    stale_after: PositiveSeconds = Field(
        default=10.0, description="without a reading for so long, a controller is blind"
    )
