"""Reads the constants that ``rackplan calibrate fit`` wrote for a user's own GPU."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sim.catalog.library import load
from sim.errors import DataError, UnknownName
from sim.perf.calibration import read_row
from sim.perf.gemm import GemmConstants

VERSION = 1


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
        DataError: it cannot be read, is of another version, or has no constants of a GPU.
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
            place, f"record.version is {record['version']}; this rackplan reads {VERSION}"
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
    file = (str(path.parent), path.name)
    gemm: dict[str, GemmConstants] = {}
    held_out: dict[str, float] = {}
    for dtype, entry in by_dtype.items():
        where = f"gemm.{gpu}.{dtype}"
        gemm[dtype] = read_row(
            GemmConstants, _get(entry, "constants", place, where), file, f"{where}.constants"
        )
        held_out[dtype] = float(_get(_get(entry, "held_out", place, where), "mean", place, where))
    return OwnConstants(path, gpu, gemm, held_out, hashlib.sha256(content).hexdigest())


def _get(entry: Any, key: str, place: str, where: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise DataError(place, f"{where}: lacks {key!r}")
    return entry[key]
