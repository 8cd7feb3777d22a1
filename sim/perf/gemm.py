"""Time of one matrix product on one GPU: a smooth roofline with the occupancy of few tiles.

The form: a library picks, among a few output tiles and splits of k, the one that ends first; a
product with fewer tiles than streaming multiprocessors (SMs) still takes one tile's time. Compute
(with the tile's share of L2 bandwidth and a latency per 64 of k) and memory are joined by a p-norm.
Waves of tiles are rounded up to whole ones only as far as the constant ``stairs`` says, by a steep
ramp and not a step; ``m`` is not rounded up to the tile. So the time that serving sees is
continuous and non-decreasing in ``m``. An isolated kernel of a few rows may be slower than one of
more rows where the library has a slow path for them (``gemv``), as measured on Blackwell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

K_STEP = 64  # k is walked in steps of this many
GEMV_ROWS = 16  # from about here on the slow path of few rows is not taken

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Device:
    """What a product needs to know about the GPU. SI units; peaks as in the catalog.

    ``tiles`` are the output tiles (rows of m, columns of n) and ``splits`` the splits of k that its
    library is taken to choose among.
    """

    peak_flops: float
    bandwidth_bytes_per_s: float
    sms: int
    l2_bytes: float
    tiles: tuple[tuple[float, float], ...]
    splits: tuple[float, ...]


@dataclass(frozen=True)
class GemmConstants:
    """Fitted constants of one (GPU, dtype); dimensionless unless the name carries a unit.

    ``quantise`` is the traffic of the kernel that quantises the activations of 8- and 4-bit
    products, in units of reading and writing them once at ``bandwidth``. ``launch_s`` (launch and
    drain), ``quantise_s`` (the same of that kernel), ``resident_mb`` and ``resident`` (weights that
    a looped benchmark finds in L2) and ``gemv`` (a slow path) belong to isolated kernels only;
    ``serving`` drops them.
    """

    launch_s: float
    quantise_s: float
    quantise: float
    compute: float  # share of peak FLOP/s that a full tile reaches
    bandwidth: float  # share of HBM bandwidth
    norm: float  # p of the p-norm
    prologue_s: float  # per tile
    split_s: float  # to join the parts of a split k
    throttle: float  # slow-down of long compute-bound kernels under the power limit
    throttle_s: float
    ramp_s_per_sqrt_mb: float  # ramp of HBM traffic
    l2: float  # L2 bandwidth in units of HBM bandwidth; 0: not a limit
    tile_loss: float  # relative loss of small tiles
    k_latency_s: float  # per 64 of k
    resident_mb: float  # 0: no residency
    resident: float
    tail: float  # idle SMs in the last wave, beyond the first
    stairs: float  # 0: part of a wave costs its part; towards 1: as much as a whole one
    gemv: float  # relative loss of the path for few rows; 0: there is none
    gemv_n: float  # it is taken below about this n
    gemv_k: float  # and this k

    def serving(self) -> GemmConstants:
        """The same without what only isolated kernels pay or gain; overheads come on top apart."""
        from dataclasses import replace

        return replace(self, launch_s=0.0, quantise_s=0.0, resident_mb=0.0, gemv=0.0)


@dataclass(frozen=True)
class Clock:
    """Factors on time at a clock, of compute and of memory terms; 1 at the maximum."""

    compute: float = 1.0
    memory: float = 1.0


FULL_CLOCK = Clock()


def gemm_s(
    m: ArrayLike,
    n: ArrayLike,
    k: ArrayLike,
    constants: GemmConstants,
    device: Device,
    *,
    weight_bytes: float,
    activation_bytes: float,
    clock: Clock = FULL_CLOCK,
) -> Floats:
    """Seconds of products [m, k] × [k, n], shapes broadcast together.

    ``weight_bytes`` and ``activation_bytes`` are bytes per element of the two operands; the result
    is written in 2 bytes. Equations: the published tile-occupancy form above, fitted by
    tools/fit_perf.py.
    """
    c = constants
    rows, columns, depth = (np.asarray(x, dtype=np.float64) for x in (m, n, k))
    rows, columns, depth = np.broadcast_arrays(rows, columns, depth)
    compute = _compute_s(rows, columns, depth, c, device, weight_bytes, activation_bytes)
    if c.throttle:
        flop_s = 2 * rows * columns * depth / (c.compute * device.peak_flops)
        compute = compute * (1 + c.throttle / (1 + (c.throttle_s / flop_s) ** 2))
    compute = compute * clock.compute
    memory = _memory_s(rows, columns, depth, c, device, weight_bytes, activation_bytes)
    memory = memory * clock.memory
    joined = (compute**c.norm + memory**c.norm) ** (1 / c.norm)
    if c.gemv:
        joined = joined * (1 + c.gemv * _slow_path(rows, columns, depth, c))
    quantise = c.quantise * rows * depth * (2 + weight_bytes) / _bandwidth(c, device)
    quantise = quantise * clock.memory
    total: Floats = c.launch_s + c.quantise_s + joined + quantise
    return total


def _bandwidth(c: GemmConstants, device: Device) -> float:
    return c.bandwidth * device.bandwidth_bytes_per_s


def _slow_path(rows: Floats, columns: Floats, depth: Floats, c: GemmConstants) -> Floats:
    """How far a product is on the path for few rows, 0 to 1."""
    few = 1 + (rows / GEMV_ROWS) ** 4
    narrow = 1 + (columns / c.gemv_n) ** 6
    shallow = 1 + (depth / c.gemv_k) ** 6
    part: Floats = 1 / (few * narrow * shallow)
    return part


def _waves(tiles: Floats, c: GemmConstants) -> Floats:
    """Waves that ``tiles`` per SM take: at least one, rounded up as far as ``stairs`` says."""
    whole = np.floor(tiles)
    rounded = whole + np.minimum((tiles - whole) / (1 - c.stairs), 1)
    waves: Floats = np.maximum(rounded, 1) + c.tail * np.clip(tiles - 1, 0, 1)
    return waves


def _compute_s(
    rows: Floats,
    columns: Floats,
    depth: Floats,
    c: GemmConstants,
    device: Device,
    weight_bytes: float,
    activation_bytes: float,
) -> Floats:
    """The fastest of the tiles and splits, in seconds."""
    sm_flops = c.compute * device.peak_flops / device.sms
    sm_l2 = c.l2 * device.bandwidth_bytes_per_s / device.sms
    join = 8 * rows * columns / (3 * device.bandwidth_bytes_per_s)
    best = np.full(rows.shape, np.inf)
    for split in device.splits:
        steps = np.ceil(depth / (K_STEP * split))
        for a, b in device.tiles:
            loss = 1 + c.tile_loss * (K_STEP / a + K_STEP / b)
            parts = (2 * a * b * K_STEP * steps * loss / sm_flops) ** 4
            parts = parts + (steps * c.k_latency_s) ** 4
            if sm_l2:
                traffic = (a * activation_bytes + b * weight_bytes) * K_STEP * steps
                parts = parts + (traffic / sm_l2) ** 4
            tiles = np.maximum(rows / a, 1) * np.ceil(columns / b) * split / device.sms
            time = _waves(tiles, c) * (parts**0.25 + c.prologue_s)
            if split > 1:
                time = time + c.split_s + split * join
            np.minimum(best, time, out=best)
    return best


def _memory_s(
    rows: Floats,
    columns: Floats,
    depth: Floats,
    c: GemmConstants,
    device: Device,
    weight_bytes: float,
    activation_bytes: float,
) -> Floats:
    """Seconds for the bytes that cross HBM, with its ramp."""
    weights = columns * depth * weight_bytes
    activations = rows * depth * activation_bytes + 2 * rows * columns
    if c.resident_mb:
        weights = weights * (1 - (1 - c.resident) / (1 + (weights / 1e6 / c.resident_mb) ** 8))
        half = device.l2_bytes / 2
        activations = activations * (1 - (1 - c.resident) / (1 + (activations / half) ** 2))
    total: Floats = weights + activations
    return total / _bandwidth(c, device) + c.ramp_s_per_sqrt_mb * np.sqrt(total / 1e6)
