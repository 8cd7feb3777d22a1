"""The kinds of scenario, and which sections belong to which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sim.errors import Problem
from sim.spec.nodes import Node, Path, show_path

SERVING, PLACEMENT = "serving", "placement"

#: What a scenario cannot do without.
REQUIRED: Mapping[str, tuple[str, ...]] = {
    SERVING: ("rackplan", "name", "duration", "site", "llms", "pools", "workload"),
    PLACEMENT: ("rackplan", "name", "nodes", "pods"),
}

_NODES = "the nodes of a placement are a list: 'nodes: nodes.csv'"
_PODS = "what is placed is a list: 'pods: pods.csv'"
_TIME = "a placement has no time; pods arrive in order, until 'arrival: 130 %' of the GPUs"
_NONE = "a placement has none"
#: Section → what a scenario of the other kind has in its place.
_OF_SERVING: Mapping[str, str] = {
    "duration": _TIME, "warm_up": _TIME, "drain": _TIME, "events": _TIME, "scaling": _TIME,
    "site": _NODES, "llms": _PODS, "pools": _PODS, "workload": _PODS,
    "record": "a placement writes down every pod",
    **dict.fromkeys(
        ("power", "fabric", "storage", "neighbours", "calibration", "telemetry", "actuation",
         "price", "costs", "cooling", "carbon"), _NONE,
    ),
}  # fmt: skip
_OF_PLACEMENT: Mapping[str, str] = {
    "nodes": "nodes come with the racks of 'site:' (rackplan catalog racks)",
    "pods": "replicas of an LLM are a pool: 'pools:'",
    "arrival": "requests arrive as 'workload:' says",
    "quotas": "a pool has the replicas that it states, whoever its tenant is",
}
#: Kind → sections of the other kind.
FOREIGN: Mapping[str, Mapping[str, str]] = {SERVING: _OF_PLACEMENT, PLACEMENT: _OF_SERVING}
#: Roles that place no pods.
_ROLES = ("routing", "batching", "paths", "power")


def kind_of(root: Node) -> str:
    """The kind a document states; where it states none that there is, the one that it looks like.

    So a slip in the word itself is not followed by complaints about every section.
    """
    stated = root.at(("kind",))
    if stated is None or stated.value is None:
        return SERVING
    if stated.value in (SERVING, PLACEMENT):
        return str(stated.value)
    looks_placed = root.at(("nodes",)) is not None and root.at(("site",)) is None
    return PLACEMENT if looks_placed else SERVING


def foreign(root: Node, kind: str) -> Iterator[tuple[Path, Problem]]:
    """Sections, and roles of policies, that belong to the other kind of scenario."""
    other = PLACEMENT if kind == SERVING else SERVING
    for key, instead in FOREIGN[kind].items():
        node = root.at((key,))
        if node is None or node.value is None:
            continue
        message = f"belongs to 'kind: {other}'; {instead}"
        yield (key,), Problem(root.mark_of((key,), key=True), key, message)
    if kind == SERVING:
        return
    for role in _ROLES:
        path: Path = ("policies", role)
        if (node := root.at(path)) is not None and node.value is not None:
            message = f"belongs to 'kind: {SERVING}'; only 'placement' decides here"
            yield path, Problem(root.mark_of(path, key=True), show_path(path), message)
