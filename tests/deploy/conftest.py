"""What is deployed: the manifests, and the chart with several values."""

from pathlib import Path

import pytest
import yaml

from tests.fixtures import helm

ROOT = Path(__file__).parent.parent.parent / "deploy"
CHART = ROOT / "helm" / "blockdiff-snapshot-metadata"
CA = "Q0E="

if not ROOT.exists():  # an installed wheel is tested
    collect_ignore_glob = ["test_*.py"]

CASES = {
    "driver": {"snapshotMetadataService": {"caCert": CA}},
    "sources": {
        "driver": {
            "name": "files.example.com",
            "sources": ["a=dir:/snapshots/a", "b=rbd:rbd?conf=/etc/ceph/ceph.conf"],
        },
        "snapshotMetadataService": {"caCert": CA, "audience": "backup"},
        "image": {"tag": "1.2.3"},
        "imagePullSecrets": [{"name": "pull"}],
        "rbac": {"secrets": [{"namespace": "csi-driver", "names": ["csi-snapshotter-secret"]}]},
        "clients": [{"namespace": "app", "serviceAccount": "backup"}, {"namespace": "db", "serviceAccount": "dump"}],
        "extraArgs": ["--kube-api-qps=50", "--v=4"],
        "volumes": [{"name": "snapshots", "persistentVolumeClaim": {"claimName": "snapshots"}}],
        "volumeMounts": [{"name": "snapshots", "mountPath": "/snapshots", "readOnly": True}],
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "storage", "operator": "Exists"}],
        "replicas": 2,
    },
    "bare": {"snapshotMetadataService": {"create": False}, "rbac": {"create": False}},
}


def default_values():
    return yaml.safe_load((CHART / "values.yaml").read_text())


def chart(case):
    """All objects of the chart with the values of a case."""
    values = helm.merged(default_values(), CASES[case])
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    texts = [path.read_text() for path in sorted((CHART / "templates").iterdir())]
    return [item for text in texts for item in helm.objects(helm.render(text, values, app_version=version))]


def manifests():
    """All objects of the manifests."""
    paths = sorted(path for path in (ROOT / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")
    return [item for path in paths for item in helm.objects(path.read_text())]


SETS = {"manifests": manifests, **{f"chart-{case}": (lambda case=case: chart(case)) for case in CASES}}


@pytest.fixture(params=SETS)
def deployed(request):
    """The objects of one way to deploy."""
    return SETS[request.param]()


def pods(items):
    """(object, pod spec) of whatever runs pods."""
    for item in items:
        spec = item.get("spec", {})
        if item["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            yield item, spec["template"]["spec"]


def containers(items):
    return [(item, pod, container) for item, pod in pods(items) for container in pod["containers"]]


def of_kind(items, kind):
    return [item for item in items if item["kind"] == kind]
