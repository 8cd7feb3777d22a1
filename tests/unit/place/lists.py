"""Small node and pod lists for tests, and a plain replay to compare with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sim.place.cluster import Cluster
from sim.place.read import read_lists

NODES = """sn,cpu_milli,memory_mib,gpu,model
a0,96000,393216,8,G2
a1,96000,393216,8,G2
b0,104000,524288,2,T4
b1,104000,524288,2,T4
c0,128000,786432,8,G3
d0,16000,122880,2,P100
e0,32000,65536,0,
"""
PODS = """name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec
p00,4000,8192,1,190,
p01,4000,8192,1,190,
p02,8000,16384,1,810,
p03,8000,16384,1,810,
p04,8000,16384,1,810,
p05,6000,12288,1,460,
p06,6000,12288,1,460,T4|G2
p07,12000,16384,1,1000,
p08,12000,16384,1,1000,
p09,12000,16384,1,1000,P100
p10,30000,65536,2,1000,
p11,64000,262144,8,1000,
p12,88000,327680,8,1000,
p13,10000,32768,0,0,
p14,16000,32768,0,0,
p15,2000,4096,2,300,
"""


def write(folder: Path, nodes: str = NODES, pods: str = PODS) -> tuple[Path, Path]:
    """Both lists as files."""
    folder.mkdir(exist_ok=True)
    (folder / "nodes.csv").write_text(nodes)
    (folder / "pods.csv").write_text(pods)
    return folder / "nodes.csv", folder / "pods.csv"


def cluster(folder: Path, nodes: str = NODES, pods: str = PODS) -> Cluster:
    """Both lists as a replay takes them."""
    return read_lists(*write(folder, nodes, pods))


def random_lists(seed: int, nodes: int = 24, pods: int = 160) -> tuple[str, str]:
    """Lists like the openb trace in miniature."""
    rng = np.random.default_rng(seed)
    kinds = [(96000, 393216, 8, "G2"), (104000, 524288, 2, "T4"), (128000, 786432, 8, "G3"),
             (16000, 122880, 2, "P100"), (64000, 262144, 4, "V100")]  # fmt: skip
    rows = ["sn,cpu_milli,memory_mib,gpu,model"]
    rows += [
        ",".join(map(str, (f"n{i:03}", *kinds[rng.integers(len(kinds))]))) for i in range(nodes)
    ]
    lines = ["name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec"]
    shapes = [(1, 190), (1, 460), (1, 810), (1, 1000), (1, 1000), (2, 1000), (8, 1000), (0, 0)]
    for i in range(pods):
        gpus, milli = shapes[rng.choice(len(shapes), p=[0.2, 0.1, 0.2, 0.2, 0.1, 0.05, 0.05, 0.1])]
        cpu = int(rng.choice([2000, 6000, 12000])) * max(gpus, 1)
        spec = str(rng.choice(["", "", "", "T4|G2", "G3"])) if gpus == 1 else ""
        lines.append(f"q{i:04},{cpu},{cpu * 2},{gpus},{milli},{spec}")
    return "\n".join(rows) + "\n", "\n".join(lines) + "\n"
