"""Whether a site has the GPUs that its pools need together."""

from __future__ import annotations

from collections.abc import Mapping

from sim import catalog
from sim.check.collector import Collector
from sim.check.fleets import Peak
from sim.check.stock import GpuStock
from sim.errors import UnknownName
from sim.spec.nodes import Path
from sim.spec.pools import PoolSpec


def lacking(found: Collector, have: Mapping[str, GpuStock], moment: Mapping[str, Peak]) -> bool:
    """Whether replicas together need more GPUs than there are, of a type or in all; told if so.

    ``moment``: how many there are of each pool, and what brought them. A pool whose degrees cannot
    be is not counted up: its need is not meant either.
    """
    degrees = ("tensor_parallel", "pipeline_parallel")
    specs = [
        (i, _at(spec, moment))
        for i, spec in enumerate(found.document.spec.pools)
        if spec is not None and not any(found.blames(("pools", i, key)) for key in degrees)
    ]
    site = sum(kind.count for kind in have.values())
    demands: list[tuple[str, int, list[tuple[int, PoolSpec]]]] = [("", site, specs)]
    for name, kind in have.items():
        bound = [(i, spec) for i, spec in specs if spec.gpu is not None and _is(spec.gpu, name)]
        demands.append((f" {name}", kind.count, bound))
    for name, count, bound in demands:
        needed = sum(gpus_of(spec) for _, spec in bound)
        if needed > count:
            path: Path = ("pools", bound[0][0], "replicas") if len(bound) == 1 else ("pools",)
            found.error(
                _blamed(bound, moment) or path,
                f"{in_words(bound)} need {needed:,} GPUs, but the site has {count:,}{name}",
            )
            return True
    for i, spec in specs:
        kinds = [kind for name, kind in have.items() if spec.gpu is None or _is(spec.gpu, name)]
        if _groups(i, spec, kinds, _blamed([(i, spec)], moment), found):
            return True
    return False


def _at(spec: PoolSpec, moment: Mapping[str, Peak]) -> PoolSpec:
    """The pool as large as it is then."""
    if spec.name not in moment:
        return spec
    return spec.model_copy(update={"replicas": moment[spec.name].replicas})


def _blamed(bound: list[tuple[int, PoolSpec]], moment: Mapping[str, Peak]) -> Path | None:
    """What in the file brings replicas to one of these pools, after its beginning."""
    paths = [moment[spec.name].path for _, spec in bound if spec.name in moment]
    return max((path for path in paths if path), key=lambda path: path[:2], default=None)


def _groups(
    i: int, spec: PoolSpec, kinds: list[GpuStock], path: Path | None, found: Collector
) -> bool:
    """NVLink domains can leave GPUs over that no group of this size can use; whether they do."""
    size = spec.tensor_parallel
    groups = sum(kind.groups(size) for kind in kinds)
    needed = spec.replicas * spec.pipeline_parallel
    if not 0 < groups < needed:
        return False
    found.error(
        path or ("pools", i, "tensor_parallel"),
        f"{needed:,} groups of {size} GPUs are needed, but NVLink domains of "
        f"{max(kind.width for kind in kinds)} hold {groups:,} of them in all",
    )
    return True


def _is(gpu: str, name: str) -> bool:
    try:
        return catalog.canonical_gpu(gpu) == name
    except UnknownName:
        return False


def gpus_of(spec: PoolSpec) -> int:
    """GPUs of all its replicas."""
    return spec.replicas * spec.tensor_parallel * spec.pipeline_parallel


def in_words(bound: list[tuple[int, PoolSpec]]) -> str:
    """``24 replicas x 4 GPUs (chat) + 8 replicas x 2 GPUs (code)``."""
    return " + ".join(
        f"{spec.replicas:,} replicas x {spec.tensor_parallel * spec.pipeline_parallel} GPUs"
        f" ({spec.name})"
        for _, spec in bound
    )
