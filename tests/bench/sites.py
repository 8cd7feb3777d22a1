"""Scenarios that benches run: a site that scales with its replicas, and traffic at a given load."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sim

GPUS_PER_RACK = 32
RACKS_PER_ROW = 8
#: Nameplate of a dgx-h100-4 rack.
RACK_KW = 41.3

#: The rate that one replica can just serve: what ``test_saturation`` finds, rounded. Beyond it one
#: low-priority request in a hundred waits for more than a second.
SATURATION_PER_S = {("llama-3.1-70b", 8): 15.5, ("llama-3.1-8b", 1): 30.2}


@dataclass(frozen=True)
class Bench:
    """One scenario to be measured: ``replicas`` of an LLM at ``load`` (of saturation)."""

    replicas: int
    load: float = 0.7
    llm: str = "llama-3.1-70b"
    tensor_parallel: int = 8
    routing: str = "least-outstanding-tokens"
    max_queue: int | None = None
    shared_prefix: bool = False
    protected: bool = False  # six levels, with a breaker at each and overload tables of UPSs

    @property
    def rate_per_s(self) -> float:
        """Requests per second to the whole site."""
        return self.load * self.replicas * SATURATION_PER_S[self.llm, self.tensor_parallel]

    def duration_s(self, requests: int) -> float:
        """How long so many requests take to arrive."""
        return requests / self.rate_per_s

    def scenario(self, duration_s: float, record: dict[str, str] | None = None) -> sim.Scenario:
        """The checked scenario; ``record`` is its section, summaries only unless given."""
        content = self._content(duration_s, record or {"level": "summary"})
        with TemporaryDirectory() as folder:
            file = Path(folder) / "bench.yaml"
            file.write_text(json.dumps(content), encoding="utf-8")
            return sim.load_scenario(file)

    def _content(self, duration_s: float, record: dict[str, str]) -> dict[str, Any]:
        pool: dict[str, Any] = {
            "name": "chat", "llm": self.llm, "tensor_parallel": self.tensor_parallel,
            "replicas": self.replicas,
        }  # fmt: skip
        if self.max_queue is not None:
            pool["max_queue"] = self.max_queue
        racks = math.ceil(self.replicas * self.tensor_parallel / GPUS_PER_RACK)
        return {
            "rackplan": 1,
            "name": "bench",
            "duration": f"{duration_s} s",
            "warm_up": f"{duration_s / 10} s",
            "drain": "1 min",
            "record": record,
            "site": {"halls": [{"name": "hall", "rows": _rows(racks)}]},
            "power": _protected(_power(racks)) if self.protected else _power(racks),
            "llms": [{"name": self.llm, "precision": "fp8", "kv_precision": "fp8"}],
            "pools": [pool],
            "workload": [
                self._workload(
                    "interactive", 0.8, "high", "30 s", {"ttft": "2 s", "tpot": "60 ms"}
                ),
                self._workload("background", 0.2, "low", "2 min", {"e2e": "2 min"}),
            ],
            "policies": {"routing": {"kind": self.routing}},
        }

    def _workload(
        self, name: str, share: float, priority: str, timeout: str, slo: dict[str, str]
    ) -> dict[str, Any]:
        workload: dict[str, Any] = {
            "name": name, "pool": "chat", "source": "synthetic-chat",
            "rate": f"{share * self.rate_per_s} /s", "priority": priority, "timeout": timeout,
            "slo": slo,
        }  # fmt: skip
        if self.shared_prefix:
            workload["shared_prefix"] = {"prompts": 200, "tokens": 1024}
        return workload


def _rows(racks: int) -> list[dict[str, Any]]:
    """Rows of eight racks, the last one with what is left."""
    return [
        {
            "name": f"row-{row + 1}",
            "racks": [
                {"type": "dgx-h100-4", "count": min(RACKS_PER_ROW, racks - row * RACKS_PER_ROW)}
            ],
        }
        for row in range(math.ceil(racks / RACKS_PER_ROW))
    ]


def _power(racks: int) -> dict[str, Any]:
    """2N: pairs of UPSs and of PDUs, each half loaded; budgets below the ratings."""
    pairs = math.ceil(racks * RACK_KW / 2000)
    ups_kw = racks * RACK_KW / pairs * 1.1
    row_kw = min(racks, RACKS_PER_ROW) * RACK_KW
    return {
        "utility": {"budget": f"{racks * 36} kW"},
        "ups": [
            {"name": f"ups-{n + 1}", "rating": f"{ups_kw} kW", "budget": f"{ups_kw / 2} kW"}
            for n in range(2 * pairs)
        ],
        "pdus": {
            "per_row": 2, "rating": f"{1.1 * row_kw} kW", "budget": f"{row_kw / 2} kW",
            "redundancy": "2N",
        },
    }  # fmt: skip


def _protected(power: dict[str, Any]) -> dict[str, Any]:
    """The same with switchboards, breakers at every level and UPSs that know their sheet."""
    ups = [
        {**one, "product": "galaxy-vxl", "battery": "5 min", "breaker": "mccb"}
        for one in power["ups"]
    ]
    site_w = float(power["utility"]["budget"].split()[0])
    return {
        "utility": {**power["utility"], "rating": f"{2 * site_w} kW", "breaker": "msb"},
        "msbs": [
            {"name": f"msb-{side}", "rating": f"{2 * site_w} kW", "breaker": "msb"} for side in "ab"
        ],
        "ups": ups,
        "pdus": {**power["pdus"], "breaker": "rpp"},
        "racks": {"breaker": {"preset": "mccb", "rating": f"{2 * RACK_KW} kW"}},
    }
