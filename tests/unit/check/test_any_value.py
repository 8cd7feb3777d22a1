"""Whatever stands anywhere in a scenario, it is a scenario or a list of messages; never a crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sim.check import Scenario, check
from sim.errors import ScenarioError
from sim.spec import read_text
from sim.spec.loader import compose

BASE = Path(__file__).resolve().parents[2] / "broken" / "common" / "base.yaml"
#: Beside what base.yaml has: parts that few scenarios write.
MORE = {
    "price": {"electricity": "80 USD/MWh"},
    "record": {"level": "sampled", "every": 10},
    "fabric": {
        "kind": "leaf-spine",
        "nic": "400 Gb/s",
        "oversubscription": 3,
        "cables": 1,
        "switch": {"name": "qm9700", "radix": 64, "port": "400 Gb/s", "latency": "1 us"},
    },
    "policies": {
        "paths": {"kind": "ecmp", "queue_pairs": 4},
        "batching": {"kind": "static", "max_sequences": 8, "memory_utilisation": 0.8},
    },
}
WORKLOADS = [
    {"name": "closed", "pool": "chat", "clients": 4, "think": "1 s", "priority": 2,
     "source": {"input_tokens": 10, "output_tokens": 5}, "timeout": "10 s",
     "cancel": {"after": "5 s", "fraction": 0.5}},
    {"name": "bursty", "pool": "chat", "rate": "1 /s", "source": "synthetic-code",
     "burstiness": {"on": "1 s", "off": "2 s"}, "profile": [{"from": "1 h", "times": 2}]},
    {"name": "replayed", "pool": "chat",
     "trace": {"file": "good.csv", "start": "0 s", "time_scale": 2, "loop": True}},
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 3, 16, 10**7, 2**62, 0.0, 0.5, 1e-300, 1e300, "", "x", "8", "\0",
    "1 s", "1 ns", "1e300 s", "-1 s", "24 h", "10 kW", "1 mW", "1e-300 W", "1e300 W", "5 /s",
    "1e12 /s", "1e-300 /s", "50 %", "1000 %", "../..", "/dev/zero", ".", "chat", "none", "fp4",
    "int4", "deepseek-v3", "gpt-oss-20b", "gb200-nvl72", "l4", "utility", "ups-a", "random", "2N",
    [], {}, [None], [{}], [1, 2], {"kind": "random"}, {"a": None}, "-5 USD/MWh", "a" * 300,
    "power[utility].headroom_w >= -5 kW",
]  # fmt: skip


def tree() -> dict[str, Any]:
    sound: dict[str, Any] = compose(BASE.read_text(encoding="utf-8"), "base.yaml")[0].plain()
    return {**sound, **MORE, "workload": [*sound["workload"], *WORKLOADS]}


def places(part: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    below = part.items() if isinstance(part, dict) else enumerate(part)
    found = []
    for key, value in below:
        found.append((*path, key))
        if isinstance(value, (dict, list)):
            found += places(value, (*path, key))
    return found


def test_the_tree_itself_is_sound() -> None:
    document = read_text(json.dumps(tree()), folder=BASE.parent)
    assert isinstance(check(document), Scenario)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(places(tree())), st.sampled_from(VALUES))
def test_any_value_anywhere_is_taken_or_refused(path: tuple[Any, ...], value: Any) -> None:
    changed = json.loads(json.dumps(tree()))
    part = changed
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    try:
        check(read_text(json.dumps(changed), folder=BASE.parent))
    except ScenarioError as error:
        for problem in error.problems:
            assert problem.message
            assert "\n" not in problem.message
            assert problem.mark.line
