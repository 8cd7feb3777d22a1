"""Names resolved, physics and sense checked, before anything runs."""

from sim.check.checker import check
from sim.check.scenario import AnyScenario, Expectation, LlmUse, Pool, Scenario

__all__ = ["AnyScenario", "Expectation", "LlmUse", "Pool", "Scenario", "check"]
