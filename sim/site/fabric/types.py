"""The network as frozen arrays, and what a scenario may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sim.site.types import IntArray

FloatArray = NDArray[np.float64]

#: Kinds of vertices; a vertex's code is its position. The last four are switches.
VERTICES = ("gpu", "nic", "node", "leaf", "spine", "core", "nvswitch")
#: Switches of the network between servers, from below.
LEVELS = ("leaf", "spine", "core")


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


@dataclass(frozen=True)
class Fabric:
    """The network of a site: V vertices, C cables, L = 2 C directed links.

    Link 2 c goes from the cable's first end to its second, link 2 c + 1 back. Vertices are the
    site's GPUs, NICs and nodes in site order, then switches. Cables whose edge is ``together``
    count as one cable of their summed capacity.
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
