"""Lists of Kubernetes: quantities, selectors, taints, parts of GPUs, and what is left out."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from sim.errors import DataError
from sim.place.quantities import quantity
from sim.place.read import read_lists
from sim.place.replay import replay
from sim.place.selectors import may_run
from sim.policies.base import policies

H100 = "NVIDIA-H100-80GB-HBM3"


def node(
    name: str, *, cpu: str = "96", gpus: int = 8, device: str = "nvidia.com/gpu", **more: Any
) -> Any:
    labels = {"nvidia.com/gpu.product": H100, **more.pop("labels", {})}
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": more.pop("spec", {}),
        "status": {
            "allocatable": {"cpu": cpu, "memory": "512Gi", device: str(gpus), "pods": "110"},
            **more,
        },
    }


def pod(name: str, *, gpus: int = 1, cpu: str = "4", **more: Any) -> Any:
    resources: Any = {"requests": {"cpu": cpu, "memory": "8Gi"}}
    if gpus:
        resources["limits"] = {more.pop("device", "nvidia.com/gpu"): str(gpus)}
    metadata = {"name": name, "namespace": more.pop("namespace", "ml"), **more.pop("metadata", {})}
    status = {"phase": more.pop("phase", "Running")}
    containers = [{"name": "main", "resources": resources}]
    return {
        "kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **more},
        "status": status,
    }  # fmt: skip


def read(folder: Path, nodes: list[Any], pods: list[Any]) -> Any:
    for name, items in (("nodes", nodes), ("pods", pods)):
        content = {"apiVersion": "v1", "kind": "List", "items": items}
        (folder / f"{name}.json").write_text(json.dumps(content))
    return read_lists(folder / "nodes.json", folder / "pods.json")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64", 64), ("500m", Fraction(1, 2)), ("1.5Gi", 1.5 * 2**30), ("2e3", 2000), ("2E3", 2000),
        ("3k", 3000), ("1E", 10**18), ("100n", Fraction(1, 10**7)), (".5", Fraction(1, 2)), (7, 7),
        ("263754828Ki", 263754828 * 1024),
    ],
)  # fmt: skip
def test_quantities(text: object, value: Any) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["", "4x", "1,5", "-1", "1e99", None, True, [], "0x10", "1 Gi"])
def test_what_is_no_quantity(text: object) -> None:
    with pytest.raises(ValueError, match=r"quantity|between"):
        quantity(text)


def test_what_pods_and_nodes_take_and_have(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        [node("a", cpu="95500m"), node("b", gpus=4, labels={"topology.kubernetes.io/rack": "r"})],
        [pod("one", gpus=2, cpu="1500m"), pod("cpu", gpus=0)],
    )
    assert found.nodes.cpu_milli.tolist() == [95_500, 96_000]
    assert found.nodes.memory_mib.tolist() == [524_288, 524_288]
    assert found.nodes.gpus.tolist() == [8, 4]
    assert found.nodes.racks is None  # one node does not say
    assert found.pods.names == ("ml/one", "ml/cpu")
    assert found.pods.cpu_milli.tolist() == [1_500, 4_000]
    assert found.pods.gpus.tolist() == [2, 0]
    assert found.pods.tenant == ("ml", "ml")


def test_containers_that_initialise_sidecars_and_overhead(tmp_path: Path) -> None:
    """The larger of what runs together and of each that runs before (Kubernetes' rule)."""
    one = pod("a", cpu="2")
    one["spec"]["containers"].append({"name": "b", "resources": {"limits": {"cpu": "1"}}})
    one["spec"]["initContainers"] = [
        {"name": "i", "resources": {"requests": {"cpu": "8"}}},
        {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "500m"}}},
    ]
    one["spec"]["overhead"] = {"cpu": "250m"}
    found = read(tmp_path, [node("n")], [one])
    assert found.pods.cpu_milli.tolist() == [8_250]


def test_who_initialises_after_a_sidecar_has_it_beside(tmp_path: Path) -> None:
    """Kubernetes: each that initialises counts with the sidecars that were started before it."""
    one = pod("a", cpu="2")
    one["spec"]["initContainers"] = [
        {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "500m"}}},
        {"name": "i", "resources": {"requests": {"cpu": "8"}}},
    ]
    found = read(tmp_path, [node("n")], [one])
    assert found.pods.cpu_milli.tolist() == [8_500]


def test_requests_of_a_whole_pod_count_instead(tmp_path: Path) -> None:
    found = read(tmp_path, [node("n")], [pod("a", cpu="2", resources={"requests": {"cpu": "3"}})])
    assert found.pods.cpu_milli.tolist() == [3_000]
    assert found.pods.memory_mib.tolist() == [8 * 1024]


def test_what_is_asked_for_and_not_modelled_is_said(tmp_path: Path) -> None:
    rdma = pod("rdma")
    rdma["spec"]["containers"][0]["resources"]["limits"]["rdma/ib"] = "1"
    found = read(
        tmp_path,
        [node("a"), node("b", device="nvidia.com/gpu.shared")],
        [
            rdma, pod("tpu", gpus=4, device="google.com/tpu"),
            pod("claim", gpus=0, resourceClaims=[{"name": "gpu"}]),
            pod("spread", topologySpreadConstraints=[{"whenUnsatisfiable": "DoNotSchedule"}]),
            pod("soft", topologySpreadConstraints=[{"whenUnsatisfiable": "ScheduleAnyway"}]),
            pod("mild", preemptionPolicy="Never"), pod("near", affinity={"podAffinity": {"a": 1}}),
            pod("part", device="nvidia.com/gpu.shared"),
        ],
    )  # fmt: skip
    assert [note.split("pods.json: ")[1] for note in found.notes] == [
        "ml/rdma ask for rdma/ib, which is not modelled",
        "ml/tpu ask for google.com/tpu, which is not modelled",
        "ml/claim claim devices (resourceClaims), which are not modelled",
        "ml/spread must be spread (topologySpreadConstraints): not modelled",
        "ml/mild are to preempt nobody (preemptionPolicy): they do as others do",
        "ml/near have rules about other pods (podAffinity), which are not modelled",
    ]
    part = found.pods.places[found.pods.where[-1]]
    assert found.pods.eligible[part].tolist() == [False, True]


def test_parts_of_gpus(tmp_path: Path) -> None:
    openb = {"alibabacloud.com/gpu-milli": "460", "alibabacloud.com/gpu-count": "2"}
    hami = pod("c")
    hami["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpucores"] = "30"
    found = read(
        tmp_path,
        [node("n"), node("o", device="alibabacloud.com/gpu-count")],
        [
            pod("a", gpus=0, metadata={"annotations": {"gpu-fraction": "0.5"}}),
            pod("b", gpus=0, metadata={"annotations": openb}),
            hami,
        ],
    )
    assert found.pods.gpu_milli.tolist() == [500, 460, 300]
    assert found.pods.gpus.tolist() == [1, 2, 1]
    on = [
        {found.nodes.names[one] for one, ok in zip(found.types, row, strict=True) if ok}
        for row in found.allowed[found.shape]
    ]
    assert on == [{"n"}, {"o"}, {"n"}]


def test_selectors_taints_and_affinity_decide_where(tmp_path: Path) -> None:
    taint = [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]
    nodes = [node("a"), node("b", spec={"taints": taint}), node("c", labels={"zone": "z2"})]
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["z2"]}]}]
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    found = read(
        tmp_path,
        nodes,
        [
            pod("anywhere"),
            pod("tolerant", tolerations=[{"key": "gpu", "operator": "Exists"}]),
            pod("picky", nodeSelector={"zone": "z2"}),
            pod("affine", affinity={"nodeAffinity": {required: {"nodeSelectorTerms": terms}}}),
        ],
    )
    where = {
        name: {
            found.nodes.names[n]
            for n in range(3)
            if found.allowed[found.shape[i], found.idle["type"][n]]
        }
        for i, name in enumerate(found.pods.names)
    }
    assert where == {
        "ml/anywhere": {"a", "c"}, "ml/tolerant": {"a", "b", "c"}, "ml/picky": {"c"},
        "ml/affine": {"c"},
    }  # fmt: skip
    outcome = replay(found, policies("placement")["fgd"](), 1, None, (None,))
    assert all(outcome.node >= 0)


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ({"key": "n", "operator": "Gt", "values": ["3"]}, True),
        ({"key": "n", "operator": "Lt", "values": ["3"]}, False),
        ({"key": "x", "operator": "DoesNotExist"}, True),
        ({"key": "n", "operator": "Exists"}, True),
        ({"key": "n", "operator": "NotIn", "values": ["4"]}, False),
        ({"key": "x", "operator": "NotIn", "values": ["4"]}, True),
    ],
)
def test_operators(rule: Any, holds: bool) -> None:
    required = {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    spec = {"affinity": {"nodeAffinity": {key: required}}}
    assert may_run(spec, "a", {"n": "4"}, ()) is holds


def test_what_is_not_placed_is_said(tmp_path: Path) -> None:
    owner = {"ownerReferences": [{"kind": "DaemonSet", "name": "d"}]}
    found = read(
        tmp_path,
        [
            node("a"),
            node("down", conditions=[{"type": "Ready", "status": "Unknown"}]),
            node("cordoned", spec={"unschedulable": True}),
        ],
        [
            pod("run"), pod("done", phase="Succeeded"),
            pod("agent", gpus=0, cpu="500m", metadata=owner, nodeName="a"),
        ],
    )  # fmt: skip
    assert found.nodes.names == ("a",)
    assert found.nodes.cpu_milli.tolist() == [95_500]
    assert found.pods.names == ("ml/run",)
    text = "\n".join(found.notes)
    for part in ("down, cordoned left out", "ml/done left out: ended", "ml/agent belong to nodes"):
        assert part in text


@pytest.mark.parametrize(
    ("nodes", "pods", "message"),
    [
        ([node("a", cpu="4x")], [pod("p")],
         r"nodes\.json: items\[0\] \(a\)\.status\.allocatable\['cpu'\]: '4x' is not a quantity"),
        ([pod("a")], [pod("p")], r"items\[0\]: is a Pod, not a Node"),
        ([node("a"), node("a")], [pod("p")], r"items\[1\] \(a\): the node is there already"),
        ([node("a")], [pod("p", cpu="many")],
         r"pods\.json: items\[0\] \(p\)\.spec\.containers\[0\]\.resources\.requests\['cpu'\]"),
        ([node("a")], [pod("p", metadata={"annotations": {"gpu-fraction": "1.5"}})],
         r"gpu-fraction: 1\.5 of 1 is no part of a GPU"),
        ([node("a")], [pod("p", phase="Failed")], r"has no pod to place \(1 ended, 0 of nodes\)"),
        ([node("a", gpus=0)], [pod("p")], "no node has a GPU"),
        ([node("a", spec={"taints": "x"})], [pod("p")],
         r"nodes\.json: items\[0\] \(a\)\.spec\.taints: \"x\" is not a list"),
        ([{"metadata": ["a"]}], [pod("p")], r"items\[0\]\.metadata\.name: is missing"),
        ([node("a", conditions=[1])], [pod("p")], r"status\.conditions\[0\]: 1 is not a mapping"),
        ([node("a")], [pod("p", tolerations={"key": "k"})], r"\.spec\.tolerations: .* not a list"),
        ([node("a")], [pod("p", affinity=["podAffinity"])], r"\.spec\.affinity: .* not a mapping"),
        ([node("a")], [pod("p", initContainers=[None])], r"\.spec\.initContainers\[0\]: is null"),
        ([node("a")], [pod("p", nodeName=["n"])], r"\.spec\.nodeName: \[\"n\"\] is not text"),
        ([node("a")], [pod("p", priority=10**30)], r"\.spec\.priority: is not between"),
        ([node("a", spec={"unschedulable": True})], [pod("p")], "has no node that takes pods"),
    ],
)  # fmt: skip
def test_broken_objects(tmp_path: Path, nodes: Any, pods: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, nodes, pods)


def test_broken_json_has_its_line(tmp_path: Path) -> None:
    read(tmp_path, [node("a")], [pod("p")])
    (tmp_path / "pods.json").write_text('{"items": [\n  {,\n]}')
    with pytest.raises(DataError, match=r"pods\.json:2: is no JSON"):
        read_lists(tmp_path / "nodes.json", tmp_path / "pods.json")


def test_pods_in_json_need_labels_of_nodes(tmp_path: Path) -> None:
    read(tmp_path, [node("a")], [pod("p")])
    csv = tmp_path / "nodes.csv"
    csv.write_text("sn,cpu_milli,memory_mib,gpu,model\na,1000,1000,1,G\n")
    with pytest.raises(DataError, match="must be JSON, too"):
        read_lists(csv, tmp_path / "pods.json")
