"""The ``events`` section: what happens to the site at stated times."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.spec.types import Count, Identifier, Name, OneOf, Seconds, Spec, Watts

#: What comes after the name of a UPS: one of its modules.
MODULE = ".module"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
#: A node of the power tree, or one module of a UPS; or a part of the network: a vertex, the link
#: between two, a cable of it.
Target = Annotated[
    str,
    Name(
        rf"{_PART}(/{_PART}(#\d{{1,6}})?)?",
        "letters, digits, '-' and '_', '.module' after a UPS for one of its modules, '/' between "
        "the ends of a link and '#' before the number of a cable",
    ),
]


class BudgetChangeSpec(Spec):
    """Another contracted budget for a node of the power tree."""

    node: Identifier = Field(description="a node of the power tree, such as utility or row-1-pdu-a")
    to: Watts = Field(description="its budget from then on")


class FleetChangeSpec(Spec):
    """Replicas of a pool that are added or taken away."""

    pool: Identifier = Field(description="a name of 'pools'")
    replicas: Count = Field(description="how many")


_Kv = Annotated[str, OneOf(("moved", "lost"))]
_KV = "what a moving replica runs: its KV is moved over the network, or lost and computed anew"


class MigrateSpec(Spec):
    """A replica that moves to other GPUs."""

    pool: Identifier = Field(description="a name of 'pools'")
    replica: Annotated[int, Field(ge=0)] = Field(description="which of them; the first is 0")
    kv: _Kv = Field(default="moved", description=_KV)


class DefragmentSpec(Spec):
    """Replicas that move so that free GPUs come together."""

    most: Count = Field(description="replicas that move at most")
    kv: _Kv = Field(default="moved", description=_KV)


class EventSpec(Spec):
    """One event: something fails or is restored, a budget changes, replicas come or go."""

    at: Seconds = Field(description="when it happens")
    fail: Target | None = Field(
        default=None,
        description="a node of the power tree that fails, such as ups-a, or ups-a.module; or a "
        "part of the network: leaf-3, leaf-3/spine-1, leaf-3/spine-1#2",
    )
    restore: Target | None = Field(
        default=None, description="one that failed or tripped, and is whole again"
    )
    budget: BudgetChangeSpec | None = Field(
        default=None, description="a contract changes: {node: utility, to: 100 kW}"
    )
    add: FleetChangeSpec | None = Field(
        default=None,
        description="replicas that are placed, loaded, then serve: {pool: chat, replicas: 2}",
    )
    remove: FleetChangeSpec | None = Field(
        default=None,
        description="replicas that finish what they hold, then are parked and give their GPUs up",
    )
    migrate: MigrateSpec | None = Field(
        default=None, description="a replica moves to other GPUs: {pool: chat, replica: 3}"
    )
    defragment: DefragmentSpec | None = Field(
        default=None,
        description="replicas move so that free GPUs come together: {most: 4}",
    )
