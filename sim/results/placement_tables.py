"""The tables of a placement run, beside ``sim.results.tables``, which has those of serving."""

from __future__ import annotations

from collections.abc import Mapping

from sim.results.tables import TABLES, Column

PLACEMENTS = "placements"
PLACEMENT_TABLES: Mapping[str, tuple[Column, ...]] = {
    PLACEMENTS: tuple(
        Column(*row)
        for row in (
            ("pod", "string", "", "name in the list, in the order of arrival; a list may be drawn "
             "from more than once"),
            ("node", "string", "", "where it is at the end; null if nowhere"),
            ("gpu_bits", "int64", "", "the GPUs it got there: bit g is GPU g; null if nowhere"),
            ("outcome", "category", "", "placed, or what stood in the way on the node that came "
             "closest"),
        )
    ),
}  # fmt: skip
#: Every table that any run may have.
EVERY_TABLE: Mapping[str, tuple[Column, ...]] = {**TABLES, **PLACEMENT_TABLES}
