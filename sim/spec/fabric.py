"""The ``fabric`` section: checked and kept; nothing crosses it until the fabric is modelled."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.spec.types import DataRate, OneOf, Quantity, Spec

FABRICS = ("rail-optimised", "leaf-spine", "fat-tree", "none")


class FabricSpec(Spec):
    """The network between nodes."""

    kind: Annotated[str, OneOf(FABRICS)] = Field(description="the topology")
    nic: DataRate | None = Field(default=None, description="data rate of one NIC port")
    oversubscription: Annotated[float, Quantity("count", least=1.0)] = Field(
        default=1.0, description="downlink over uplink capacity; 1 is non-blocking"
    )
