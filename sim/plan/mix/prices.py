"""What a rack of a type costs in a question for a mix: the one place where prices come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sim import catalog
from sim.cost.bill import Origin
from sim.cost.prices import PriceBook


@dataclass(frozen=True)
class RackPrice:
    """USD of one rack with its servers, and where that is from; ``stated``: in the question."""

    usd: float
    origin: str
    stated: bool


def price_of_rack(name: str, stated: Mapping[str, float], book: PriceBook) -> RackPrice:
    """The price of a rack of this type, without network and building.

    Args:
        name: of the rack type.
        stated: rack type → USD, as the question's ``prices`` has them; they come first.
        book: what the base states in ``costs``, and behind it ``data/costs``: a price of the whole
            rack, else that of its servers.

    Raises:
        CostError: nobody states it; the message says how to.
    """
    if name in stated:
        return RackPrice(stated[name], f"question.prices.{name}", True)
    whole = book.rack(name)
    if whole is not None:
        return RackPrice(whole.value, _where(whole.origin), False)
    rack = catalog.rack_type(name)
    server = book.node(rack.node_type)
    origin = f"{rack.nodes} × {server.value:,.0f} USD, {_where(server.origin)}"
    return RackPrice(rack.nodes * server.value, origin, False)


def _where(origin: Origin) -> str:
    return f"stated: {origin.where}" if origin.stated else origin.text
