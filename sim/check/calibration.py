"""The ``calibration`` section: constants of one's own, and errors of the fits that are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sim.catalog.library import load
from sim.check.collector import Collector
from sim.check.files import located_file
from sim.check.scenario import Pool
from sim.errors import DataError
from sim.perf.operators import arithmetic
from sim.perf.own import OwnConstants, own_constants
from sim.perf.sampled import Configuration, sampled
from sim.perf.stacks import POOLED
from sim.spec.nodes import shorten


def check_calibration(found: Collector) -> OwnConstants | None:
    """The constants in the file that is named, or None (and a problem if there is one)."""
    text = found.document.spec.calibration.file
    if text is None:
        return None
    path = ("calibration", "file")
    file = located_file(found, path, text, (".yaml", ".yml"))
    if file is None:
        return None
    try:
        return own_constants(file, shorten(text, 100))
    except DataError as error:
        found.error(path, " ".join(str(error).split()))
        return None


def drawn(found: Collector, pools: Mapping[str, Pool], own: OwnConstants | None) -> dict[str, Pool]:
    """The pools with the errors drawn that ``sample`` asks for; what has no effect is said."""
    sample = found.document.spec.calibration.sample
    predicted = [pool for pool in pools.values() if pool.predicted]
    ours = [pool for pool in predicted if pool.silicon is None]
    if own is not None:
        _warn_of_no_effect(found, own, [pool for pool in ours if own.gpu in pool.models])
    if sample and pools and not predicted:
        found.warn(("calibration", "sample"), "has no effect: all pools have measured steps")
    if not sample:
        return dict(pools)
    return {name: _drawn(pool, sample) if pool.predicted else pool for name, pool in pools.items()}


def _warn_of_no_effect(found: Collector, own: OwnConstants, pools: Sequence[Pool]) -> None:
    """Says where constants of one's own change nothing, or hardly anything."""
    path = ("calibration", "file")
    if not pools:
        found.warn(path, f"has no effect: no pool predicts speeds on {own.gpu}")
    for pool in pools:
        gpu = load().gpus[own.gpu]
        theirs = {a.precision for a in arithmetic(pool.llm.llm, gpu, pool.llm.precision)}
        if theirs.isdisjoint(own.gemm):
            found.warn(
                path,
                f"has constants of {', '.join(own.gemm)} products only: the layers of pool "
                f"{pool.name} compute in {', '.join(sorted(theirs))} and keep the shipped ones",
            )


def _drawn(pool: Pool, sample: int) -> Pool:
    """One pool, whose models all have the errors drawn of their class."""
    by = {
        name: Configuration(
            pool.stack or POOLED, pool.llm.llm.name, pool.llm.precision, name,
            pool.tensor_parallel, pool.pipeline_parallel, pool.expert_parallel,
            pool.data_parallel_attention,
        ).factors(sample)
        for name in pool.models
    }  # fmt: skip
    models = {
        name: sampled(model, load().gpus[name], by[name], pool.pipeline_parallel)
        for name, model in pool.models.items()
    }
    return replace(pool, models=models, drawn=by)
