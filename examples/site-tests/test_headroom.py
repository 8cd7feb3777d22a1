"""A test of one's own: half as much traffic again must not make the worst hundredth wait twice."""

from pathlib import Path

import sim

CHAT = Path(__file__).parent / "chat.rackplan.yaml"


def ttft_p99(rate: str) -> float:
    scenario = sim.load_scenario(CHAT, sets=[f"workload[chat].rate={rate}"])
    value = sim.run_scenario(scenario).metrics["chat.ttft_p99"].value
    assert value is not None
    return value


def test_a_busy_day_is_not_twice_as_slow() -> None:
    assert ttft_p99("90 /s") < 2 * ttft_p99("60 /s")
