"""Names resolved, physics and sense checked, before anything runs."""

from sim.check.checker import check
from sim.check.scenario import Expectation, LlmUse, Pool, Scenario

__all__ = ["Expectation", "LlmUse", "Pool", "Scenario", "check"]
