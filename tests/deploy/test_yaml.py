"""Everything that the YAML says is so: kinds, flags, ports, mounts, names."""

import re

import click
import jsonschema
import pytest
import yaml

from blockdiff.cli.main import cli
from blockdiff.csi.provider.catalog import _SOURCE
from tests.deploy.conftest import CASES, CHART, ROOT, chart, containers, default_values, of_kind, pods
from tests.fixtures import helm

VERSIONS = {
    "ServiceAccount": "v1",
    "Service": "v1",
    "ClusterRole": "rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "Deployment": "apps/v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "SnapshotMetadataService": "cbt.storage.k8s.io/v1beta1",
}
CLUSTER = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "SnapshotMetadataService"}
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def test_kinds_and_names(deployed):
    keys = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in deployed]
    assert len(set(keys)) == len(keys)
    for item in deployed:
        assert item["apiVersion"] == VERSIONS[item["kind"]]
        assert NAME.fullmatch(item["metadata"]["name"])
        assert ("namespace" in item["metadata"]) == (item["kind"] not in CLUSTER)


def test_bindings_name_what_is_there(deployed):
    roles = {(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in deployed}
    for item in [*of_kind(deployed, "RoleBinding"), *of_kind(deployed, "ClusterRoleBinding")]:
        reference = item["roleRef"]
        assert reference["apiGroup"] == "rbac.authorization.k8s.io"
        place = item["metadata"].get("namespace") if reference["kind"] == "Role" else None
        assert (reference["kind"], place, reference["name"]) in roles


def command_of(words):
    """The command that these words name, and what follows."""
    command, words = cli, list(words)
    context = click.Context(command, info_name="blockdiff")
    while isinstance(command, click.Group):
        name = words.pop(0)
        found = command.get_command(context, name)
        assert found is not None, name
        context = click.Context(found, info_name=name, parent=context)
        command = found
    return command, context, words


def test_every_flag_is_one_and_takes_its_value(deployed):
    assert containers(deployed)
    for _, _, container in containers(deployed):
        assert "command" not in container, "the image's entry point is blockdiff"
        environment = {item["name"]: item["value"] for item in container.get("env", [])}
        command, context, words = command_of(container["args"])
        known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
        for word in words:
            if word.startswith("-"):
                assert word.split("=")[0] in known, word
        command.parse_args(context, words)  # values, too
        variables = {param.envvar for param in command.params if isinstance(param.envvar, str)}
        assert set(environment) <= variables


def test_sources_are_sources():
    for source in CASES["sources"]["driver"]["sources"]:
        assert _SOURCE.fullmatch(source)


def test_mounts_are_volumes(deployed):
    for _, pod, container in containers(deployed):
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        used = {mount["name"] for mount in [*container.get("volumeMounts", []), *container.get("volumeDevices", [])]}
        assert used <= volumes
    for _, pod in pods(deployed):
        mounts = [c.get("volumeMounts", []) + c.get("volumeDevices", []) for c in pod["containers"]]
        assert {mount["name"] for part in mounts for mount in part} == {v["name"] for v in pod.get("volumes", [])}


def option(container, name):
    """The value of an option in the arguments."""
    found = [word.partition("=")[2] for word in container["args"] if word.startswith(f"{name}=")]
    return found[0] if found else ""


def test_paths_are_mounted(deployed):
    for _, _, container in containers(deployed):
        places = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        places += [device["devicePath"] for device in container.get("volumeDevices", [])]
        paths = [option(container, name) for name in ("--tls-cert", "--tls-key")]
        paths += [word for word in container["args"] if word.startswith("/")]
        paths += [option(container, name) for name in ("--source-device-path", "--target-device-path")]
        for path in filter(None, paths):
            assert any(path == place or path.startswith(f"{place}/") for place in places), path


def test_the_server_and_its_service_meet(deployed):
    (deployment,), (service,) = of_kind(deployed, "Deployment"), of_kind(deployed, "Service")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    assert service["metadata"]["namespace"] == deployment["metadata"]["namespace"]
    server = deployment["spec"]["template"]["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert ports[service["spec"]["ports"][0]["targetPort"]] == int(option(server, "--port"))
    assert option(server, "--http-endpoint") == f":{ports[server['readinessProbe']['httpGet']['port']]}"
    assert server["readinessProbe"]["httpGet"]["path"] == "/health"
    assert option(server, "--bind") == "0.0.0.0"
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 30
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    place = service["metadata"]["namespace"]
    assert any(
        (item["metadata"]["name"], item["metadata"]["namespace"]) == (account, place)
        for item in of_kind(deployed, "ServiceAccount")
    )
    for found in of_kind(deployed, "SnapshotMetadataService"):
        port = service["spec"]["ports"][0]["port"]
        assert found["spec"]["address"] == f"{service['metadata']['name']}.{place}.svc:{port}"
        assert set(found["spec"]) == {"address", "audience", "caCert"}


def test_the_sidecar_and_the_driver_meet():
    from tests.deploy.conftest import manifests

    (deployment,) = of_kind(manifests(), "Deployment")
    server, driver = deployment["spec"]["template"]["spec"]["containers"]
    endpoint = {item["name"]: item["value"] for item in driver["env"]}["CSI_ENDPOINT"]
    assert endpoint == f"unix://{option(server, '--csi-address')}"
    (found,) = of_kind(manifests(), "SnapshotMetadataService")
    assert found["metadata"]["name"] == option(driver, "--driver-name")
    shared = [{m["name"]: m["mountPath"] for m in c["volumeMounts"]}["socket"] for c in (server, driver)]
    assert shared == ["/run/csi", "/run/csi"]


def test_containers_have_no_rights_to_spare(deployed):
    for item, pod, container in containers(deployed):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        if item["kind"] == "Deployment":
            assert pod["securityContext"]["runAsNonRoot"] is True


def test_the_crd_knows_the_resource():
    text = (ROOT / "kubernetes/crd.yaml").read_text()
    assert (CHART / "crds/snapshotmetadataservices.yaml").read_text() == text
    (crd,) = helm.objects(text)
    names = crd["spec"]["names"]
    assert crd["metadata"]["name"] == f"{names['plural']}.{crd['spec']['group']}"
    (version,) = crd["spec"]["versions"]
    assert (version["name"], version["served"], version["storage"]) == ("v1beta1", True, True)
    schema = version["schema"]["openAPIV3Schema"]
    (example,) = of_kind(helm.objects((ROOT / "kubernetes/server.yaml").read_text()), "SnapshotMetadataService")
    jsonschema.validate(example, schema)
    del example["spec"]["caCert"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(example, schema)


def test_kustomization_names_files():
    found = yaml.safe_load((ROOT / "kubernetes/kustomization.yaml").read_text())
    assert found["kind"] == "Kustomization"
    assert all((ROOT / "kubernetes" / name).is_file() for name in found["resources"])


# ---- the chart ----

SCHEMA = yaml.safe_load((CHART / "values.schema.json").read_text())
WRONG = [
    {},  # caCert is empty
    {"snapshotMetadataService": {"caCert": "not base64!"}},
    {"image": {"repository": ""}},
    {"image": {"pullpolicy": "Always"}},
    {"driver": {"name": "-x"}},
    {"driver": {"csiAddress": "127.0.0.1:1"}},
    {"driver": {"sources": ["/snapshots"]}},
    {"service": {"port": 0}},
    {"service": {"port": "6443"}},
    {"replicas": -1},
    {"checkBaseOwnership": "maybe"},
    {"clients": [{"namespace": "app"}]},
    {"rbac": {"secrets": [{"namespace": "x", "names": []}]}},
    {"extraArgs": "--v=4"},
    {"colour": "blue"},
]


@pytest.mark.parametrize("case", CASES)
def test_good_values(case):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(helm.merged(default_values(), CASES[case]), SCHEMA)


@pytest.mark.parametrize("changes", WRONG, ids=str)
def test_wrong_values(changes):
    good = {"snapshotMetadataService": {"caCert": "Q0E="}} if changes else {}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(helm.merged(helm.merged(default_values(), good), changes), SCHEMA)


@pytest.mark.parametrize("root", [False, True])
def test_a_socket_that_is_for_root_alone_can_be_reached(monkeypatch, root):
    monkeypatch.setitem(CASES, "root", {"runAsRoot": root})
    ((_, pod, container),) = containers(chart("root"))
    user = pod["securityContext"]
    assert (user["runAsUser"], user.get("runAsNonRoot", False)) == ((0, False) if root else (65532, True))
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_every_value_is_in_the_schema_and_used():
    values = default_values()
    assert set(values) | {"global"} == set(SCHEMA["properties"])
    templates = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    for key, value in values.items():
        names = [f"{key}.{inner}" for inner in value] if key in ("image", "driver", "tls", "service", "rbac") else [key]
        for name in names:
            assert f".Values.{name}" in templates, name


def test_the_chart_says_who_it_is():
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert about["apiVersion"] == "v2"
    assert about["name"] == CHART.name
    assert re.fullmatch(r"\d+\.\d+\.\d+", about["version"])


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        ("a {{ .Values.x }} b", {"x": 1}, "a 1 b"),
        ("a\n{{- if .Values.x }}\nyes\n{{- else }}\nno\n{{- end }}\nb", {"x": []}, "a\nno\nb"),
        ("{{- range .Values.x }}\n- {{ .n | quote }}{{ $.Release.Name }}\n{{- end }}", {"x": [{"n": 1}]}, '\n- "1"cbt'),
        ("x:\n  {{- toYaml .Values.x | nindent 2 }}", {"x": {"a": [1]}}, "x:\n  a:\n  - 1"),
        (
            '{{ .Values.x | default .Chart.AppVersion }}{{ printf "-%s" .Values.y | quote }}',
            {"x": "", "y": "z"},
            '0.1.0"-z"',
        ),
    ],
)
def test_the_renderer(template, values, text):
    assert helm.render(template, values) == text


def test_the_renderer_refuses_what_it_does_not_know():
    for template in ("{{ .Values.nothing }}", "{{ include x }}", "{{ if .Values }}", "{{ end }}"):
        with pytest.raises((AssertionError, KeyError)):
            helm.render(template, {"x": 1})


# ---- the image ----


def test_the_container_file():
    """Builds from the tree, runs as nobody, starts the command."""
    lines = (ROOT / "Containerfile").read_text().splitlines()
    words = [line.split() for line in lines if line and not line.startswith(("#", " "))]
    assert [word[1] for word in words if word[0] == "USER"] == ["65532:65532"]
    assert 'ENTRYPOINT ["blockdiff"]' in lines
    copied = [source for word in words if word[0] == "COPY" and "--from" not in word[1] for source in word[1:-1]]
    assert all((ROOT.parent / source).exists() for source in copied), copied
    assert words[-2][0] == "ENTRYPOINT"
