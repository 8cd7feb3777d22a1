"""From the scenario's halls, rows and racks to arrays: names, types and NVLink domains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from sim import catalog
from sim.catalog.types import Gpu, NodeType, RackType
from sim.errors import BuildError, UnknownName
from sim.site.types import HallPlan, IntArray, RowPlan, Site


@dataclass
class _Lists:
    """The site while it grows, one list per field of ``Site``."""

    row_names: list[str] = field(default_factory=list)
    row_hall: list[int] = field(default_factory=list)
    rack_names: list[str] = field(default_factory=list)
    rack_row: list[int] = field(default_factory=list)
    rack_types: list[RackType] = field(default_factory=list)
    node_names: list[str] = field(default_factory=list)
    node_rack: list[int] = field(default_factory=list)
    node_types: list[NodeType] = field(default_factory=list)
    node_domain: list[int] = field(default_factory=list)
    gpu_types: list[Gpu] = field(default_factory=list)
    domains: int = 0


def build_site(halls: Sequence[HallPlan]) -> Site:
    """The site's arrays, in the order of the plan; numbers in names count from 1.

    Raises:
        BuildError: a name given twice, an unknown rack type, an empty row or hall, no hall;
            ``path`` is the YAML path, such as ``site.halls[0].rows[1].racks[0].type``.
    """
    if not halls:
        raise BuildError("site.halls", "a site needs at least one hall")
    _refuse_doubles("site.halls", "hall", (hall.name for hall in halls))
    lists = _Lists()
    for hall_index, hall in enumerate(halls):
        path = f"site.halls[{hall_index}]"
        if not hall.rows:
            raise BuildError(f"{path}.rows", f"hall {hall.name!r} has no rows")
        for row_index, row in enumerate(hall.rows):
            _add_row(lists, hall_index, row, f"{path}.rows[{row_index}]")
    gpus_per_node = np.array([node.gpus for node in lists.node_types], dtype=np.int64)
    return Site(
        hall_names=tuple(hall.name for hall in halls),
        row_names=tuple(lists.row_names),
        row_hall=_ints(lists.row_hall),
        rack_names=tuple(lists.rack_names),
        rack_row=_ints(lists.rack_row),
        rack_types=tuple(lists.rack_types),
        node_names=tuple(lists.node_names),
        node_rack=_ints(lists.node_rack),
        node_types=tuple(lists.node_types),
        gpu_node=np.repeat(np.arange(len(gpus_per_node), dtype=np.int64), gpus_per_node),
        gpu_domain=np.repeat(_ints(lists.node_domain), gpus_per_node),
        gpu_types=tuple(lists.gpu_types),
    )


def gpu_names(site: Site) -> tuple[str, ...]:
    """``row-1-rack-2-node-3-gpu-5`` for every GPU, in site order."""
    names: list[str] = []
    for node, node_type in zip(site.node_names, site.node_types, strict=True):
        names.extend(f"{node}-gpu-{number}" for number in range(1, node_type.gpus + 1))
    return tuple(names)


def _ints(values: list[int]) -> IntArray:
    return np.array(values, dtype=np.int64)


def _refuse_doubles(path: str, what: str, names: Iterator[str]) -> None:
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in seen:
            first = seen[name]
            raise BuildError(f"{path}[{index}].name", f"{what} {name!r} is also {path}[{first}]")
        seen[name] = index


def _add_row(lists: _Lists, hall: int, row: RowPlan, path: str) -> None:
    if row.name in lists.row_names:
        raise BuildError(
            f"{path}.name", f"row {row.name!r} is given twice; row names are unique in a site"
        )
    row_index = len(lists.row_names)
    lists.row_names.append(row.name)
    lists.row_hall.append(hall)
    number = 0
    for entry, (type_name, count) in enumerate(row.racks):
        if count < 1:
            raise BuildError(f"{path}.racks[{entry}].count", f"needs at least 1 rack, not {count}")
        try:
            rack_type = catalog.rack_type(type_name)
        except UnknownName as error:
            raise BuildError(f"{path}.racks[{entry}].type", str(error)) from error
        for _ in range(count):
            number += 1
            _add_rack(lists, row_index, f"{row.name}-rack-{number}", rack_type)
    if number == 0:
        raise BuildError(f"{path}.racks", f"row {row.name!r} has no racks")


def _add_rack(lists: _Lists, row: int, name: str, rack_type: RackType) -> None:
    rack = len(lists.rack_names)
    lists.rack_names.append(name)
    lists.rack_row.append(row)
    lists.rack_types.append(rack_type)
    node_type = catalog.node_type(rack_type.node_type)
    gpu = catalog.gpu(node_type.gpu)
    per_node = rack_type.nvlink_domain == "node"
    for number in range(1, rack_type.nodes + 1):
        lists.node_names.append(f"{name}-node-{number}")
        lists.node_rack.append(rack)
        lists.node_types.append(node_type)
        lists.gpu_types.append(gpu)
        lists.node_domain.append(lists.domains)
        lists.domains += per_node
    lists.domains += not per_node
