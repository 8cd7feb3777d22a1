"""Prices that a scenario states, and behind them the defaults of ``data/costs/``."""

from __future__ import annotations

from dataclasses import dataclass, field

from sim import catalog
from sim.catalog.records import Field
from sim.cost.bill import Known, Origin
from sim.errors import RackplanError, UnknownName, nearest
from sim.spec.costs import CostsSpec

#: The one entry of ``data/costs/defaults.yaml``.
_DEFAULTS = "defaults"
#: What a scenario states elsewhere than under ``costs``.
_WHERE = {"electricity": "price.electricity", "carbon": "carbon"}


class CostError(RackplanError):
    """Something whose price nobody states; the message says how to."""


@dataclass(frozen=True)
class PriceBook:
    """What one scenario's parts cost.

    ``electricity`` (USD/J) and ``carbon`` (g/J) are the scenario's own, None = the default.
    """

    costs: CostsSpec = field(default_factory=CostsSpec)
    stated_electricity: Known | None = None
    stated_carbon: Known | None = None

    def node(self, name: str) -> Known:
        """A server of this type, USD.

        Raises:
            CostError: neither the scenario nor ``data/costs/prices.yaml`` has its price.
        """
        if name in self.costs.nodes:
            return Known(self.costs.nodes[name], Origin(True, f"costs.nodes.{name}"))
        try:
            entry = catalog.entry("price", name)
        except UnknownName as error:
            close = nearest(name, error.known)
            hint = f" (there is one of {close!r})" if close else ""
            raise CostError(
                f"no price is known of a server of type {name!r}{hint}: state it, "
                f"'costs: {{nodes: {{{name}: 250000 USD}}}}'"
            ) from None
        shown = entry.field("server")
        return Known(
            entry.number("server"), _origin(shown, f"costs.nodes.{name}", entry.word("date"))
        )

    def rack(self, name: str) -> Known | None:
        """A rack of this type with its servers, USD; None where the scenario states none."""
        if name not in self.costs.racks:
            return None
        return Known(self.costs.racks[name], Origin(True, f"costs.racks.{name}"))

    def of(self, key: str) -> Known:
        """Any other number of ``costs``, stated or default, in the units of ``CostsSpec``."""
        stated = getattr(self.costs, key)
        if stated is not None:
            return Known(stated, Origin(True, f"costs.{key}"))
        return _default(key)

    @property
    def electricity(self) -> Known:
        """USD per joule."""
        return self.stated_electricity or _default("electricity")

    @property
    def carbon(self) -> Known:
        """Grams of CO2 per joule."""
        return self.stated_carbon or _default("carbon")


def _default(key: str) -> Known:
    entry = catalog.entry("cost", _DEFAULTS)
    return Known(entry.number(key), _origin(entry.field(key), _WHERE.get(key, f"costs.{key}")))


def _origin(shown: Field, where: str, date: str = "") -> Origin:
    assert shown.source is not None
    return Origin(
        stated=False,
        where=where,
        source=shown.source.title,
        address=shown.source.address,
        licence=shown.source.licence,
        mark=shown.mark,
        note="; ".join(part for part in (shown.note, date) if part),
    )
