"""Racks laid into rows of the base's site, and pools told to use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from sim import catalog
from sim.errors import Mark
from sim.spec.merge import Change
from sim.spec.nodes import Entry, Node, list_node, mapping_node, shorten


def dealt(racks: Sequence[str], rows: Sequence[str]) -> dict[str, list[str]]:
    """Row → types of the racks in it: each goes to the row whose racks are rated least so far."""
    laid: dict[str, list[str]] = {row: [] for row in rows}
    rated = dict.fromkeys(rows, 0.0)
    for rack in racks:
        row = min(rows, key=lambda name: rated[name])
        laid[row].append(rack)
        rated[row] += catalog.rack_type(rack).rating_w
    return laid


def rack_names(laid: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Rack type → names of the racks of that type, as ``sim.site`` gives them."""
    found: dict[str, list[str]] = {}
    for row, racks in laid.items():
        for number, rack in enumerate(racks, start=1):
            found.setdefault(rack, []).append(f"{row}-rack-{number}")
    return found


def laid_into(halls: Node, laid: Mapping[str, Sequence[str]], mark: Mark) -> Node:
    """``site.halls`` with these racks in these rows; rows without any, and empty halls, go."""
    assert isinstance(halls.value, tuple)
    found = []
    for hall in halls.value:
        rows = hall.child("rows")
        assert rows is not None
        assert isinstance(rows.value, tuple)
        assert isinstance(hall.value, Mapping)
        kept = [row for row in (_row(row, laid, mark) for row in rows.value) if row is not None]
        if kept:
            entries = dict(hall.value)
            entries["rows"] = Entry(rows.mark, list_node(rows.mark, tuple(kept)))
            found.append(mapping_node(hall.mark, entries))
    return list_node(halls.mark, tuple(found))


def _row(row: Node, laid: Mapping[str, Sequence[str]], mark: Mark) -> Node | None:
    name = row.child("name")
    if name is None or name.value not in laid:
        return row
    racks = laid[str(name.value)]
    if not racks:
        return None
    assert isinstance(row.value, Mapping)
    groups = tuple(
        _mapping(mark, type=kind, count=len(list(alike))) for kind, alike in groupby(racks)
    )
    return mapping_node(row.mark, {**row.value, "racks": Entry(mark, list_node(mark, groups))})


def _mapping(mark: Mark, **values: str | int) -> Node:
    return mapping_node(mark, {key: Entry(mark, Node(mark, of)) for key, of in values.items()})


def pool_changes(
    pool: str,
    degrees: Sequence[tuple[str, int]],
    replicas: int,
    rack: str,
    names: Sequence[str],
    mark: Mark,
) -> Iterator[Change]:
    """What puts a pool's replicas on racks of a type ("": where the base has them)."""
    path = f"pools[{pool}]"
    yield Change(f"{path}.replicas", Node(mark, replicas))
    for key, value in degrees:
        yield Change(f"{path}.{key}", Node(mark, value))
    if rack:
        gpu = catalog.node_type(catalog.rack_type(rack).node_type).gpu
        yield Change(f"{path}.gpu", Node(mark, gpu))
        yield Change(f"{path}.racks", list_node(mark, tuple(Node(mark, name) for name in names)))


def in_words(pool: str, replicas: int, text: str) -> str:
    """``chat 24 × tensor_parallel 4 on dgx-h100-4``."""
    return shorten(f"{pool} {replicas} × {text}" if text else f"{pool} {replicas}", 200)
