"""The ``price`` section: what things cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.spec.types import Quantity, Spec


class PriceSpec(Spec):
    """What things cost."""

    electricity: Annotated[float, Quantity("money_per_energy", least=0.0)] | None = Field(
        default=None, description="price of energy, such as 80 USD/MWh"
    )
