"""The ``events`` section: what happens to the site at stated times."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.spec.types import Name, Seconds, Spec

#: What comes after the name of a UPS: one of its modules.
MODULE = ".module"
#: A node of the power tree, or one module of a UPS.
Target = Annotated[
    str,
    Name(
        r"[A-Za-z0-9][A-Za-z0-9_-]*(\.module)?",
        "letters, digits, '-' and '_', and '.module' after a UPS for one of its modules",
    ),
]


class EventSpec(Spec):
    """One event: something fails, or is restored."""

    at: Seconds = Field(description="when it happens")
    fail: Target | None = Field(
        default=None,
        description="a node of the power tree that fails, such as ups-a, or ups-a.module",
    )
    restore: Target | None = Field(
        default=None, description="one that failed or tripped, and is whole again"
    )
