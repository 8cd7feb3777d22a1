"""The sections of ``kind: placement`` that are no plain text: how many pods arrive, and quotas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from sim.spec.nodes import show
from sim.spec.quantity import read_quantity
from sim.spec.types import Quantity, Value, refuse
from sim.units import UnitError

#: Each pod once, in the order of its file.
AS_LISTED = "list"
#: Demand beyond this many times the GPUs is a slip of the keyboard.
MOST_ARRIVAL = 100.0

Gpus: TypeAlias = Annotated[float, Quantity("count", least=0.0, most=1e9)]


@dataclass(frozen=True)
class Arrival(Value):
    """``130 %`` of the GPUs, or ``list``."""

    def read(self, value: Any) -> float | str:
        """The share, or ``AS_LISTED``."""
        if value == AS_LISTED:
            return AS_LISTED
        try:
            share = read_quantity(value, "fraction")
        except UnitError:
            share = 0.0
        if not 0.0 < share <= MOST_ARRIVAL:
            bare = not isinstance(value, str) and share > MOST_ARRIVAL
            hint = f"; write '{value:g} %'" if bare else ""
            raise refuse(
                f"expected a share of the GPUs such as 130 %, at most {100 * MOST_ARRIVAL:,.0f} %, "
                f"or {AS_LISTED}, not {show(value)}{hint}"
            )
        return share

    def schema(self) -> dict[str, Any]:
        """A share, or the word."""
        return {"anyOf": [{"const": AS_LISTED}, Quantity("fraction").schema()]}
