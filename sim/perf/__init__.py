"""What an iteration costs in time and power: ``StepCost``, ``StepPower``, the models behind."""

from sim.perf.replica import DoesNotFit, UnsupportedPlan, replica_model
from sim.perf.step import BLOCK_TOKENS, Batch, ReplicaModel, StepCost, StepPower

__all__ = [
    "BLOCK_TOKENS",
    "Batch",
    "DoesNotFit",
    "ReplicaModel",
    "StepCost",
    "StepPower",
    "UnsupportedPlan",
    "replica_model",
]
