"""The objects of a file of Kubernetes, and whether they have the shape that Kubernetes gives them.

Only what placing looks at is looked at; unknown fields are left alone. Null is as good as absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from sim.errors import DataError
from sim.place.read_csv import open_text

#: A type; a mapping with these fields; a list of the one given shape.
Shape: TypeAlias = Any

_METADATA = {"namespace": str, "labels": dict, "annotations": dict, "ownerReferences": [dict]}
_RULES = [{"key": str, "operator": str, "values": [str]}]
_CONTAINERS = [
    {"resources": {"limits": dict, "requests": dict, "claims": [dict]}, "restartPolicy": str}
]
_NODE_TERMS = {"nodeSelectorTerms": [{"matchExpressions": _RULES, "matchFields": _RULES}]}
SHAPES: Mapping[str, Shape] = {
    "Node": {
        "metadata": _METADATA,
        "spec": {
            "taints": [{"key": str, "value": str, "effect": str}],
            "unschedulable": bool,
        },
        "status": {
            "allocatable": dict,
            "capacity": dict,
            "conditions": [{"type": str, "status": str}],
        },
    },
    "Pod": {
        "metadata": _METADATA,
        "spec": {
            "containers": _CONTAINERS,
            "initContainers": _CONTAINERS,
            "overhead": dict,
            "resources": {"requests": dict},
            "nodeName": str,
            "nodeSelector": dict,
            "affinity": {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": _NODE_TERMS}
            },
            "tolerations": [{"key": str, "operator": str, "value": str, "effect": str}],
            "topologySpreadConstraints": [{"whenUnsatisfiable": str}],
            "resourceClaims": [dict],
            "preemptionPolicy": str,
        },
        "status": {"phase": str},
    },
}
_NAMES = {dict: "a mapping", list: "a list", str: "text", bool: "true or false"}


def objects(file: Path, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(where, object) of each ``Node`` or ``Pod`` of a file: a list, an array, or one alone.

    Raises:
        DataError: it is no JSON, or holds something else.
    """
    content = _content(file)
    if isinstance(content, dict) and "items" in content:
        content, prefix = content["items"], "items"
    else:
        content, prefix = content if isinstance(content, list) else [content], ""
    if not isinstance(content, list):
        raise DataError(str(file), "items: is not a list")
    for i, item in enumerate(content):
        where = f"{prefix}[{i}]"
        found = item.get("kind", kind) if isinstance(item, dict) else type(item).__name__
        if found != kind:
            raise DataError(str(file), f"{where}: is a {found}, not a {kind}")
        metadata = item.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if not isinstance(name, str) or not name:
            raise DataError(str(file), f"{where}.metadata.name: is missing")
        where = f"{where} ({name})"
        _check(str(file), where, item, SHAPES[kind])
        yield where, item


def _content(file: Path) -> Any:
    with open_text(file) as stream:
        try:
            return json.load(stream)
        except json.JSONDecodeError as error:
            message = f"is no JSON: {error.msg} at column {error.colno}"
            raise DataError(str(file), message, error.lineno) from error
        except RecursionError as error:
            raise DataError(str(file), "is nested too deeply to be of Kubernetes") from error
        except ValueError as error:
            raise DataError(str(file), "holds a number of too many digits") from error


def _check(file: str, where: str, found: object, shape: Shape) -> None:
    """Whether something, if it is there, has a shape."""
    if found is None:
        return
    wanted = shape if isinstance(shape, type) else type(shape)
    if not isinstance(found, wanted):
        raise DataError(file, f"{where}: {_short(found)} is not {_NAMES[wanted]}")
    if isinstance(found, list):
        for i, one in enumerate(found):
            if one is None:
                raise DataError(file, f"{where}[{i}]: is null")
            _check(file, f"{where}[{i}]", one, shape[0])
    elif isinstance(found, dict) and isinstance(shape, dict):
        for key, inner in shape.items():
            _check(file, f"{where}.{key}", found.get(key), inner)


def _short(found: object) -> str:
    text = json.dumps(found)
    return text if len(text) <= 40 else f"{text[:36]} ..."


class Unmodelled:
    """What pods ask for beside what placing knows: they are placed without it, which is said."""

    def __init__(self) -> None:
        self._by: dict[str, list[str]] = {}

    def look(self, key: str, spec: Mapping[str, Any], resources: Mapping[str, None]) -> None:
        """Note what the pod ``key`` asks for; ``resources`` are those that nothing else knows."""
        for resource in resources:
            self._note(key, f"ask for {resource}, which is not modelled")
        affinity = spec.get("affinity") or {}
        if any(affinity.get(one) for one in ("podAffinity", "podAntiAffinity")):
            self._note(key, "have rules about other pods (podAffinity), which are not modelled")
        for rule in spec.get("topologySpreadConstraints") or ():
            if rule.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule":
                self._note(key, "must be spread (topologySpreadConstraints): not modelled")
        if spec.get("resourceClaims"):
            self._note(key, "claim devices (resourceClaims), which are not modelled")
        if spec.get("preemptionPolicy") == "Never":
            self._note(key, "are to preempt nobody (preemptionPolicy): they do as others do")

    def _note(self, key: str, text: str) -> None:
        keys = self._by.setdefault(text, [])
        if not keys or keys[-1] != key:
            keys.append(key)

    def notes(self) -> Iterator[tuple[list[str], str]]:
        """(pods, what is said of them), in the order of the file."""
        for text, keys in self._by.items():
            yield keys, text
