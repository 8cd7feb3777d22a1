"""Node and pod lists, whichever of the two forms each is in."""

from __future__ import annotations

from pathlib import Path

from sim.errors import DataError
from sim.place import read_csv, read_kubernetes
from sim.place.cluster import Cluster, build_cluster


def read_lists(nodes: Path, pods: Path) -> Cluster:
    """Both lists, as what a replay works on; files that begin as JSON are Kubernetes'.

    Raises:
        DataError: one cannot be used, or the nodes have no GPU, or a CSV list of pods was given
            with Kubernetes nodes whose GPUs it cannot name.
    """
    if is_json(nodes):
        found = read_kubernetes.read_nodes(nodes)
        if is_json(pods):
            node_list, pod_list = read_kubernetes.read_pods(pods, found)
        else:
            node_list, pod_list = found.nodes, read_csv.read_pods(pods)
    elif is_json(pods):
        message = (
            f"is JSON of Kubernetes, and its selectors need the labels of nodes: {nodes} must be "
            "JSON, too (kubectl get nodes -o json)"
        )
        raise DataError(str(pods), message)
    else:
        node_list, pod_list = read_csv.read_nodes(nodes), read_csv.read_pods(pods)
    if node_list.gpu_milli == 0:
        raise DataError(node_list.file, "no node has a GPU, so there is nothing to allocate")
    return build_cluster(node_list, pod_list)


def is_json(file: Path) -> bool:
    """Whether a file's first character opens an object or an array."""
    with read_csv.open_text(file) as stream:
        return stream.read(4096).lstrip()[:1] in ("{", "[")
