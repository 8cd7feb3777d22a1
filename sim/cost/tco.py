"""Total cost of ownership: what a site costs to buy, and what it costs in a year.

Capital is spread over its life in equal yearly payments: C·CRF(i, n), the capital recovery factor
CRF = i / (1 − (1 + i)^−n) of the discount rate i and a life of n years (NREL, Annual Technology
Baseline 2024, "Equations and Variables", https://atb.nrel.gov/electricity/2024/equations_&_variables;
i = 10 %, n = 10: 0.163). To it comes what every year takes: maintenance, people and energy.
"""

from __future__ import annotations

import math
from collections import Counter

from sim.check.scenario import Scenario
from sim.cost.bill import HOURS_PER_YEAR, Bill, Known, Line
from sim.cost.built import Built, built_of
from sim.cost.prices import PriceBook

_SECONDS_PER_YEAR = HOURS_PER_YEAR * 3600.0
_J_PER_MWH = 3.6e9


def capital_recovery_factor(rate: float, years: float) -> float:
    """The yearly payment per unit of capital: i / (1 − (1 + i)^−n); 1/n at a rate of 0.

    Raises:
        ValueError: a negative rate, or a life that is not above 0.
    """
    if rate < 0.0 or not years > 0.0:
        raise ValueError(f"needs a rate of at least 0 and a life above 0, not {rate}, {years}")
    if rate * years < 1e-12:  # the limit; such rates differ from it by less than that
        return 1.0 / years
    # expm1 and log1p keep their digits where the rate is near 0.
    return rate / -math.expm1(-years * math.log1p(rate))


def price_of_node(name: str, book: PriceBook | None = None) -> Bill:
    """What one server of this type costs, without network and building; one line.

    Raises:
        CostError: its price is stated nowhere; the message says how to.
    """
    book = book or PriceBook()
    return Bill((_servers(name, 1, book),))


def capital_of(scenario: Scenario | Built) -> Bill:
    """What the site costs to buy: servers, network, building, plant and, if apart, UPSs.

    Raises:
        CostError: the price of a server is stated nowhere.
    """
    built = built_of(scenario)
    servers = _all_servers(built)
    return Bill((*servers, *_network(built, servers), *_facility(built)))


def yearly_of(scenario: Scenario | Built, draw_w: float) -> Bill:
    """What the site costs in a year: annuities of its capital, maintenance, staff and energy.

    Args:
        scenario: the site.
        draw_w: its mean draw at the input of the site, cooling included where it is modelled.

    Raises:
        CostError: the price of a server is stated nowhere.
        ValueError: a negative or infinite draw.
    """
    if not (math.isfinite(draw_w) and draw_w >= 0.0):
        raise ValueError(f"a draw is finite and not negative, unlike {draw_w}")
    built = built_of(scenario)
    capital = capital_of(built)
    rate = built.book.of("discount_rate")
    annuities = (_annuity(line, rate) for line in capital.lines)
    return Bill((*annuities, *_operation(built.book, capital, draw_w)), per="year")


def _all_servers(built: Built) -> tuple[Line, ...]:
    """Racks whose price is stated as a whole, then the servers of the others by type."""
    book, whole, nodes = built.book, Counter[str](), Counter[str]()
    for rack in built.site.rack_types:
        if book.rack(rack.name) is None:
            nodes[rack.node_type] += rack.nodes
        else:
            whole[rack.name] += 1
    life = book.of("server_life")
    lines = []
    for name, count in whole.items():
        price = book.rack(name)
        assert price is not None
        lines.append(_bought(f"{name} racks", "servers", count, "racks", price, life))
    return (*lines, *(_servers(name, count, book) for name, count in nodes.items()))


def _servers(name: str, count: int, book: PriceBook) -> Line:
    life = book.of("server_life")
    return _bought(f"{name} servers", "servers", count, "servers", book.node(name), life)


def _network(built: Built, servers: tuple[Line, ...]) -> tuple[Line, ...]:
    """Switches by port and cables; a share of the servers where no network is stated."""
    book, parts = built.book, built.network
    life = book.of("network_life")
    if parts is None:
        share = book.of("network_share")
        price_usd = math.fsum(line.total_usd for line in servers)
        line = _bought("network (none stated)", "network", price_usd, "USD of servers", share, life)
        return (line,)
    switches = f"{parts.switches:,} switches"
    return (
        _bought(switches, "network", parts.ports, "ports", book.of("switch_port"), life),
        _bought("cables", "network", parts.cables, "cables", book.of("cable"), life),
    )


def _facility(built: Built) -> tuple[Line, ...]:
    """Building and plant per provisioned kilowatt; UPSs per rated one where they have a price."""
    book = built.book
    life = book.of("facility_life")
    note = ""
    if built.power.provisioned_w is None:
        note = "no provisioned power is stated: the racks' ratings"
    kw = built.provisioned_w / 1e3
    lines = [
        _bought(group, group, kw, "kW", _per_kw(book.of(group)), life, note)
        for group in ("building", "plant")
    ]
    rated_w = sum(node.rating_w or 0.0 for node in built.power.nodes if node.kind == "ups")
    if book.costs.ups is not None and rated_w:
        lines.append(_bought("UPSs", "ups", rated_w / 1e3, "kW", _per_kw(book.of("ups")), life))
    return tuple(lines)


def _per_kw(per_w: Known) -> Known:
    return Known(per_w.value * 1e3, per_w.origin)


def _bought(
    item: str, group: str, number: float, unit: str, price: Known, life: Known, note: str = ""
) -> Line:
    origins = (price.origin, life.origin)
    return Line(item, group, number, unit, price.value, origins, life.value, note)


def _annuity(line: Line, rate: Known) -> Line:
    assert line.life_years is not None
    return Line(
        item=line.item,
        group=line.group,
        number=line.total_usd,
        unit="USD of capital",
        unit_price_usd=capital_recovery_factor(rate.value, line.life_years),
        origins=(*line.origins, rate.origin),
        life_years=line.life_years,
        note=line.note,
    )


def _operation(book: PriceBook, capital: Bill, draw_w: float) -> tuple[Line, ...]:
    share, staff, energy = book.of("maintenance"), book.of("staff"), book.electricity
    mwh = draw_w * _SECONDS_PER_YEAR / _J_PER_MWH
    lines = [
        Line("maintenance", "maintenance", capital.total_usd, "USD of capital", share.value,
             (share.origin,)),
        Line("staff", "staff", 1.0, "year", staff.value * _SECONDS_PER_YEAR, (staff.origin,)),
        Line("energy", "energy", mwh, "MWh", energy.value * _J_PER_MWH, (energy.origin,)),
    ]  # fmt: skip
    return tuple(lines)
