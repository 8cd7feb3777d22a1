"""Names in parts that failed their shape, so that one reading tells of every slip.

Such a part (an item of a list, a policy, the site) has no typed content, so the other checks pass
it by; the names that it mentions are still there in the plain tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sim.check.collector import Collector
from sim.check.llms import known_llm, known_precision
from sim.check.policies import known_kind
from sim.check.pools import declared_llm, known_gpu
from sim.check.site import known_rack
from sim.check.stock import stock
from sim.check.workloads import declared_pool, known_source
from sim.policies.base import ROLES
from sim.site.types import Site
from sim.spec.nodes import Path

#: Stands for every item of a list.
_EACH = "*"


def check_failed(found: Collector, site: Site | None) -> None:
    """Report names that nothing has, in the words that a sound part would get."""
    have = None if site is None or not _failed(found, "pools") else stock(site)

    def gpu(name: str, path: Path, found: Collector) -> None:
        known_gpu(name, path, have, found)

    lookups: list[tuple[Path, Callable[[str, Path, Collector], object]]] = [
        (("site", "halls", _EACH, "rows", _EACH, "racks", _EACH, "type"), known_rack),
        (("llms", _EACH, "name"), known_llm),
        (("llms", _EACH, "precision"), known_precision),
        (("llms", _EACH, "kv_precision"), known_precision),
        (("pools", _EACH, "llm"), declared_llm),
        (("pools", _EACH, "gpu"), gpu),
        (("workload", _EACH, "pool"), declared_pool),
        (("workload", _EACH, "source"), known_source),
    ]
    for pattern, look_up in lookups:
        for path, name in _mentions(found, pattern):
            look_up(name, path, found)
    for role in ROLES:
        holders: list[Path] = [("policies",)]
        if role in ("routing", "batching"):
            holders.append(("pools", _EACH, "policies"))
        for holder in holders:
            for path, kind in _mentions(found, (*holder, role, "kind")):
                known_kind(role, kind, path, found)


def _failed(found: Collector, section: str) -> bool:
    return any(path[0] == section for path in found.document.failed)


def _mentions(found: Collector, pattern: Path) -> Iterator[tuple[Path, str]]:
    """Every text at ``pattern`` in a failed part, unless it is itself what failed."""
    if not _failed(found, str(pattern[0])):
        return
    failed = found.document.failed
    for path, value in _places(found.document.tree, pattern):
        inside = path[:1] in failed or path[:2] in failed
        if inside and isinstance(value, str) and not found.blames(path):
            yield path, value


def _places(part: Any, pattern: Path, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every (path, value) of a plain tree that ``pattern`` fits."""
    if not pattern:
        yield path, part
        return
    step, rest = pattern[0], pattern[1:]
    if step == _EACH:
        for i, item in enumerate(part if isinstance(part, list) else ()):
            yield from _places(item, rest, (*path, i))
    elif isinstance(part, dict) and step in part:
        yield from _places(part[step], rest, (*path, step))
