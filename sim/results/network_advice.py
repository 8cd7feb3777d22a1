"""What to try next where the network, or what loads over it, holds requests up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Where no path was left.
SECOND_WAY = (
    "a second way around what failed (more leaves or spines, NICs of a server on several leaves), "
    "or a retry: of the workload that outlasts the failure"
)
#: ``paths`` that leave links idle whatever is on the others.
_ONE_PATH = "shortest"


def faster_network(manifest: Mapping[str, Any], fullest_tier: str) -> str:
    """Other paths or more uplinks where links above leaves are the fullest, else faster NICs."""
    fabric = manifest["resolved"].get("fabric") or {}
    ratio = fabric.get("oversubscription")
    if "spine" in fullest_tier or "core" in fullest_tier:
        paths = (manifest["resolved"].get("policies") or {}).get("paths") or {}
        if paths.get("kind") == _ONE_PATH:
            return "all links above leaves, not the first: --set 'policies.paths={kind: ecmp}'"
        if isinstance(ratio, (int, float)) and ratio > 1.0:
            less = max(1.0, ratio / 2.0)
            return (
                "both pools behind the same leaves (pools[].racks), or more uplinks: --set "
                f"fabric.oversubscription={less:g}"
            )
    rate = fabric.get("nic")
    if not isinstance(rate, (int, float)):
        return "a network with faster NICs, or both pools in the same servers"
    return f"faster NICs: {_set_nic(fabric, 2.0 * rate)}"


def _set_nic(fabric: Mapping[str, Any], bytes_per_s: float) -> str:
    """The setting, and with it the rate of the switch's ports if they are slower."""
    rate = f"{bytes_per_s * 8 / 1e9:g} Gb/s"
    switch = fabric.get("switch") or {}
    text = f"--set 'fabric.nic={rate}'"
    port = switch.get("port")
    if isinstance(port, (int, float)):
        return f"{text} --set 'fabric.switch.port={rate}'" if port < bytes_per_s else text
    return f"{text}, if the ports of its switch: are as fast" if switch else text


def sooner_loaded(manifest: Mapping[str, Any], pool: str) -> str:
    """More to load from, for the pool that requests are sent to."""
    pools = {entry["name"]: dict(entry) for entry in manifest["resolved"].get("pools") or ()}
    plan: dict[str, Any] = pools.get(pool, {}).get("weights") or {}
    decode = (pools.get(pool, {}).get("decode") or {}).get("pool")
    if not plan and decode is not None:
        pool, plan = decode, pools.get(decode, {}).get("weights") or {}
    storage = manifest["resolved"].get("storage") or {}
    nodes, local = storage.get("nodes"), storage.get("local")
    peers = f"--set 'pools[{pool}].weights={{from: peers, multicast: true}}'"
    if plan.get("source") == "local" and isinstance(local, (int, float)):
        return f"faster disks: --set 'storage.local={2 * local / 1e9:g} GB/s'"
    if not isinstance(nodes, int) or not nodes:
        return "storage nodes, for when nobody is loaded: --set 'storage={nodes: 2}'"
    more = f"more storage nodes: --set storage.nodes={2 * nodes}"
    return more if plan.get("multicast") else f"{more}, or replicas that serve each other: {peers}"
