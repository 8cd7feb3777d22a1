"""Nodes and pods as lists, wherever they were read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

#: Levels at which a tenant's pods may be alone, the narrowest first.
LEVELS = ("node", "rack", "leaf")


@dataclass(frozen=True)
class NodeList:
    """The nodes of a cluster, in the order of their file.

    Attributes:
        file: where they were read, for messages.
        names: [N] text.
        cpu_milli, memory_mib, gpus: [N] int64, what pods may take of each node.
        gpu: [N] text, the GPU type; "" where a node has none.
        racks, leaves: [N] text, or None where the list does not say.
    """

    file: str
    names: tuple[str, ...]
    cpu_milli: NDArray[np.int64]
    memory_mib: NDArray[np.int64]
    gpus: NDArray[np.int64]
    gpu: tuple[str, ...]
    racks: tuple[str, ...] | None = None
    leaves: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def gpu_milli(self) -> int:
        """Thousandths of a GPU in all."""
        return int(self.gpus.sum()) * 1000


@dataclass(frozen=True)
class PodList:
    """The pods of a workload, in the order of their file.

    Attributes:
        file: where they were read, for messages.
        names: [P] text, each once.
        cpu_milli, memory_mib: [P] int64.
        gpus: [P] int64, how many each asks for.
        gpu_milli: [P] int64, thousandths of each of them; 0 where it asks for none.
        where: [P] index into ``places``: which nodes it may run on.
        places: what pods say of nodes, each once: GPU types, "" for any node; or, of Kubernetes,
            a text that stands for a selector.
        eligible: place → [N] bool, where a list decides itself which nodes a place means; a place
            that is not in it is a list of GPU types, parted by "|".
        priority: [P] int64, larger is more urgent; tenant: [P] text, "" for none.
        alone: [P] index into ``("", *LEVELS)``: the level at which its tenant shares nothing.
    """

    file: str
    names: tuple[str, ...]
    cpu_milli: NDArray[np.int64]
    memory_mib: NDArray[np.int64]
    gpus: NDArray[np.int64]
    gpu_milli: NDArray[np.int64]
    where: NDArray[np.int64]
    places: tuple[str, ...]
    priority: NDArray[np.int64]
    tenant: tuple[str, ...]
    alone: NDArray[np.int64]
    eligible: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def request(self) -> NDArray[np.int64]:
        """[P] thousandths of a GPU of all that each asks for."""
        return self.gpus * self.gpu_milli
