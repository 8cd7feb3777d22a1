"""``workload.path``: what it sums up to, and what it makes senseless."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sim.check.schema import scenario_schema
from sim.workload.plan import UserPath
from tests.unit.check.test_check import checked, refusal, workload

PATH = [
    {"kind": "network", "latency": "20 ms"},
    {"kind": "gateway", "latency": "1 ms", "per_request": "2 ms"},
    {"kind": "container", "per_request": "500 us"},
]


def test_a_path_sums_up() -> None:
    [chat] = checked(workload=workload(path=PATH)).workloads
    assert chat.path.kinds == ("network", "gateway", "container")
    assert chat.path.egress_s == 0.02 + 0.001
    assert chat.path.ingress_s == (0.02 + 0.001) + (0.002 + 0.0005)


@pytest.mark.parametrize("changes", [{}, {"path": []}])
def test_without_one_users_are_at_the_pool(changes: dict[str, Any]) -> None:
    scenario = checked(workload=workload(**changes))
    assert scenario.workloads[0].path == UserPath()
    assert "path" not in scenario.resolved["workload"][0]


def test_the_canonical_tree_has_it() -> None:
    resolved = checked(workload=workload(path=PATH[:1])).resolved
    assert json.loads(json.dumps(resolved))["workload"][0]["path"] == {
        "kinds": ["network"], "ingress_s": 0.02, "egress_s": 0.02,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        (
            {"slo": {"ttft": "40 ms"}},
            "workload[chat].slo.ttft: no request can meet it: its path alone takes 40.0 ms to the "
            "pool and back",
        ),
        (
            {"slo": {"e2e": "30 ms"}},
            "workload[chat].slo.e2e: no request can meet it: its path alone takes 40.0 ms to the "
            "pool and back",
        ),
        (
            {"cancel": {"after": "40 ms"}},
            "workload[chat].cancel.after: nobody waits for an answer: the path alone takes 40.0 ms "
            "to the pool and back",
        ),
    ],
)
def test_what_no_answer_can_keep_is_a_warning(changes: dict[str, Any], warning: str) -> None:
    assert warning in checked(workload=workload(path=PATH[:1], **changes)).warnings
    near = [{"kind": "network", "latency": "10 ms"}]
    assert warning not in checked(workload=workload(path=near, **changes)).warnings


def test_clients_who_are_away_do_not_come_back_at_once() -> None:
    closed = {"rate": None, "clients": 4, "think": "0 s"}
    pools = [
        {"name": "chat", "llm": "llama-3.1-70b", "tensor_parallel": 4, "replicas": 16,
         "max_queue": 2}
    ]  # fmt: skip
    given = {key: value for key, value in workload(**closed)[0].items() if value is not None}
    assert refusal(workload=[given], pools=pools)[0].startswith("workload[0].clients: clients that")
    checked(workload=[{**given, "path": PATH}], pools=pools)


def test_editors_know_it() -> None:
    schema = scenario_schema()
    way = schema["$defs"]["way"]
    assert way["required"] == ["kind"]
    assert way["properties"]["kind"]["enum"] == ["network", "gateway", "container", "wasm"]
    path = schema["$defs"]["workload"]["properties"]["path"]
    assert path["items"] == {"$ref": "#/$defs/way"}
