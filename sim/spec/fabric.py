"""The ``fabric`` section: the network between servers, built for the site or read from a file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.spec.types import Count, DataRate, OneOf, Quantity, Seconds, Shorthand, Spec

FABRICS = ("rail-optimised", "leaf-spine", "fat-tree", "single-switch", "nvlink-domain", "none")


class SwitchSpec(Spec):
    """A switch of the catalog, or numbers of one's own, or one with some numbers changed."""

    name: str | None = Field(default=None, description="a switch that 'rackplan catalog' lists")
    radix: Annotated[int, Field(ge=2, le=4096)] | None = Field(
        default=None, description="how many ports it has"
    )
    port: DataRate | None = Field(default=None, description="data rate of one port")
    latency: Seconds | None = Field(default=None, description="from port to port")


class FabricSpec(Spec):
    """The network between nodes: ``kind`` and what belongs to it, or else ``file``."""

    kind: Annotated[str, OneOf(FABRICS)] | None = Field(default=None, description="the topology")
    nic: DataRate | None = Field(
        default=None, description="data rate of one NIC port; default: the server's"
    )
    oversubscription: Annotated[float, Quantity("count", least=1.0)] = Field(
        default=1.0, description="downlink over uplink capacity of a leaf; 1 is non-blocking"
    )
    switch: Annotated[SwitchSpec, Shorthand("name")] | None = Field(
        default=None, description="the switch at every level: a name, or {radix, port, latency}"
    )
    cables: Count | None = Field(
        default=None,
        description="parallel cables from a leaf to each spine; default: as few spines as do",
    )
    file: str | None = Field(
        default=None, description="a .json (node-link) or .graphml file beside the scenario"
    )
