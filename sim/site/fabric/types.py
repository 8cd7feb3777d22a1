"""The network as frozen arrays, and what a scenario may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sim.site.types import IntArray

FloatArray = NDArray[np.float64]

#: Kinds of vertices; a vertex's code is its position. The last four are switches. ``disks`` are
#: what a storage node or a server reads from: ``Storage`` says how fast, no graph has them.
VERTICES = ("gpu", "nic", "node", "storage", "disks", "leaf", "spine", "core", "nvswitch")
#: Those that a graph may have.
DRAWN = tuple(kind for kind in VERTICES if kind != "disks")
#: Switches of the network between servers, from below.
LEVELS = ("leaf", "spine", "core")


@dataclass(frozen=True)
class Storage:
    """Where weights lie: storage nodes of the network, and the servers' own disks.

    A storage node has ``nics`` NICs, each on a port of a switch, and reads at most
    ``read_bytes_per_s`` (None: as fast as they are). ``local_bytes_per_s`` is what the disks (or
    the host memory) of one server deliver to its GPUs; None: nothing is kept there.
    """

    nodes: int = 0
    nics: int = 1
    nic_bytes_per_s: float = 0.0
    read_bytes_per_s: float | None = None
    local_bytes_per_s: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """``storage-1`` for every storage node."""
        return tuple(f"storage-{number + 1}" for number in range(self.nodes))


#: What a site without storage has.
NO_STORAGE = Storage()


@dataclass(frozen=True)
class FabricPlan:
    """A built-in fabric, checked. Rates are of one direction.

    ``nic_bytes_per_s`` None: each server's own. ``radix`` None (``single-switch`` only): as many
    ports as there are NICs. ``cables`` between a leaf and a spine; None: as few spines as do.
    """

    kind: str
    nic_bytes_per_s: float | None
    oversubscription: float
    radix: int | None
    port_bytes_per_s: float
    switch_latency_s: float
    cables: int | None = None
    storage: Storage = NO_STORAGE


@dataclass(frozen=True)
class Fabric:
    """The network of a site: V vertices, C cables, L = 2 C directed links.

    Link 2 c goes from the cable's first end to its second, link 2 c + 1 back. Vertices are the
    site's GPUs, NICs and nodes in site order, storage nodes, then switches; disks last. Cables
    whose edge is ``together`` count as one cable of their summed capacity.
    """

    names: tuple[str, ...]  # [V]
    kinds: IntArray  # [V] position in ``VERTICES``
    link_from: IntArray  # [L] vertex
    link_to: IntArray  # [L] vertex
    capacity_bytes_per_s: FloatArray  # [L]
    latency_s: FloatArray  # [L]
    cable_number: IntArray  # [C] among those between the same two vertices, from 1; 0: the only one
    merged: IntArray  # [C] how many physical cables it stands for
    out_ptr: IntArray  # [V + 1] CSR: links out of vertex v are out_link[out_ptr[v]:out_ptr[v + 1]]
    out_link: IntArray  # [L] by vertex, then by the other end, then by link
    gpu_nic: IntArray  # [G] vertex of the GPU's NIC, -1: it has none
    gpu_rail: IntArray  # [G] number of that NIC in its node, from 0; -1: none
    gpu_domain: IntArray  # [G] NVLink domain
    gpu_node: IntArray  # [G] node, numbered as in the site

    @property
    def links(self) -> int:
        """The number of directed links."""
        return len(self.link_from)

    @property
    def gpus(self) -> int:
        """The number of GPUs: vertices 0 to G − 1."""
        return len(self.gpu_nic)

    @cached_property
    def vertex_of(self) -> Mapping[str, int]:
        """Name → vertex."""
        return {name: vertex for vertex, name in enumerate(self.names)}

    def reads_from(self, name: str) -> int:
        """The vertex where what a storage node or a server has stored sets out."""
        return self.vertex_of.get(disks_of(name), self.vertex_of[name])

    def cable_name(self, cable: int) -> str:
        """``leaf-1/spine-2``, with ``#3`` for the third of several cables."""
        one, other = self.link_from[2 * cable], self.link_to[2 * cable]
        number = self.cable_number[cable]
        return f"{self.names[one]}/{self.names[other]}" + (f"#{number}" if number else "")

    def link_name(self, link: int) -> str:
        """``leaf-1 → spine-2``, with ``#3`` for the third of several cables."""
        number = self.cable_number[link // 2]
        ends = f"{self.names[self.link_from[link]]} → {self.names[self.link_to[link]]}"
        return ends + (f"#{number}" if number else "")

    def out_of(self, vertex: int) -> IntArray:
        """The links out of a vertex."""
        return self.out_link[self.out_ptr[vertex] : self.out_ptr[vertex + 1]]


def disks_of(name: str) -> str:
    """``storage-1-disks``: the vertex of what ``storage-1``, or a server, reads from."""
    return f"{name}-disks"
