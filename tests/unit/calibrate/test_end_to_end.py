"""Plan, rounds, file and fit on this machine's CPU: the whole way with real timings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
#: Small products and streams, so that a few seconds give enough of them on a busy machine, too.
CODE = """
import json, sys
from pathlib import Path
from sim.calibrate import session
from sim.calibrate.fit import as_tree, fit
from sim.calibrate.kernel import Kernel
from sim.calibrate.numpy_device import NumpyDevice
from sim.calibrate.order import Order
from sim.calibrate.plan import Candidate
from sim.calibrate.read import read
from sim.calibrate.record import Writer
from sim.calibrate.settings import Settings

path, device, settings = Path(sys.argv[1]), NumpyDevice(), Settings(target=0.1, least_samples=5)
pairs = [(n, k) for n in (256, 512, 1024) for k in (256, 512, 1024)]
kernels = [Kernel("gemm", "fp32", (m, n, k)) for n, k in pairs for m in (1, 8, 64, 256)]
kernels += [Kernel("copy", "fp32", (1 << power,)) for power in range(18, 27)]
order = Order([Candidate(kernel, 1.0) for kernel in kernels], device.refuses)
writer = Writer.new(path, device.identity, settings, order)
outcome = session.run(device, writer, order, settings, 8 / 60)
print(json.dumps([len(outcome.measured), outcome.ended, as_tree(fit(read(path)))["roofline"]]))
"""


def test_the_whole_way_on_this_cpu(tmp_path: Path) -> None:
    """The roofline of a family must predict shapes that it has not seen, if only roughly."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "cpu.jsonl")],
        capture_output=True, text=True, cwd=ROOT, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if "nothing to fit" in done.stderr and "timed at another clock" in done.stderr:
        # What was timed while other work slowed this processor down is left out, as it should be.
        pytest.skip(f"this processor's clock was not steady: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    measured, ended, roofline = json.loads(done.stdout)
    assert measured >= 15, ended
    (products,) = roofline["gemm"].values()
    assert products["shapes"] >= 4
    # One core: from a slow emulator to the widest vectors there are.
    assert 1e8 < products["constants"]["flops_per_s"] < 1e12
    assert products["held_out"]["median"] < 0.6
