"""Writes data/calibration/collectives.yaml from measured collectives, or judges the fit.

    python tools/fit_collectives.py FOLDER_WITH_KERNEL_TABLES            # fit, and write the file
    python tools/fit_collectives.py FOLDER_WITH_KERNEL_TABLES --report   # errors out of sample

The tables: set K, the NCCL runs of PyPI aiconfigurator-core 0.12.0 (NVIDIA, Apache-2.0);
set P, nccl-tests times printed on public pages. The product reads only what is written here.
``collective_fits.py`` has the fits. Needs scipy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import collective_fits as fits
import numpy as np
import yaml
from collective_fits import Rows
from collective_report import report

from sim.paths import data

HEADER = """\
# Constants of collectives, fitted by tools/fit_collectives.py. SI units; docs/collectives.md.
"""
RECORD = {
    "source_id": "aiconfigurator-core",
    "networks_source_id": "nccl-tests-pages",
    "date": "2026-11-26",
    "source": (
        "domains: NCCL times of PyPI aiconfigurator-core 0.12.0 (NVIDIA, repository "
        "ai-dynamo/aiconfigurator), half of the shapes, all NCCL versions but 2.23 together; "
        "networks and gb200: nccl-tests times printed on public pages"
    ),
    "licence": "Apache-2.0 (aiconfigurator); pages differ (facts cited)",
    "method": (
        "soft-L1 least squares of log(predicted/measured); errors: absolute and relative, median "
        "in sample, median and 90th percentile of what was held out (every other size, in turns; "
        "of rdma whole series; of gb200 one size)"
    ),
}
ASSUMED = {
    "spread": "span, size: 90th percentiles of spans, and of sizes above 128 MiB, held out",
    "algorithm": (
        "nvls is inferred: 16-bit all-reduce is called so where it is at least 5 % faster than "
        "8-bit at the largest size, or faster than the links; only times were measured"
    ),
    "operation": "broadcast and point-to-point were not measured; 0.3 is a guess",
    "network_operation": "0.3 is a guess, for other operations, NICs and numbers of GPUs",
    "domains": "1.0 (a factor of 2): more than two servers were not measured; a guess",
}


def digits(value: float) -> float:
    """Four digits; nothing below a femtosecond."""
    return 0.0 if abs(value) < 1e-15 else float(f"{value:.4g}")


def error_row(inside: fits.Floats, held: fits.Floats) -> dict[str, float]:
    """How far off a fit is: in sample, and on what was held out."""
    return {
        "rows": len(held),
        "in_sample": digits(np.median(inside)),
        "median": digits(np.median(held)),
        "p90": digits(np.quantile(held, 0.9)),
    }


def domain_tree(k: Rows) -> dict[str, object]:
    """The section ``domains``."""
    tree: dict[str, dict[str, dict[str, dict[str, object]]]] = {}
    for key, rows in fits.groups(k):
        gpu, span, op, width = key
        x = fits.fit_domain(rows)
        inside = fits.errors(fits.domain_s(x, rows.size), rows.seconds)
        held = fits.held_out(rows)
        of_op = tree.setdefault(gpu, {}).setdefault(str(span), {}).setdefault(op, {})
        of_op[width] = {
            "algorithm": fits.algorithm_of(k, key),
            **{
                part: {name: digits(v) for name, v in piece.items()}
                for part, piece in fits.pieces(x).items()
            },
            **fits.sizes_of(rows),
            "errors": error_row(inside, held),
        }
    return dict(tree)


def network_tree(k: Rows, p: Rows) -> dict[str, object]:
    """The section ``networks``."""
    tree: dict[str, dict[str, object]] = {}
    for name, kind in fits.NETWORKS.items():
        rows = p.where(np.isin(p.series, kind.series))
        x = fits.fit_network(rows, k, kind)
        inside = fits.errors(fits.network_s(x, rows, k, kind), rows.seconds)
        held = fits.series_out(rows, k, kind)
        transport, op = name
        tree.setdefault(transport, {})[op] = {
            "hop_s": digits(x[0]),
            "efficiency": digits(x[1]),
            "fill_s_per_sqrt_byte": digits(x[2]) if x[2] > 2e-14 else 0.0,
            "nic_bytes_per_s": kind.nic_bytes_per_s,
            **fits.sizes_of(rows),
            "errors": error_row(inside, held),
        }
    return dict(tree)


def build(folder: Path) -> dict[str, object]:
    """The whole file."""
    k, p = fits.read_k(folder), fits.read_p(folder)
    domains = domain_tree(k)
    bulk, rows, inside, held = fits.nvl72(p)
    domains["gb200"] = {
        "72": {
            "all-reduce": {
                "16-bit": {
                    "algorithm": "nvls",
                    "low": None,
                    "bulk": {name: digits(v) for name, v in bulk.items()},
                    **fits.sizes_of(rows),
                    "errors": error_row(inside, held),
                }
            }
        }
    }
    exponent, span = fits.span_rule(k)
    size = fits.beyond(k)
    spread = {
        "span_exponent": digits(exponent),
        "span": digits(np.quantile(span, 0.9)),
        "size": digits(np.quantile(size, 0.9)),
        "operation": 0.3,
        "network_operation": 0.3,
        "domains": 1.0,
    }
    return {
        "record": RECORD,
        "assumed": ASSUMED,
        "spread": spread,
        "networks": network_tree(k, p),
        "domains": domains,
    }


def main(folder: Path, only_report: bool) -> None:
    if only_report:
        print(report(folder))
        return
    data("calibration", "collectives.yaml").write_text(written(build(folder)), encoding="utf-8")


def written(tree: dict[str, object]) -> str:
    """The file: prose in lines, a piece of a fit a line."""
    parts = [HEADER]
    for name, section in tree.items():
        flow = None if name in ("networks", "domains") else False
        parts.append(
            yaml.safe_dump({name: section}, sort_keys=False, width=100, default_flow_style=flow)
        )
    return "".join(parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--report" in sys.argv[2:])
