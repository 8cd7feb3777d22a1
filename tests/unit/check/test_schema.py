"""The JSON Schema says yes to what ``check`` takes and no to common slips."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sim import paths
from sim.check.schema import scenario_schema

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = scenario_schema()


def complaints(value: Any, schema: dict[str, Any] | bool, path: str = "") -> list[str]:
    """What is wrong with ``value``: the part of JSON Schema 2020-12 that our schema uses."""
    if isinstance(schema, bool):
        return [] if schema else [f"{path}: may not be here"]
    if "$ref" in schema:
        return complaints(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], path)
    for word, enough in (("anyOf", lambda n: n >= 1), ("oneOf", lambda n: n == 1)):
        if word in schema and not enough(
            sum(not complaints(value, choice, path) for choice in schema[word])
        ):
            return [f"{path}: none of {word}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{path}: {value!r} not in {schema['enum']}"]
    if "const" in schema and value != schema["const"]:
        return [f"{path}: {value!r} is not {schema['const']!r}"]
    kinds = {
        "object": dict, "array": list, "string": str, "integer": int, "number": (int, float),
        "boolean": bool, "null": type(None),
    }  # fmt: skip
    named = schema.get("type", ())
    allowed = [kinds[name] for name in ([named] if isinstance(named, str) else named)]
    if allowed and not any(isinstance(value, kind) for kind in allowed):
        return [f"{path}: {value!r} is no {named}"]
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        return [f"{path}: {value!r} does not match"]
    if "minimum" in schema and value < schema["minimum"]:
        return [f"{path}: {value!r} is too small"]
    found: list[str] = []
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            found.append(f"{path}: {len(value)} items")
        for i, item in enumerate(value):
            found += complaints(item, schema.get("items", {}), f"{path}[{i}]")
    if isinstance(value, dict):
        found += _object(value, schema, path)
    return found


def _object(value: dict[str, Any], schema: dict[str, Any], path: str) -> list[str]:
    properties = schema.get("properties", {})
    found = [f"{path}: lacks {key}" for key in schema.get("required", ()) if key not in value]
    if len(value) > schema.get("maxProperties", len(value)):
        found.append(f"{path}: not empty")
    for key, below in value.items():
        if key in properties:
            found += complaints(below, properties[key], f"{path}.{key}")
            continue
        own = any(re.search(pattern, key) for pattern in schema.get("patternProperties", ()))
        others = schema.get("additionalProperties", True)
        if not own and others is False:
            found.append(f"{path}: unknown {key}")
        elif not own:
            found += complaints(below, others, f"{path}.{key}")
    return found


def template() -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load(paths.data("templates", "new.yaml").read_text())
    return {**tree, "name": "new"}


def test_the_schema_is_json_and_names_none_of_our_classes() -> None:
    text = json.dumps(SCHEMA)
    assert "Spec" not in text
    assert json.loads(text) == SCHEMA
    referred = set(re.findall(r"#/\$defs/([\w-]+)", text))
    assert referred == set(SCHEMA["$defs"])


@pytest.mark.parametrize("file", sorted((ROOT / "scenarios").glob("*.yaml")), ids=lambda f: f.name)
def test_shipped_scenarios_pass(file: Path) -> None:
    assert complaints(yaml.safe_load(file.read_text()), SCHEMA) == []


def test_the_template_passes() -> None:
    assert complaints(template(), SCHEMA) == []


def test_rich_forms_pass() -> None:
    tree = template()
    tree |= {
        "x-mine": {"any": "thing"},
        "record": {"level": "sampled", "every": 10, "iterations": True},
        "events": [],
        "fabric": {"kind": "leaf-spine", "nic": "400 Gb/s", "oversubscription": 3},
        "price": {"electricity": "80 USD/MWh"},
    }
    tree["workload"] += [
        {"name": "w1", "pool": "chat", "source": {"input_tokens": 10, "output_tokens": 5},
         "rate": "1 /s", "burstiness": {"cv": 2}, "profile": [{"from": "8 h", "times": 1.5}]},
        {"name": "w2", "pool": "chat", "clients": 8, "think": "1 s", "source": "synthetic-code",
         "priority": 3, "cancel": {"after": "9 s", "fraction": "10 %"}, "timeout": "1 min"},
        {"name": "w3", "pool": "chat", "trace": {"file": "t.csv", "format": "azure", "loop": True}},
    ]  # fmt: skip
    assert complaints(tree, SCHEMA) == []


def test_a_facility_passes() -> None:
    hours = {"file": "h.csv", "column": "c", "start": "2023-06-01T00:00Z", "gaps": "hold"}
    tree = template()
    tree["site"]["halls"][0]["limits"] = {"racks": 9, "rack_weight": "1.5 t", "rack_power": "50 kW"}
    tree |= {
        "cooling": {
            "plant": {"preset": "older", "air_supply": "24 C", "pumps": 0.02, "water": "0 L/kWh"},
            "weather": {
                "dry_bulb": {**hours, "unit": "C"}, "relative_humidity": "50 %",
            },
            "cdus": {"per_row": 2, "rating": "250 kW", "flow": "375 L/min", "rise": "10 K"},
            "air_capacity": "1 MW",
        },
        "carbon": {**hours, "unit": "gCO2/kWh"},
        "price": {"electricity": {**hours, "unit": "USD/MWh"}},
    }  # fmt: skip
    assert complaints(tree, SCHEMA) == []
    short = {"plant": "older", "weather": {"wet_bulb": "-3 C"}}
    assert complaints({**tree, "cooling": short, "carbon": "300 gCO2/kWh"}, SCHEMA) == []


@pytest.mark.parametrize(
    "change",
    [
        {"duration": 600},
        {"duration": "10 kW"},
        {"rackplan": 2},
        {"polices": {}},
        {"cooling": {"pue": 1.2}},
        {"cooling": {"plant": "modern"}},
        {"cooling": {"weather": {"wet_bulb": 18}}},
        {"carbon": "300 g/kWh"},
        {"carbon": {"file": "c.csv", "column": "c"}},
        {"price": {"electricity": {"file": "p.csv", "columns": "c"}}},
        {"site": {"halls": [{"name": "a", "limits": {"rack_weight": 900}, "rows": []}]}},
        {"name": "Two Words"},
        {"policies": {"routing": {"kind": "rr"}}},
        {"policies": {"batching": {"kind": "static", "max_num_seqs": 8}}},
        {"pools": [{"name": "chat", "llm": "llama-3.1-70b", "replicas": "8"}]},
        {"pools": [{"name": "chat", "replicas": 8}]},
        {"workload": [{"name": "chat", "pool": "chat", "qps": 8}]},
        {"expect": ["chat.ttft_p99 2 s"]},
    ],
)
def test_common_slips_do_not(change: dict[str, Any]) -> None:
    assert complaints({**template(), **change}, SCHEMA) != []


@pytest.mark.parametrize("share", [0.9, "0.9", "90 %", "9e1 %"])
def test_a_share_may_be_written_as_everywhere(share: object) -> None:
    policies = {"batching": {"kind": "static", "memory_utilisation": share}}
    assert complaints({**template(), "policies": policies}, SCHEMA) == []


def test_parameters_of_policies_are_described() -> None:
    kinds = {
        kind["properties"]["kind"]["const"]: kind
        for kind in SCHEMA["$defs"]["policy-batching"]["oneOf"]
    }
    chunked = kinds["chunked-prefill"]["properties"]
    assert chunked["max_batch_tokens"] == {"type": "integer", "default": 8192}
    assert all(kind["description"] for kind in kinds.values())


PLACEMENT = {
    "rackplan": 1, "kind": "placement", "name": "cluster", "nodes": "n.csv", "pods": "p.csv",
    "policies": {"placement": {"kind": "fgd"}},
}  # fmt: skip


@pytest.mark.parametrize(
    "change", [{}, {"arrival": "130 %"}, {"arrival": "list"}, {"quotas": {"a": 64}, "seed": 4}]
)
def test_a_placement_passes(change: dict[str, Any]) -> None:
    assert complaints({**PLACEMENT, **change}, SCHEMA) == []


@pytest.mark.parametrize(
    "change",
    [{"pods": 4}, {"site": {"halls": []}}, {"arrival": "all"}, {"quotas": {"a": "many"}},
     {"duration": "1 h"}, {"kind": "serving"}, {"policies": {"placement": {"kind": "fdg"}}}],
)  # fmt: skip
def test_a_placement_with_a_slip_does_not(change: dict[str, Any]) -> None:
    assert complaints({**PLACEMENT, **change}, SCHEMA) != []


def test_a_serving_scenario_has_no_list_of_pods() -> None:
    assert complaints({**template(), "pods": "p.csv"}, SCHEMA) != []
