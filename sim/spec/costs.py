"""The ``costs`` section: what this site's parts cost, where it is not what ``data/costs/`` says."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from sim.spec.types import Quantity, Spec

_Money: TypeAlias = Annotated[float, Quantity("money", least=0.0, most=1e12)]
_PerPower: TypeAlias = Annotated[float, Quantity("money_per_power", least=0.0)]
_Share: TypeAlias = Annotated[float, Quantity("fraction", least=0.0, most=1.0)]
_Years: TypeAlias = Annotated[float, Quantity("life", above=0.0, most=100.0)]


class CostsSpec(Spec):
    """Prices in USD of the site's parts, their lives, and what running them takes in a year.

    What is left out has the default that ``rackplan catalog cost`` shows with its source; energy
    and carbon are ``price.electricity`` and ``carbon``.
    """

    nodes: dict[str, _Money] = Field(
        default={}, description="server type, and what one costs, such as {dgx-h100: 250000 USD}"
    )
    racks: dict[str, _Money] = Field(
        default={}, description="rack type, and what one costs with its servers, instead of them"
    )
    switch_port: _Money | None = Field(default=None, description="a switch, per port")
    cable: _Money | None = Field(
        default=None, description="a cable of the network with a transceiver at either end"
    )
    network_share: _Share | None = Field(
        default=None, description="the network as a share of the servers, where none is stated"
    )
    building: _PerPower | None = Field(
        default=None, description="per provisioned power, such as 5500 USD/kW"
    )
    plant: _PerPower | None = Field(
        default=None,
        description="UPSs, generators, switchgear and cooling per provisioned power",
    )
    ups: _PerPower | None = Field(
        default=None,
        description="UPSs per rated power, apart from the plant; left out: they are in it",
    )
    discount_rate: _Share | None = Field(
        default=None, description="cost of capital in a year, such as 7 %"
    )
    server_life: _Years | None = Field(default=None, description="of servers, such as 5 years")
    network_life: _Years | None = Field(default=None, description="of switches and cables")
    facility_life: _Years | None = Field(default=None, description="of building, plant and UPSs")
    maintenance: _Share | None = Field(
        default=None, description="of all capital in a year, such as 2 %"
    )
    staff: Annotated[float, Quantity("money_per_time", least=0.0)] | None = Field(
        default=None, description="people, such as 1500000 USD/year"
    )
