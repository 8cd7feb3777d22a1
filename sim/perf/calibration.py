"""Reads the constants of ``data/calibration`` into frozen rows.

Each file carries the record of how its numbers were found; the numbers themselves are floats in
SI units, keyed by GPU. A GPU without constants of its own takes those of the one that ``transfer``
names, else of ``transfer.default``: an assumption, marked as such in the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from sim.catalog.types import Gpu
from sim.errors import DataError
from sim.paths import data
from sim.perf.constants import (
    ClockCurve,
    DrawConstants,
    DrawErrors,
    MemoryConstants,
    Overheads,
)
from sim.perf.gemm import Device, GemmConstants

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KERNELS = ("calibration", "kernels.yaml")
_SERVING = ("calibration", "serving.yaml")
_POWER = ("calibration", "power.yaml")


def device(gpu: Gpu, precision: str, dtype: str | None = None) -> Device:
    """The GPU as the matrix-product model sees it, with the peak of ``precision``.

    Its tiles are those of the GPU whose constants it takes, as both were fitted together; ``dtype``
    names constants other than those of the precision.
    """
    tree = read_tree(*_KERNELS)
    l2 = float(_pick(tree, "l2_bytes", gpu.name))
    owner, kind = gemm_owner(gpu.name, dtype or precision)
    library = tree["gemm_tiles"][owner]
    splits = (1,) if kind in library["unsplit"] else library["splits"]
    return Device(
        gpu.peak_flops[precision],
        gpu.memory_bandwidth_bytes_per_s,
        gpu.sms,
        l2,
        tuple((float(rows), float(columns)) for rows, columns in library["tiles"]),
        tuple(float(split) for split in splits),
    )


def gemm_owner(gpu: str, precision: str) -> tuple[str, str]:
    """GPU and data type whose constants of matrix products this GPU uses, its own if it has them.

    Raises:
        DataError: neither this GPU nor the one that it transfers from has constants of this
            precision or of the one that ``precision_like`` names.
    """
    tree = read_tree(*_KERNELS)
    kind = str(tree["precision_like"].get(precision, precision))
    for name in _candidates(tree, gpu):
        if kind in tree["gemm"].get(name, {}):
            return name, kind
    raise DataError("/".join(_KERNELS), f"no GEMM constants for {precision} to give {gpu}")


def gemm_dtype(gpu: str, precision: str, block_scaled: bool) -> str:
    """Data type whose constants a product takes; weights with a scale per block may have others.

    Only on the GPUs of ``block_scaled`` in the file is the kernel for such weights another one.
    """
    if not block_scaled:
        return precision
    return str(read_tree(*_KERNELS)["block_scaled"].get(gpu, precision))


def gemm_constants(gpu: str, precision: str) -> GemmConstants:
    """Constants of matrix products of this GPU, else of the one that it transfers from.

    Raises:
        DataError: as ``gemm_owner``.
    """
    name, kind = gemm_owner(gpu, precision)
    row = read_tree(*_KERNELS)["gemm"][name][kind]
    return read_row(GemmConstants, row, _KERNELS, f"gemm.{name}.{kind}")


def gemm_dtypes(gpu: str) -> tuple[str, ...]:
    """Data types with constants of this GPU's own."""
    return tuple(read_tree(*_KERNELS)["gemm"].get(gpu, ()))


def overheads() -> Overheads:
    """The pooled overheads of serving engines."""
    return read_row(Overheads, read_tree(*_SERVING)["overheads"], _SERVING, "overheads")


def memory_constants() -> MemoryConstants:
    """What a GPU holds besides weights and KV."""
    return read_row(MemoryConstants, read_tree(*_SERVING)["memory"], _SERVING, "memory")


def draw_constants(gpu: str) -> DrawConstants:
    """Constants of the draw of this GPU."""
    return read_row(DrawConstants, _pick(read_tree(*_POWER), "draw", gpu), _POWER, "draw")


def draw_errors(gpu: str) -> DrawErrors:
    """How far off the draw is of LLMs that its fit had not seen, on the GPU it was fitted to.

    A GPU without constants of its own has the larger error of those that have some: its own was
    never measured.
    """
    table = read_tree(*_POWER)["held_out"]
    rows = [
        read_row(DrawErrors, row, _POWER, f"held_out.{name}")
        for name, row in table.items()
        if name == gpu or gpu not in table
    ]
    return max(rows, key=lambda row: row.log_sd)


def clock_curve() -> ClockCurve:
    """Clock levels and how time and draw follow them."""
    return read_row(ClockCurve, read_tree(*_POWER)["clocks"], _POWER, "clocks")


def source_ids() -> tuple[str, ...]:
    """Ids (``data/sources.yaml``) of the measurements that every constant here was fitted to."""
    files = (_KERNELS, _SERVING, _POWER)
    return tuple(sorted({str(read_tree(*file)["record"]["source_id"]) for file in files}))


#: Every file of constants that speeds and draws of a run rest on.
_FILES = ("collectives", "kernels", "layers", "power", "serving", "stacks")


@lru_cache(maxsize=1)
def records() -> Mapping[str, Mapping[str, str]]:
    """File of constants → 16 hex digits of its SHA-256, the date of the fit, the source's id."""
    found = {}
    for name in _FILES:
        path = data("calibration", f"{name}.yaml")
        record = read_tree("calibration", path.name)["record"]
        found[f"calibration/{path.name}"] = {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest()[:16],
            "fitted": str(record["date"]),
            "source": str(record["source_id"]),
        }
    return found


@lru_cache(maxsize=8)
def read_tree(folder: str, name: str) -> Mapping[str, Any]:
    """A file of ``data/`` as it stands.

    Raises:
        DataError: it cannot be read, or is no mapping.
    """
    path = data(folder, name)
    try:
        with path.open(encoding="utf-8") as file:
            tree = yaml.load(file, Loader=_LOADER)
    except (OSError, yaml.YAMLError) as error:
        raise DataError(str(path), f"cannot be read: {error}") from error
    if not isinstance(tree, dict):
        raise DataError(str(path), "must be a mapping")
    return tree


def _candidates(tree: Mapping[str, Any], gpu: str) -> tuple[str, ...]:
    """The GPU itself, the one it takes its constants from, the default."""
    transfer = tree["transfer"]
    return (gpu, str(transfer.get(gpu, transfer["default"])), str(transfer["default"]))


def _pick(tree: Mapping[str, Any], section: str, gpu: str) -> Any:
    table = tree[section]
    return table[next(name for name in _candidates(tree, gpu) if name in table)]


def read_row(kind: type[Row], values: Mapping[str, Any], file: tuple[str, ...], where: str) -> Row:
    """``kind`` from a mapping with exactly its fields, all numbers or lists of numbers.

    Raises:
        DataError: a field is missing, unknown or not a number.
    """
    place = "/".join(file)
    names = [field.name for field in fields(kind)]
    wrong = sorted(set(names) ^ set(values))
    if wrong:
        raise DataError(place, f"{where}: keys missing or unknown: {', '.join(wrong)}")
    try:
        parsed = {
            name: tuple(map(float, value)) if isinstance(value, list) else float(value)
            for name, value in values.items()
        }
    except (TypeError, ValueError) as error:
        raise DataError(place, f"{where}: {error}") from error
    return kind(**parsed)
