"""What a rack of a type costs in a question for a mix: the one place where prices come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sim.errors import RackplanError


class NoPrice(RackplanError):
    """A rack type whose price nobody states; the message says how to."""


@dataclass(frozen=True)
class RackPrice:
    """USD of one rack with its servers, and where that is from."""

    usd: float
    origin: str


def price_of_rack(name: str, stated: Mapping[str, float]) -> RackPrice:
    """The price of a rack of this type.

    Args:
        name: of the rack type.
        stated: rack type → USD, as the question's ``prices`` has them.

    Raises:
        NoPrice: nobody states it.
    """
    if name in stated:
        return RackPrice(stated[name], f"question.prices.{name}")
    raise NoPrice(
        f"no price is known of a rack of type {name!r}: state it, "
        f"'prices: {{{name}: 1400000 USD}}' in the question"
    )
