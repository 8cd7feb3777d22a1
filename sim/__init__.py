"""rackplan: does this site serve this traffic within its latency objectives and its power?

The public Python interface. Everything is imported on first use, so that ``import sim`` itself
loads nothing heavy (no NumPy, no SimPy, no Arrow)::

    import sim

    scenario = sim.load_scenario("scenarios/quickstart.yaml")
    result = sim.run_scenario(scenario, seed=1)
    result.metrics["chat.goodput_fraction"].value
    result.tables["requests"]            # a pyarrow.Table, units in the field metadata
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sim.check.scenario import Scenario as Scenario
    from sim.engine.api import Interrupted as Interrupted
    from sim.engine.api import load_scenario as load_scenario
    from sim.engine.api import run_scenario as run_scenario
    from sim.errors import RackplanError as RackplanError
    from sim.errors import ScenarioError as ScenarioError
    from sim.results.result import RunResult as RunResult

__all__ = [
    "Interrupted",
    "RackplanError",
    "RunResult",
    "Scenario",
    "ScenarioError",
    "__version__",
    "load_scenario",
    "run_scenario",
]

_HOME = {
    "load_scenario": "sim.engine.api",
    "run_scenario": "sim.engine.api",
    "Interrupted": "sim.engine.api",
    "Scenario": "sim.check.scenario",
    "RunResult": "sim.results.result",
    "RackplanError": "sim.errors",
    "ScenarioError": "sim.errors",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its home module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'sim' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
