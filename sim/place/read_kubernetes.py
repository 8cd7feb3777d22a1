"""Nodes and pods as Kubernetes tells them: ``kubectl get nodes -o json``, ``get pods -A -o json``.

What pods take is their requests (of the largest of both: all containers, or one that initialises),
GPUs from limits, plus overhead. Pods of DaemonSets and of the nodes themselves are not placed: what
they take is taken off their node beforehand. Pods that have ended and nodes that take no pods are
left out, and that is said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sim import paths
from sim.errors import DataError
from sim.place.kubernetes_objects import Unmodelled, objects
from sim.place.lists import NodeList, PodList
from sim.place.quantities import mib_down, mib_up, milli_up, quantity
from sim.place.read_csv import LARGEST, MOST_GPUS
from sim.place.selectors import may_run, what_counts

_ENDED = ("Succeeded", "Failed")
#: Owners of pods that belong to a node rather than to the workload.
_OF_NODES = ("DaemonSet", "Node")


@dataclass(frozen=True)
class KubernetesNodes:
    """Nodes, and what selectors ask of them: labels and taints, in the same order."""

    nodes: NodeList
    labels: tuple[Mapping[str, str], ...]
    taints: tuple[tuple[Mapping[str, Any], ...], ...]
    devices: tuple[str, ...]
    notes: tuple[str, ...]


@cache
def _names() -> Any:
    return yaml.safe_load(paths.data("placement", "kubernetes.yaml").read_text(encoding="utf-8"))


class _Amounts:
    """A mapping of resources to quantities, with the place to blame."""

    def __init__(self, file: str, where: str, given: object) -> None:
        if given is not None and not isinstance(given, dict):
            raise DataError(file, f"{where}: is not a mapping of resources")
        self.file, self.where = file, where
        self.given: Mapping[str, object] = given or {}

    def get(self, name: str) -> Any:
        """The exact amount of a resource; 0 if it is not there."""
        if name not in self.given:
            return quantity(0)
        try:
            return quantity(self.given[name])
        except ValueError as error:
            raise DataError(self.file, f"{self.where}[{name!r}]: {error}") from error

    def devices(self) -> dict[str, int]:
        """Resource → count of the GPUs or slices of GPUs that are there."""
        found = {}
        for name in self.given:
            if _is_device(name) and (count := self.get(name)) > 0:
                if count.denominator != 1 or count > MOST_GPUS:
                    message = f"{self.given[name]!r} is not a whole number up to {MOST_GPUS}"
                    raise DataError(self.file, f"{self.where}[{name!r}]: {message}")
                found[name] = int(count)
        return found


@cache
def _is_device(name: str) -> bool:
    known = _names()
    if any(name == one["resource"] for one in known["devices"]):
        return True
    forms = (re.escape(one["resource"]).replace(r"\*", ".+") for one in known["slices"])
    return any(re.fullmatch(form, name) for form in forms)


@cache
def _is_known(name: str) -> bool:
    """Whether a resource that a pod asks for counts, as an amount, a device or a part of one."""
    parts = (one.get("resource") for one in _names()["parts"])
    return name in ("cpu", "memory", *parts) or _is_device(name)


def read_nodes(file: Path) -> KubernetesNodes:
    """The nodes that take pods, with what they can allocate.

    Raises:
        DataError: with the path to what is wrong.
    """
    name = str(file)
    rows: list[tuple[str, int, int, int, str, str]] = []
    labels, taints, places, left_out = [], [], [], []
    seen: dict[str, str] = {}
    for where, item in objects(file, "Node"):
        key = item["metadata"]["name"]
        if key in seen:
            raise DataError(name, f"{where}: the node is there already, at {seen[key]}")
        seen[key] = where
        spec, status = item.get("spec") or {}, item.get("status") or {}
        if spec.get("unschedulable") or _not_ready(status):
            left_out.append(key)
            continue
        part = "allocatable" if status.get("allocatable") else "capacity"
        amounts = _Amounts(name, f"{where}.status.{part}", status.get(part))
        if "cpu" not in amounts.given or "memory" not in amounts.given:
            raise DataError(name, f"{where}.status.{part}: has no cpu and memory")
        devices = amounts.devices()
        if len(devices) > 1:
            both = " and ".join(sorted(devices))
            raise DataError(
                name, f"{amounts.where}: has {both}; nodes with several kinds of device are not "
                "modelled: split the node, or keep one of them",
            )  # fmt: skip
        device, count = next(iter(devices.items()), ("", 0))
        own = {k: str(v) for k, v in (item["metadata"].get("labels") or {}).items()}
        cpu = min(int(amounts.get("cpu") * 1000), LARGEST)
        memory = min(mib_down(amounts.get("memory")), LARGEST)
        rows.append((key, cpu, memory, count, _type(own, device), device))
        labels.append(own)
        taints.append(tuple(spec.get("taints") or ()))
        places.append([_first(own, _names()[level]) for level in ("racks", "leaves")])
    if not rows:
        many = f" ({len(left_out)} are not ready or unschedulable)" if left_out else ""
        raise DataError(name, f"has no node that takes pods{many}")
    columns = list(zip(*rows, strict=True))
    cpu_, memory_, gpus = (np.array(columns[i], dtype=np.int64) for i in (1, 2, 3))
    domains = [
        None if None in column else tuple(map(str, column)) for column in zip(*places, strict=True)
    ]
    notes: tuple[str, ...] = ()
    if left_out:
        notes = (f"{name}: {_some(left_out)} left out: unschedulable or not ready",)
    nodes = NodeList(name, columns[0], cpu_, memory_, gpus, columns[4], domains[0], domains[1])
    return KubernetesNodes(nodes, tuple(labels), tuple(taints), columns[5], notes)


def _not_ready(status: Mapping[str, Any]) -> bool:
    return any(
        one.get("type") == "Ready" and one.get("status") != "True"
        for one in status.get("conditions") or ()
    )


def _first(labels: Mapping[str, str], names: list[str]) -> str | None:
    return next((labels[name] for name in names if name in labels), None)


def _type(labels: Mapping[str, str], device: str) -> str:
    """What a node's GPUs are called: by its label, and which slice of it."""
    if not device:
        return ""
    product = _first(labels, _names()["types"])
    whole = any(device == one["resource"] for one in _names()["devices"])
    return product or device if whole else f"{product or ''} {device}".strip()


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


@dataclass(frozen=True)
class _Wish:
    """What one pod takes."""

    cpu: int
    memory: int
    gpus: int
    milli: int
    device: str
    others: Mapping[str, None]  # resources that it asks for and that nothing is known of


def read_pods(file: Path, cluster: KubernetesNodes) -> tuple[NodeList, PodList]:
    """The nodes, less what pods of their own take, and the pods to place on them.

    Raises:
        DataError: with the path to what is wrong.
    """
    name = str(file)
    at = {node: i for i, node in enumerate(cluster.nodes.names)}
    cpu, memory = cluster.nodes.cpu_milli.copy(), cluster.nodes.memory_mib.copy()
    ended, own, unmodelled = [], [], Unmodelled()
    names: dict[str, str] = {}
    places: dict[str, int] = {}
    eligible: dict[str, Any] = {}
    tenants, rows = [], []
    for where, item in objects(file, "Pod"):
        space = item["metadata"].get("namespace") or "default"
        key = f"{space}/{item['metadata']['name']}"
        if key in names:
            raise DataError(name, f"{where}: the pod {key} is there already, at {names[key]}")
        names[key] = where
        spec = item.get("spec") or {}
        if (item.get("status") or {}).get("phase") in _ENDED:
            ended.append(key)
            continue
        wish = _wish(name, where, item, spec)
        owners = item["metadata"].get("ownerReferences") or ()
        if any(owner.get("kind") in _OF_NODES for owner in owners):
            own.append(key)
            if spec.get("nodeName") in at:
                node = at[spec["nodeName"]]
                cpu[node] -= wish.cpu
                memory[node] -= wish.memory
            continue
        unmodelled.look(key, spec, wish.others)
        place = json.dumps([what_counts(spec), wish.device if wish.gpus else ""], sort_keys=True)
        if place not in places:
            places[place] = len(places)
            eligible[place] = _eligible(name, where, spec, wish, cluster)
        priority = spec.get("priority") or 0
        if isinstance(priority, bool) or not isinstance(priority, int):
            raise DataError(name, f"{where}.spec.priority: {priority!r} is not a whole number")
        if abs(priority) > LARGEST:
            raise DataError(name, f"{where}.spec.priority: is not between -1e18 and 1e18")
        tenants.append(space)
        rows.append((key, wish.cpu, wish.memory, wish.gpus, wish.milli, places[place], priority))
    if not rows:
        raise DataError(name, f"has no pod to place ({len(ended)} ended, {len(own)} of nodes)")
    notes = list(cluster.notes)
    for keys, text in (
        (ended, "left out: ended"),
        (own, "belong to nodes: what they take is taken off beforehand"),
        *unmodelled.notes(),
    ):
        if keys:
            notes.append(f"{name}: {_some(keys)} {text}")
    if (cpu < 0).any() or (memory < 0).any():
        full = cluster.nodes.names[int(np.argmax((cpu < 0) | (memory < 0)))]
        raise DataError(name, f"pods of node {full} take more than it can allocate")
    columns = list(zip(*rows, strict=True))
    numbers = [np.array(column, dtype=np.int64) for column in columns[1:]]
    cpu_, memory_, gpus, milli, where_, priorities = numbers
    pods = PodList(
        name, columns[0], cpu_, memory_, gpus, milli, where_, tuple(places), priorities,
        tuple(tenants), np.zeros(len(rows), dtype=np.int64), eligible, tuple(notes),
    )  # fmt: skip
    return replace(cluster.nodes, cpu_milli=cpu, memory_mib=memory), pods


def _eligible(
    file: str, where: str, spec: Mapping[str, Any], wish: _Wish, cluster: KubernetesNodes
) -> Any:
    try:
        return np.array(
            [
                (not wish.gpus or device == wish.device) and may_run(spec, node, labels, taints)
                for node, labels, taints, device in zip(
                    cluster.nodes.names, cluster.labels, cluster.taints, cluster.devices,
                    strict=True,
                )
            ],
            dtype=bool,
        )  # fmt: skip
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(file, f"{where}.spec: selectors or tolerations: {error}") from error


def _wish(file: str, where: str, item: Mapping[str, Any], spec: Mapping[str, Any]) -> _Wish:
    """What a pod takes: the larger of its containers together and any that initialises.

    Containers that initialise and go on (sidecars) count with those, and with whatever
    initialises after them.
    """
    running = [_container(file, *one) for one in _listed(spec, where, "containers")]
    if not running:
        raise DataError(file, f"{where}.spec.containers: is missing or empty")
    alone, beside = [], (quantity(0), quantity(0))
    for container, place in _listed(spec, where, "initContainers"):
        one = _container(file, container, place)
        if container.get("restartPolicy") == "Always":
            running.append(one)
            beside = (beside[0] + one[0], beside[1] + one[1])
        else:
            alone.append((beside[0] + one[0], beside[1] + one[1], one[2], one[3]))
    overhead = _Amounts(file, f"{where}.spec.overhead", spec.get("overhead"))
    whole = _Amounts(
        file, f"{where}.spec.resources.requests", (spec.get("resources") or {}).get("requests")
    )
    cpu = max([sum(one[0] for one in running), *(one[0] for one in alone)])
    memory = max([sum(one[1] for one in running), *(one[1] for one in alone)])
    cpu = whole.get("cpu") if "cpu" in whole.given else cpu
    memory = whole.get("memory") if "memory" in whole.given else memory
    devices: dict[str, int] = {}
    for one in running:
        for resource, count in one[2].items():
            devices[resource] = devices.get(resource, 0) + count
    for one in alone:
        for resource, count in one[2].items():
            devices[resource] = max(devices.get(resource, 0), count)
    if len(devices) > 1:
        both = " and ".join(sorted(devices))
        raise DataError(file, f"{where}: asks for {both}; one kind of device a pod is modelled")
    device, gpus = next(iter(devices.items()), ("", 0))
    notes = item["metadata"].get("annotations") or {}
    milli, part_of = _part(file, where, notes, [one[3] for one in running])
    if part_of and not gpus:  # schedulers of parts may ask for no whole device
        device, gpus = part_of, _count(file, where, notes)
    cpu, memory = cpu + overhead.get("cpu"), memory + overhead.get("memory")
    asked = [name for one in (*running, *alone) for name in one[3].given if one[3].get(name)]
    others = dict.fromkeys(name for name in asked if not _is_known(name))
    return _Wish(milli_up(cpu), mib_up(memory), gpus, milli if gpus else 0, device, others)


def _listed(spec: Mapping[str, Any], where: str, key: str) -> list[tuple[Mapping[str, Any], str]]:
    return [(one, f"{where}.spec.{key}[{i}]") for i, one in enumerate(spec.get(key) or ())]


def _container(
    file: str, container: Mapping[str, Any], where: str
) -> tuple[Any, Any, dict[str, int], _Amounts]:
    """CPU, memory, devices and all amounts of a container; a limit alone is a request."""
    resources = container.get("resources") or {}
    limits = _Amounts(file, f"{where}.resources.limits", resources.get("limits"))
    requests = _Amounts(file, f"{where}.resources.requests", resources.get("requests"))
    both = [
        (requests if name in requests.given else limits).get(name) for name in ("cpu", "memory")
    ]
    amounts = _Amounts(file, f"{where}.resources.requests", {**limits.given, **requests.given})
    return both[0], both[1], amounts.devices(), amounts


def _part(
    file: str, where: str, annotations: Mapping[str, object], amounts: list[_Amounts]
) -> tuple[int, str]:
    """Thousandths of each GPU that a pod takes, and of which device if it says so."""
    for form in _names()["parts"]:
        key = form.get("annotation", form.get("resource"))
        if "annotation" in form:
            if key not in annotations:
                continue
            found = _Amounts(file, f"{where}.metadata.annotations", annotations).get(key)
        else:
            found = max((one.get(key) for one in amounts), default=quantity(0))
            if not found:
                continue
        milli = found * 1000 / form["of"]
        if not 1 <= milli <= 1000:
            message = f"{key}: {float(found):g} of {form['of']} is no part of a GPU"
            raise DataError(file, f"{where}: {message}")
        return int(milli), form["device"]
    return 1000, ""


def _count(file: str, where: str, annotations: Mapping[str, object]) -> int:
    """How many GPUs a pod takes a part of."""
    for form in _names()["counts"]:
        if form["annotation"] in annotations:
            amounts = _Amounts(file, f"{where}.metadata.annotations", annotations)
            count = amounts.get(form["annotation"])
            if count.denominator != 1 or not 1 <= count <= MOST_GPUS:
                message = f"{form['annotation']}: is not 1 to {MOST_GPUS}"
                raise DataError(file, f"{where}: {message}")
            return int(count)
    return 1
