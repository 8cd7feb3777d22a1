"""The ``price`` section: what things cost."""

from __future__ import annotations

from pydantic import Field

from sim.spec.hourly import Price
from sim.spec.types import Spec


class PriceSpec(Spec):
    """What things cost."""

    electricity: Price | None = Field(
        default=None, description="price of energy, such as 80 USD/MWh, or a file of hours"
    )
