"""Which nodes a Kubernetes pod may run on: selector, required node affinity, taints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: Taints of these effects keep pods away that do not tolerate them.
_KEEPS_AWAY = ("NoSchedule", "NoExecute")


def may_run(spec: Mapping[str, Any], name: str, labels: Mapping[str, str], taints: Any) -> bool:
    """Whether a pod's spec admits a node.

    Raises:
        ValueError: an operator that Kubernetes does not have.
    """
    wanted = spec.get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    if not _affine(spec, name, labels):
        return False
    tolerations = spec.get("tolerations") or ()
    return all(
        any(_tolerates(toleration, taint) for toleration in tolerations)
        for taint in taints
        if taint.get("effect") in _KEEPS_AWAY
    )


def what_counts(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a pod's spec that ``may_run`` looks at."""
    required = _required(spec)
    return {
        "nodeSelector": spec.get("nodeSelector") or {},
        "affinity": {"nodeAffinity": {_REQUIRED: required}} if required else {},
        "tolerations": spec.get("tolerations") or [],
    }


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def _required(spec: Mapping[str, Any]) -> Any:
    node = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return node.get(_REQUIRED)


def _affine(spec: Mapping[str, Any], name: str, labels: Mapping[str, str]) -> bool:
    required = _required(spec)
    if not required:
        return True
    return any(
        (term.get("matchExpressions") or term.get("matchFields"))
        and all(_matches(rule, labels) for rule in term.get("matchExpressions") or ())
        and all(_matches(rule, {"metadata.name": name}) for rule in term.get("matchFields") or ())
        for term in required.get("nodeSelectorTerms") or ()
    )


def _matches(rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator, values = rule.get("key", ""), rule.get("operator"), rule.get("values") or ()
    found = labels.get(key)
    if operator == "In":
        return found in values
    if operator == "NotIn":
        return found not in values
    if operator == "Exists":
        return found is not None
    if operator == "DoesNotExist":
        return found is None
    if operator in ("Gt", "Lt"):
        return _compares(found, operator, values)
    raise ValueError(f"operator {operator!r} is none of In, NotIn, Exists, DoesNotExist, Gt and Lt")


def _compares(found: str | None, operator: str, values: Sequence[str]) -> bool:
    try:
        number, bound = int(found or ""), int(values[0])
    except (ValueError, IndexError):
        return False  # as Kubernetes: a label that is no whole number matches nothing
    return number > bound if operator == "Gt" else number < bound


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    effect = toleration.get("effect")
    if effect and effect != taint.get("effect"):
        return False
    key = toleration.get("key")
    if not key:
        return toleration.get("operator") == "Exists"
    if key != taint.get("key"):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return (toleration.get("value") or "") == (taint.get("value") or "")
