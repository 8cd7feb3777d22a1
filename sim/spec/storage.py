"""The ``storage`` section: where weights lie before a replica has them."""

from __future__ import annotations

from pydantic import Field

from sim.spec.types import Count, DataRate, Spec


class StorageSpec(Spec):
    """Storage nodes of the network, and what each server keeps itself."""

    nodes: Count | None = Field(
        default=None, description="storage nodes, each joined to the network: storage-1 and so on"
    )
    nics: Count = Field(default=1, description="NICs of a storage node, each on a port of a leaf")
    nic: DataRate | None = Field(
        default=None, description="data rate of one of them; default: that of the servers' NICs"
    )
    read: DataRate | None = Field(
        default=None, description="what one storage node reads; default: as fast as its NICs"
    )
    local: DataRate | None = Field(
        default=None,
        description="what the disks or host memory of one server deliver to all of its GPUs",
    )
