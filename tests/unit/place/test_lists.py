"""CSV lists: what they say, and what is said of those that are wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from sim.errors import DataError
from sim.place.read import read_lists
from sim.place.read_csv import read_nodes, read_pods
from tests.unit.place.lists import NODES, PODS, cluster, write


def test_the_columns_of_the_trace(tmp_path: Path) -> None:
    found = cluster(tmp_path)
    assert found.nodes.gpu_milli == 30_000
    assert found.nodes.gpu == ("G2", "G2", "T4", "T4", "G3", "P100", "")
    assert len(found.types) == 5  # two pairs are equal
    pods = found.pods
    assert pods.places == ("", "G2|T4", "P100")  # in one order, however they were written
    assert pods.request.sum() == 2 * 190 + 3 * 810 + 2 * 460 + 3 * 1000 + 2000 + 16000 + 600
    row = found.allowed[found.shape[pods.names.index("p06")]]
    names = [found.nodes.gpu[one] for one in found.types]
    assert {name for name, ok in zip(names, row, strict=True) if ok} == {"G2", "T4"}


def test_compressed_lists_and_other_names(tmp_path: Path) -> None:
    nodes, pods = write(tmp_path, NODES.replace("sn,", "name,"))
    packed = tmp_path / "pods.csv.gz"
    packed.write_bytes(gzip.compress(pods.read_bytes()))
    assert read_lists(nodes, packed).pods.names == read_pods(pods).names


def test_a_type_that_no_node_has_is_said(tmp_path: Path) -> None:
    found = cluster(tmp_path, pods=PODS.replace("T4|G2", "T4|P10"))
    assert found.notes == (
        f"{tmp_path / 'pods.csv'}: no node has a GPU of type 'P10' (did you mean 'P100'?)",
    )


@pytest.mark.parametrize(
    ("was", "becomes", "message"),
    [
        ("p01,4000,8192,1,190,", "p01,4000,8192,1,1900,", "3: gpu_milli is 1900; it is thous"),
        ("p01,4000,8192,1,190,", "p01,4000,8192,0,190,", "3: gpu_milli is 190 and num_gpu is 0"),
        ("p01,4000,8192,1,190,", "p01,-4,8192,1,190,", "3: cpu_milli is -4; it must be 0 to"),
        ("p01,4000,8192,1,190,", "p01,4.5,8192,1,190,", "3: cpu_milli: '4.5' is not a whole num"),
        ("p01,4000,8192,1,190,", "p00,4000,8192,1,190,", "3: pod 'p00' is there already, in line"),
        ("p01,4000,8192,1,190,", "p01,4000,8192,1,190", "3: has 5 fields where the header has 6"),
        ("p01,4000,8192,1,190,", ",4000,8192,1,190,", "3: the pod has no name"),
        ("p01,4000,8192,1,190,", "p01,4000,8192,99,1000,", "3: num_gpu: 99; a pod is on one node"),
        ("T4|G2", "T4||G2", r"8: gpu_spec: 'T4\|\|G2' has an empty type"),
        ("gpu_milli", "gpu_mili", "1: column 'gpu_milli' is missing .is it 'gpu_mili'"),
        ("gpu_spec", "gpu_model", "1: unknown column 'gpu_model'"),
    ],
)
def test_broken_pods(tmp_path: Path, was: str, becomes: str, message: str) -> None:
    assert was in PODS
    _, pods = write(tmp_path, pods=PODS.replace(was, becomes, 1))
    with pytest.raises(DataError, match=rf"pods\.csv:{message}"):
        read_pods(pods)


@pytest.mark.parametrize(
    ("was", "becomes", "message"),
    [
        ("a1,96000,393216,8,G2", "a0,96000,393216,8,G2", "3: node 'a0' is there already, in line"),
        ("a1,96000,393216,8,G2", "a1,96000,393216,8,", "3: model is empty, and the node has 8"),
        ("a1,96000,393216,8,G2", "a1,96000,393216,80,G2", "3: gpu: 80 on one node; a node holds"),
        ("a1,96000,393216,8,G2", "a1,96000,393216,8,G2|T4", "3: model: 'G2.T4' holds"),
        ("sn,", "id,", "1: unknown column 'id'"),
    ],
)
def test_broken_nodes(tmp_path: Path, was: str, becomes: str, message: str) -> None:
    assert was in NODES
    nodes, _ = write(tmp_path, NODES.replace(was, becomes, 1))
    with pytest.raises(DataError, match=rf"nodes\.csv:{message}"):
        read_nodes(nodes)


def test_files_that_are_none(tmp_path: Path) -> None:
    nodes, pods = write(tmp_path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_lists(tmp_path / "none.csv", pods)
    pods.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read_lists(nodes, pods)
    broken = tmp_path / "pods.csv.gz"
    broken.write_bytes(gzip.compress(PODS.encode())[:-20])
    with pytest.raises(DataError, match="is no whole gzip file"):
        read_lists(nodes, broken)
    only = tmp_path / "head.csv"
    only.write_text(PODS.splitlines()[0] + "\n")
    with pytest.raises(DataError, match="has no pods"):
        read_pods(only)


def test_nodes_without_gpus(tmp_path: Path) -> None:
    nodes, pods = write(tmp_path, "sn,cpu_milli,memory_mib,gpu,model\na,1000,1000,0,\n")
    with pytest.raises(DataError, match="no node has a GPU, so there is nothing to allocate"):
        read_lists(nodes, pods)
