"""The ``policies`` section against the policies that are registered."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from sim.check.collector import Collector
from sim.errors import RackplanError, did_you_mean
from sim.policies.base import ROLES, policies
from sim.spec.nodes import Path, shorten, show
from sim.spec.policies import PolicySpec
from sim.spec.quantity import read_quantity
from sim.spec.types import Quantity
from sim.spec.wording import unknown_key
from sim.spec.wording import whole as whole_number
from sim.units import UnitError

#: What runs where a scenario says nothing.
DEFAULTS: Mapping[str, str] = {
    "placement": "topology-aware",
    "routing": "least-outstanding-tokens",
    "batching": "chunked-prefill",
    "power": "none",
    "paths": "rail",
}
#: What a kind is called elsewhere.
HABITS: Mapping[str, Mapping[str, str]] = {
    "placement": {
        "binpack": "topology-aware",
        "spread": "failure-domain-aware",
        "anti-affinity": "failure-domain-aware",
        "affinity": "locality",
        "power": "power-aware",
        "default": "topology-aware",
    },
    "routing": {
        "rr": "round-robin",
        "least-loaded": "least-outstanding-requests",
        "least-connections": "least-outstanding-requests",
        "least-request": "least-outstanding-requests",
        "p2c": "power-of-two",
        "cache-aware": "prefix-aware",
        "cache_aware": "prefix-aware",
        "prefix": "prefix-aware",
        "prefixaware": "prefix-aware",
        "kvaware": "prefix-aware",
        "session": "session-affinity",
        "sticky": "session-affinity",
        "consistent-hash": "session-affinity",
        "consistent-hashing": "session-affinity",
        "chwbl": "session-affinity",
        "slo": "slo-aware",
        "power": "power-aware",
    },
    "batching": {
        "continuous": "chunked-prefill",
        "inflight": "prefill-first",
        "vllm": "chunked-prefill",
    },
    "power": {
        "unlimited": "none",
        "off": "none",
        "static": "static-clock",
        "power-cap": "static-cap",
        "powercap": "static-cap",
        "power-limit": "static-cap",
    },
    "paths": {
        "pxn": "rail",
        "rail-optimised": "rail",
        "hash": "ecmp",
        "least-loaded": "adaptive",
        "adaptive-routing": "adaptive",
        "static": "shortest",
        "spray": "random",
    },
}


def check_policies(found: Collector) -> dict[str, Any]:
    """Role → policy object; a role whose entry is wrong is left out."""
    chosen: dict[str, Any] = {}
    for role in ROLES:
        path: Path = ("policies", role)
        if ("policies",) in found.document.failed or path in found.document.failed:
            continue
        spec = getattr(found.document.spec.policies, role)
        policy = policies(role)[DEFAULTS[role]]() if spec is None else make(role, spec, path, found)
        if policy is not None:
            chosen[role] = policy
    return chosen


def make(role: str, spec: PolicySpec, path: Path, found: Collector) -> Any | None:
    """The policy object that ``spec`` describes, or None (and problems) where it describes none."""
    cls = known_kind(role, spec.kind, (*path, "kind"), found)
    if cls is None:
        return None
    known = {field.name: field for field in fields(cls)}
    types = typing.get_type_hints(cls)
    arguments: dict[str, Any] = {}
    whole = True
    written = found.document.root.at(path)
    for key in () if written is None or not isinstance(written.value, Mapping) else written.value:
        if key != "kind" and key not in known:
            value = spec.parameters.get(key)
            # A habit of one section leads to the same words wherever a policy stands.
            message = unknown_key(("policies", role, key), value, ["kind", *known])
            found.error((*path, key), message, key=True)
            whole = False
    for key, value in spec.parameters.items():
        here = (*path, key)
        if key not in known:
            continue
        try:
            arguments[key] = parameter(known[key], types[key], value)
        except UnitError as error:
            found.caught(here, error)
            whole = False
    for name, field in known.items():
        if (
            name not in spec.parameters
            and field.default is MISSING
            and field.default_factory is MISSING
        ):
            found.error(path, f"policy {spec.kind!r} needs its parameter {name!r}")
            whole = False
    if not whole:
        return None
    try:
        return cls(**arguments)
    except (RackplanError, ValueError) as error:
        message = str(error).splitlines()[0]
        blamed = message.partition(" ")[0]
        found.error((*path, blamed) if blamed in arguments else path, message)
        return None


def known_kind(role: str, kind: str, path: Path, found: Collector) -> type[Any] | None:
    """The class of this kind of policy, or None (and a problem)."""
    cls = policies(role).get(kind)
    if cls is None:
        found.error(path, _unknown_kind(role, kind))
    return cls


def _unknown_kind(role: str, kind: str) -> str:
    kinds = tuple(policies(role))
    instead = HABITS[role].get(kind.lower())
    hint = f" (did you mean {instead!r}?)" if instead else did_you_mean(shorten(kind, 100), kinds)
    return f"unknown {role} policy {show(kind)}{hint}"


def parameter(field: Field[Any], kind: Any, value: Any) -> Any:
    """The value of a policy's parameter.

    A field may state ``metadata={"dimension": "time"}``; a float without one takes a number or a
    percentage.

    Raises:
        UnitError: not a value of that type or dimension.
    """
    dimension = field.metadata.get("dimension")
    if dimension is not None:
        return read_quantity(value, dimension)
    if kind is bool:
        if isinstance(value, bool):
            return value
        raise UnitError(f"expected true or false, not {show(value)}")
    if kind is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise UnitError(whole_number(value))
    if kind is float:
        return read_quantity(value, "fraction")
    if kind == tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return tuple(value)
        raise UnitError(f"expected a list of words such as [rack, node], not {show(value)}")
    if isinstance(value, str):
        return value
    raise UnitError(f"expected text, not {show(value)}")


def parameter_schema(field: Field[Any], kind: Any) -> dict[str, Any]:
    """The JSON Schema of a policy's parameter."""
    if "dimension" in field.metadata:
        schema = Quantity(field.metadata["dimension"]).schema()
    elif kind in (bool, int):
        schema = {"type": "boolean" if kind is bool else "integer"}
    elif kind is float:
        schema = Quantity("fraction").schema()
    elif kind == tuple[str, ...]:
        schema = {"type": "array", "items": {"type": "string"}}
    else:
        schema = {"type": "string"}
    if field.default is not MISSING:
        default = field.default
        schema["default"] = list(default) if isinstance(default, tuple) else default
    return schema
