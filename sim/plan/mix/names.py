"""Pools, rows, rack types and prices that a question for a mix names."""

from __future__ import annotations

from sim import catalog
from sim.cost.prices import CostError, PriceBook
from sim.errors import Problem, ScenarioError, UnknownName, did_you_mean
from sim.plan.mix.prices import RackPrice, price_of_rack
from sim.spec.document import Document
from sim.spec.mix import MixSpec, Named

#: The kind of hardware of a question that buys none.
GPUS = "GPUs"


def refuse_names(spec: MixSpec, document: Document) -> None:
    """Refuse pools, rows and rack types that are not there.

    Raises:
        ScenarioError: any of them.
    """
    found = []
    declared = [name for _, name in document.declared("pools")]
    for pool in spec.pools:
        path = f"question.cheapest.{pool.name}"
        if pool.name not in declared:
            hint = did_you_mean(pool.name, declared)
            found.append(Problem(pool.mark, path, f"the base has no pool {pool.name!r}{hint}"))
        for index, rack in enumerate(pool.racks):
            try:
                catalog.rack_type(rack.text)
            except UnknownName as error:
                message = f"{error}{_racks_with(rack)}"
                found.append(Problem(rack.mark, f"{path}.racks[{index}]", message))
    rows = _row_names(document)
    for index, row in enumerate(spec.rows):
        if row.text not in rows:
            hint = did_you_mean(row.text, rows)
            message = f"the base has no row {row.text!r}{hint}"
            found.append(Problem(row.mark, f"question.rows[{index}]", message))
    others = [name for name in declared if name not in {pool.name for pool in spec.pools}]
    if others and not spec.rows and any(pool.racks for pool in spec.pools):
        message = (
            f"missing: the rows where new racks are laid; {', '.join(others)} "
            f"{'keeps' if len(others) == 1 else 'keep'} the racks of the others"
        )
        found.append(Problem(spec.mark, "question.rows", message))
    if found:
        raise ScenarioError(found)


def _racks_with(named: Named) -> str:
    """Rack types with a GPU, for those who name one."""
    try:
        gpu = catalog.canonical_gpu(named.text)
    except UnknownName:
        return ""
    racks = [
        name
        for name in catalog.names("rack")
        if catalog.node_type(catalog.rack_type(name).node_type).gpu == gpu
    ]
    return f"; racks with {gpu}: {', '.join(racks)}" if racks else ""


def _row_names(document: Document) -> list[str]:
    site = document.spec.site
    return [] if site is None else [row.name for hall in site.halls for row in hall.rows]


def rows_of(spec: MixSpec, document: Document) -> tuple[str, ...]:
    """Where racks are laid; nowhere if none are bought."""
    if not any(pool.racks for pool in spec.pools):
        return ()
    return tuple(row.text for row in spec.rows) or tuple(_row_names(document))


def prices_of(spec: MixSpec, document: Document) -> dict[str, RackPrice]:
    """Rack type → its price.

    Raises:
        ScenarioError: of one nobody states it.
    """
    book = PriceBook(document.spec.costs)
    found: dict[str, RackPrice] = {}
    problems = []
    for pool in spec.pools:
        for index, rack in enumerate(pool.racks):
            try:
                found[rack.text] = price_of_rack(rack.text, spec.prices, book)
            except CostError as error:
                path = f"question.cheapest.{pool.name}.racks[{index}]"
                problems.append(Problem(rack.mark, path, str(error)))
    if problems:
        raise ScenarioError(problems)
    return found
