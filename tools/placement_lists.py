"""Makes scenarios/gpu-cluster-nodes.csv and scenarios/gpu-cluster-pods.csv, anew and the same.

A cluster of 108 nodes of four types, and 420 pods of three tenants: notebooks on parts of a GPU,
inference on one or two GPUs, training on four or eight, and preprocessing on CPUs only. Sizes and
shares are made up, so that CPU is short on some nodes and parts of GPUs are left over; no trace of
anybody's cluster is in them.

    python tools/placement_lists.py
"""

from __future__ import annotations

from pathlib import Path

from sim.rng import generator

FOLDER = Path(__file__).resolve().parents[1] / "scenarios"

#: How many nodes, cpu_milli, memory_mib, gpu, model.
NODES = (
    (36, 96_000, 786_432, 8, "A"),
    (24, 64_000, 393_216, 4, "B"),
    (32, 96_000, 393_216, 2, "C"),
    (16, 32_000, 262_144, 4, "D"),
)
#: Share of pods, num_gpu, gpu_milli, cpu_milli for each GPU, memory_mib, gpu_spec, tenant.
PODS = (
    (0.16, 1, 300, (2_000, 4_000, 8_000), 16_384, "", "research"),
    (0.12, 1, 700, (4_000, 8_000), 24_576, "", "research"),
    (0.28, 1, 1000, (6_000, 10_000, 16_000), 49_152, "", "serving"),
    (0.08, 1, 1000, (8_000,), 49_152, "A|B", "serving"),
    (0.12, 2, 1000, (8_000, 12_000), 98_304, "", "serving"),
    (0.06, 4, 1000, (8_000,), 131_072, "", "training"),
    (0.04, 8, 1000, (10_000,), 524_288, "A", "training"),
    (0.14, 0, 0, (4_000, 8_000, 16_000), 32_768, "", "research"),
)
COUNT = 420


def nodes() -> str:
    """The text of the list of nodes."""
    lines = ["sn,cpu_milli,memory_mib,gpu,model"]
    for count, cpu, memory, gpus, model in NODES:
        lines += [f"{model.lower()}-{i:02},{cpu},{memory},{gpus},{model}" for i in range(count)]
    return "\n".join(lines) + "\n"


def pods() -> str:
    """The text of the list of pods."""
    rng = generator(1, "tools/placement_lists")
    lines = ["name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,tenant"]
    kinds = rng.choice(len(PODS), size=COUNT, p=[kind[0] for kind in PODS])
    for i, kind in enumerate(kinds.tolist()):
        _, gpus, milli, cpus, memory, spec, tenant = PODS[kind]
        cpu = cpus[int(rng.integers(len(cpus)))] * max(1, gpus)
        lines.append(f"pod-{i:03},{cpu},{memory},{gpus},{milli},{spec},{tenant}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (FOLDER / "gpu-cluster-nodes.csv").write_text(nodes(), encoding="utf-8")
    (FOLDER / "gpu-cluster-pods.csv").write_text(pods(), encoding="utf-8")
