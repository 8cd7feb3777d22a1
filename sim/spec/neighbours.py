"""The ``neighbours`` section: what else crosses the network, beside the requests of the pools."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.spec.types import (
    DataRate,
    Identifier,
    OneOf,
    PositiveSeconds,
    Quantity,
    Seconds,
    Some,
    Spec,
)

TRAFFIC = ("all-to-all", "ring")


class TrafficSpec(Spec):
    """A neighbour whose servers exchange data in rounds, such as a training job."""

    name: Identifier = Field(description="the neighbour's name")
    kind: Annotated[str, OneOf(TRAFFIC)] = Field(
        default="all-to-all",
        description="each GPU sends to those of its rank in all other servers, or in the next one",
    )
    racks: Some[Identifier] = Field(description="the racks whose servers take part")
    size: Annotated[float, Quantity("bytes", above=0.0)] = Field(
        description="what each GPU sends in a round, to all others together"
    )
    every: PositiveSeconds = Field(
        description="from the start of a round to that of the next, or until the last byte is there"
    )
    limit: DataRate | None = Field(
        default=None, description="no GPU sends faster than this; default: as fast as it can"
    )
    begin: Seconds = Field(default=0.0, description="when the first round starts")
    until: PositiveSeconds | None = Field(
        default=None, description="no round starts at or after this; default: the duration"
    )
