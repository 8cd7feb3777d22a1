"""From a file of measurements to constants: what ``rackplan calibrate fit`` does.

Every family gets a roofline; bf16 products of a GPU that the catalog knows get the constants of
``sim.perf.gemm`` as well. Fitted are the cold timings of kernels during which the clock was that of
the start. What is written is a YAML file with the record of the fit: ``sim.perf.own`` reads it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

import sim
from sim.calibrate.folds import Errors
from sim.calibrate.gemm_form import GemmFit, fit_gemm
from sim.calibrate.read import Calibration, Timed
from sim.calibrate.record import now
from sim.calibrate.roofline import LEAST_ROWS, FamilyFit, fit_family
from sim.catalog.library import load
from sim.errors import RackplanError, UnknownName
from sim.perf.calibration import device, gemm_constants
from sim.perf.own import VERSION

CASE = "cold"
METHOD = (
    "least squares of ln(predicted/measured) with a soft-L1 loss within physical bounds; errors "
    "are of shapes held out whole, in five folds; cold timings at the clock of the start"
)


@dataclass(frozen=True)
class Fitted:
    """Everything that was made of one file."""

    file: Calibration
    gpu: str | None  # in the catalog
    families: tuple[FamilyFit, ...]
    gemm: GemmFit | None
    left_out: tuple[str, ...]  # what was not fitted, and why


def fit(
    file: Calibration, gpu: str | None = None, progress: Callable[[str], None] = lambda text: None
) -> Fitted:
    """Fits all families of a file.

    Args:
        file: the measurements.
        gpu: name in the catalog; else it is looked for by the name that the device gave itself.
        progress: told of each step.

    Raises:
        UnknownName: ``gpu`` is not in the catalog.
        RackplanError: nothing could be fitted.
    """
    name = _catalog_gpu(file, gpu)
    groups: dict[tuple[str, str], list[Timed]] = {}
    left_out = Counter[str]()
    for timed in file.timed:
        if timed.drifted:
            left_out["kernels timed at another clock than that of the start"] += 1
        else:
            groups.setdefault(timed.kernel.family, []).append(timed)
    families, few = [], []
    for (kind, dtype), group in sorted(groups.items()):
        found = fit_family(*_columns(group))
        if found is None:
            few.append(f"{kind} {dtype}: {len(group)} kernels, a roofline needs {LEAST_ROWS}")
        else:
            families.append(found)
    notes = [f"{count} {what}" for what, count in left_out.items()] + few
    gemm: GemmFit | str
    if name is None:
        gemm = f"{file.identity.name} is no GPU of the catalog: --gpu names the one it is"
    else:
        group = groups.get(("gemm", "bf16"), [])
        here = device(load().gpus[name], "bf16")
        gemm = fit_gemm(*_columns(group), here, gemm_constants(name, "bf16"), progress)
    if isinstance(gemm, str) and file.identity.kind == "gpu":
        notes.append(f"no constants of the products' form: {gemm}")
    if not families:
        raise RackplanError(f"{file.path}: nothing to fit: {'; '.join(notes) or 'no kernels'}")
    fitted = gemm if isinstance(gemm, GemmFit) else None
    return Fitted(file, name, tuple(families), fitted, tuple(notes))


def _columns(group: list[Timed]) -> tuple[list[Any], list[float]]:
    return [t.kernel for t in group], [t.cases[CASE].median for t in group]


def _catalog_gpu(file: Calibration, gpu: str | None) -> str | None:
    """The name in the catalog: as told, else what its own name is an alias of."""
    catalog = load()
    if gpu is not None:
        if file.identity.kind != "gpu":
            raise RackplanError(f"{file.path} is of a CPU, {file.identity.name}: drop --gpu")
        return catalog.canonical("gpu", gpu)
    if file.identity.kind != "gpu":
        return None
    try:
        return catalog.canonical("gpu", file.identity.name)
    except UnknownName:
        return None


def write(fitted: Fitted, path: Path) -> None:
    """Writes the constants, whole or not at all.

    Raises:
        RackplanError: it cannot be written.
    """
    text = "# Constants fitted by rackplan calibrate to this machine. SI units.\n"
    text += yaml.safe_dump(as_tree(fitted), sort_keys=False, allow_unicode=True, width=100)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(part, 0o644)
        os.replace(part, path)
    except OSError as error:
        raise RackplanError(f"{path} cannot be written: {error.strerror}") from None


def as_tree(fitted: Fitted) -> dict[str, Any]:
    """The content of the file of constants."""
    file = fitted.file
    tree: dict[str, Any] = {
        "record": {
            "version": VERSION,
            "rackplan": sim.__version__,
            "date": now(),
            "measured": file.date,
            "source": file.path.name,
            "sha256": hashlib.sha256(file.path.read_bytes()).hexdigest(),
            "device": file.identity.name,
            "driver": file.identity.driver,
            "libraries": dict(file.identity.libraries),
            "method": METHOD,
            "left_out": list(fitted.left_out),
        },
        "roofline": {},
    }
    for family in fitted.families:
        entry = {
            "constants": {k: _short(v) for k, v in asdict(family.constants).items()},
            "rows": family.rows,
            "shapes": family.shapes,
            "held_out": _errors(family.held_out),
            "in_sample": _errors(family.in_sample),
            "unsure": list(family.unsure),
        }
        tree["roofline"].setdefault(family.kind, {})[family.dtype] = entry
    if fitted.gemm is not None and fitted.gpu is not None:
        gemm = fitted.gemm
        tree["gemm"] = {
            fitted.gpu: {
                gemm.dtype: {
                    "constants": {k: _short(v) for k, v in asdict(gemm.constants).items()},
                    "rows": gemm.rows,
                    "pairs": gemm.pairs,
                    "free": gemm.free,
                    "held_out": _errors(gemm.held_out),
                    "held_out_mape_by_free": {count: _short(e) for count, e in gemm.by_free},
                    "in_sample": _errors(gemm.in_sample),
                    "shipped": _errors(gemm.shipped),
                }
            }
        }
    return tree


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _errors(errors: Errors | None) -> dict[str, float | None] | None:
    return None if errors is None else {k: _short(v) for k, v in asdict(errors).items()}
