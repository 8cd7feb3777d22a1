"""Reads the constants that ``rackplan calibrate fit`` wrote for a user's own GPU."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Any

import yaml

from sim.catalog.library import load
from sim.catalog.types import PRECISION_BYTES
from sim.errors import DataError, UnknownName
from sim.perf.calibration import read_row
from sim.perf.gemm import GemmConstants

VERSION = 1
#: Constants that may not be 0, as something is divided by them; and the p of the p-norm.
_POSITIVE = ("compute", "bandwidth", "gemv_n", "gemv_k")
_LEAST = {"norm": 1.0}


@dataclass(frozen=True)
class OwnConstants:
    """Constants of products of one GPU, by data type, and how well they hold.

    Attributes:
        gpu: name in the catalog.
        gemm: data type → constants.
        error: data type → mean |predicted/measured − 1| of shapes held out of the fit.
        sha256: of the file, for the record of what used it.
    """

    path: Path
    gpu: str
    gemm: Mapping[str, GemmConstants]
    error: Mapping[str, float]
    sha256: str


def own_constants(path: Path, shown: str = "") -> OwnConstants:
    """The constants of the file at ``path``, which messages call ``shown``.

    Raises:
        DataError: it cannot be read, is of another version, has no constants of a GPU, or some
            that no GPU can have.
    """
    place = shown or str(path)
    try:
        content = path.read_bytes()
        tree = yaml.safe_load(content)
    except OSError as error:
        raise DataError(place, f"cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise DataError(place, f"is not YAML: {error}") from None
    record = tree.get("record") if isinstance(tree, dict) else None
    if not isinstance(record, dict) or "version" not in record:
        raise DataError(place, "is no file of rackplan calibrate fit: it lacks record.version")
    if record["version"] != VERSION:
        raise DataError(
            place, f"record.version is {record['version']!r}; this rackplan reads {VERSION}"
        )
    table = tree.get("gemm") or {}
    if not isinstance(table, dict) or len(table) != 1:
        raise DataError(
            place,
            f"has no constants of a GPU in 'gemm' (it was fitted to {record.get('device')}); only "
            "those of a GPU of the catalog can replace the shipped ones",
        )
    ((gpu, by_dtype),) = table.items()
    if gpu not in load().gpus:
        raise DataError(place, f"gemm: {UnknownName('GPU', str(gpu), load().gpus)}")
    if not isinstance(by_dtype, dict) or not by_dtype:
        raise DataError(place, f"gemm.{gpu}: must be data types with constants, such as bf16")
    gemm: dict[str, GemmConstants] = {}
    held_out: dict[str, float] = {}
    for dtype, entry in by_dtype.items():
        where = f"gemm.{gpu}.{dtype}"
        if dtype not in PRECISION_BYTES:
            raise DataError(place, f"{where}: {UnknownName('data type', dtype, PRECISION_BYTES)}")
        constants = _get(entry, "constants", place, where)
        gemm[dtype] = _constants(constants, place, f"{where}.constants")
        mean = _get(_get(entry, "held_out", place, where), "mean", place, f"{where}.held_out")
        held_out[dtype] = _share(mean, place, f"{where}.held_out.mean")
    return OwnConstants(path, gpu, gemm, held_out, hashlib.sha256(content).hexdigest())


def _constants(entry: Any, place: str, where: str) -> GemmConstants:
    """The constants of one data type, none of which would make times that are none."""
    if not isinstance(entry, dict):
        raise DataError(place, f"{where}: must be a mapping (key: value), not {entry!r:.60}")
    found = read_row(GemmConstants, entry, (place,), where)
    for name, value in asdict(found).items():
        least = _LEAST.get(name, 0.0)
        if not least <= value < inf or (value == 0.0 and name in _POSITIVE):
            right = "above 0" if name in _POSITIVE else f"{least:g} or more"
            raise DataError(place, f"{where}.{name}: must be {right}, not {value:g}")
    if found.stairs >= 1.0:
        raise DataError(place, f"{where}.stairs: must be below 1, not {found.stairs:g}")
    return found


def _share(value: Any, place: str, where: str) -> float:
    """A relative error."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0.0 <= value < inf:
        raise DataError(place, f"{where}: must be a number from 0 on, not {value!r:.60}")
    return float(value)


def _get(entry: Any, key: str, place: str, where: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise DataError(place, f"{where}: lacks {key!r}")
    return entry[key]
