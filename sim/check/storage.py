"""The ``storage`` section: what there is to load weights from."""

from __future__ import annotations

from sim.check.collector import Collector
from sim.site.fabric.plan import nic_rate
from sim.site.fabric.types import NO_STORAGE, Storage
from sim.site.types import Site


def check_storage(found: Collector, site: Site | None, *, function: bool) -> Storage:
    """What is stated; nothing where it makes no sense, or where nothing is stated.

    ``function``: a function of Python makes the network, so none need be stated.
    """
    document = found.document
    spec = document.spec.storage
    if spec is None:
        return NO_STORAGE
    fine = True
    if spec.nodes is None:
        for key in sorted({"nics", "nic", "read"} & spec.model_fields_set):
            found.error(
                ("storage", key), "belongs to storage nodes: say how many, 'nodes: 2'", key=True
            )
            fine = False
        if spec.local is None and fine:
            found.error(
                ("storage",),
                "holds nothing: state storage nodes, such as {nodes: 2, read: 20 GB/s}, or what "
                "each server keeps itself, {local: 10 GB/s}",
            )
            fine = False
    elif document.spec.fabric is None and not function and ("fabric",) not in document.failed:
        found.error(
            ("storage", "nodes"),
            "storage nodes are joined to a network: state one, such as "
            "'fabric: {kind: rail-optimised}'",
        )
        fine = False
    if not fine or site is None:
        return NO_STORAGE
    nic = spec.nic
    if nic is None and document.spec.fabric is not None:
        nic = document.spec.fabric.nic
    return Storage(
        nodes=spec.nodes or 0,
        nics=spec.nics,
        nic_bytes_per_s=nic_rate(site) if nic is None else nic,
        read_bytes_per_s=spec.read,
        local_bytes_per_s=spec.local,
    )
