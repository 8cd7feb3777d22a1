"""The JSON Schema of scenario files: the shape, with every policy's kinds and parameters."""

from __future__ import annotations

import inspect
import typing
from dataclasses import MISSING, fields
from typing import Any

from sim import catalog
from sim.check.policies import DEFAULTS, parameter_schema
from sim.policies.base import ROLES, policies
from sim.spec.kinds import FOREIGN, PLACEMENT, REQUIRED
from sim.spec.scenario import ScenarioSpec
from sim.workload import synthetic_names


def scenario_schema() -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) that accepts what ``read`` accepts, and little more."""
    schema = _without_null(ScenarioSpec.model_json_schema(by_alias=True))
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "rackplan scenario"
    # What a file lacks may stand in the one that it extends.
    schema["anyOf"] = [{"required": ["extends"]}, *map(_kind, REQUIRED)]
    schema["patternProperties"] = {"^x-": {}}
    definitions = schema["$defs"]
    for role in ROLES:
        definitions[f"policy-{role}"] = _policy(role)
        for holder in ("PoliciesSpec", "PoolPoliciesSpec"):
            if role in definitions[holder]["properties"]:
                definitions[holder]["properties"][role] = {"$ref": f"#/$defs/policy-{role}"}
    definitions.pop("PolicySpec", None)
    _suggest(definitions)
    return _renamed(schema)


def _kind(kind: str) -> dict[str, Any]:
    """What a scenario of a kind must have, and what it may not."""
    needed = [*REQUIRED[kind], *(["kind", "policies"] if kind == PLACEMENT else [])]
    return {
        "properties": {"kind": {"const": kind}, **dict.fromkeys(FOREIGN[kind], False)},
        "required": needed,
    }


def _policy(role: str) -> dict[str, Any]:
    """One alternative for each kind of a role, told apart by ``kind``."""
    kinds = []
    for kind, cls in policies(role).items():
        types = typing.get_type_hints(cls)
        properties: dict[str, Any] = {"kind": {"const": kind}}
        needed = ["kind"]
        for field in fields(cls):
            properties[field.name] = parameter_schema(field, types[field.name])
            if field.default is MISSING and field.default_factory is MISSING:
                needed.append(field.name)
        kinds.append(
            {
                "type": "object",
                "description": (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " "),
                "properties": properties,
                "required": needed,
                "additionalProperties": False,
            }
        )
    return {"oneOf": kinds, "default": {"kind": DEFAULTS[role]}}


def _suggest(definitions: dict[str, Any]) -> None:
    """Names of the catalog, which editors offer; what is valid stays wider (aliases)."""
    definitions["RackSpec"]["properties"]["type"]["enum"] = list(catalog.names("rack"))
    definitions["LlmSpec"]["properties"]["name"]["enum"] = list(catalog.names("llm"))
    for key in ("precision", "kv_precision"):
        definitions["LlmSpec"]["properties"][key]["examples"] = list(catalog.names("precision"))
    definitions["PoolSpec"]["properties"]["gpu"]["examples"] = list(catalog.names("gpu"))
    definitions["MeasuredSpec"]["properties"]["name"]["enum"] = list(catalog.names("measured"))
    definitions["SwitchSpec"]["properties"]["name"]["enum"] = list(catalog.names("switch"))
    definitions["SourceSpec"]["properties"]["name"]["enum"] = list(synthetic_names())
    source = definitions["WorkloadSpec"]["properties"]["source"]
    source["anyOf"] = [{"enum": list(synthetic_names())}, *source["anyOf"][1:]]


def _without_null(node: Any) -> Any:
    """Optional parts are left out rather than null, so an editor need not offer null."""
    if isinstance(node, list):
        return [_without_null(item) for item in node]
    if not isinstance(node, dict):
        return node
    clean = {
        key: _without_null(value)
        for key, value in node.items()
        if not (key == "default" and value is None)
        and not (key == "title" and isinstance(value, str))
    }
    choices = clean.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices and len(choices) == 2:
        kept = next(choice for choice in choices if choice != {"type": "null"})
        clean.pop("anyOf")
        clean = {**kept, **clean}
    return clean


def _renamed(schema: dict[str, Any]) -> dict[str, Any]:
    """Definitions named by what they are in the file (``pool``), not by our classes."""
    names = {name: name.removesuffix("Spec").lower() for name in schema["$defs"]}

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            return [walk(item) for item in node]
        if not isinstance(node, dict):
            return node
        return {
            key: f"#/$defs/{names[value.rpartition('/')[2]]}" if key == "$ref" else walk(value)
            for key, value in node.items()
        }

    renamed: dict[str, Any] = walk(schema)
    renamed["$defs"] = {names[name]: value for name, value in renamed["$defs"].items()}
    return renamed
