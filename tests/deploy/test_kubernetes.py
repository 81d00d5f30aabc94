"""deploy/kubernetes: valid by the schemas of the API, closed where it says so, at one with our options."""

from __future__ import annotations

import base64
import copy
import shutil
import subprocess

import kubernetes_validate
import pytest
import yaml

from jobgate.cli import cli
from jobgate.cli.lockdown import IMAGE_UID
from jobgate.config.load import ConfigError, load_text
from jobgate.launch.environment import proxy_variables
from support.kustomize import (
    DEPLOY,
    OVERLAYS,
    Resource,
    containers,
    environment,
    named,
    one,
    pod_specs,
    resources,
)

#: Native sidecars are on by default since the first; the second is the newest with a schema.
VERSIONS = ("1.29", kubernetes_validate.latest_version())
ALL = [(overlay, resource) for overlay in OVERLAYS for resource in resources(overlay)]
PODS = [(overlay, spec) for overlay, resource in ALL for spec in pod_specs(resource)]
PLACES = (("sidecar", "Job"), ("gateway", "DaemonSet"))


def name_of(value: object) -> str:
    return f"{value['kind']}" if isinstance(value, dict) and "kind" in value else str(value)[:20]


def validate(resource: Resource, version: str) -> None:
    kubernetes_validate.validate(resource, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("overlay", "resource"), [each for each in ALL if each[1]["kind"] != "RayCluster"], ids=name_of
)
def test_resource_is_valid(overlay: str, resource: Resource, version: str) -> None:
    validate(resource, version)


def test_mistake_is_found_by_the_schema() -> None:
    job = copy.deepcopy(one("sidecar", "Job"))
    job["spec"]["template"]["spec"]["initContainers"][1]["startupProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(job, VERSIONS[0])


@pytest.mark.parametrize("version", VERSIONS)
def test_ray_cluster_is_made_of_valid_pods_and_rules(version: str) -> None:
    """Its own schema is the operator's; what it holds of Kubernetes is checked piece by piece."""
    cluster = one("kuberay", "RayCluster")
    assert set(cluster["spec"]) == {"rayVersion", "networkPolicy", "headGroupSpec", "workerGroupSpecs"}
    for spec in pod_specs(cluster):
        validate({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, "spec": spec}, version)
    policy = cluster["spec"]["networkPolicy"]
    assert set(policy) == {"mode", "head", "worker"}
    assert policy["mode"] == "DenyAllEgress"
    for role in ("head", "worker"):
        assert set(policy[role]) == {"egressRules"}
        spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": policy[role]["egressRules"]}
        rules = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": spec}
        validate({**rules, "metadata": {"name": role}}, version)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_makes_the_same_of_it(overlay: str) -> None:
    """What the other tests look at is what an operator gets."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / overlay)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")

    def key(resource: Resource) -> str:
        return f"{resource['kind']}/{resource['metadata']['name']}"

    printed = list(yaml.safe_load_all(done.stdout))
    kinds = [resource["kind"] for resource in printed]
    if overlay in ("jobs", "kuberay"):  # in this order they are applied: no pod is there before its policy
        assert kinds.index("NetworkPolicy") < min(map(kinds.index, {"Job", "RayCluster"} & set(kinds)))
    made = sorted(printed, key=key)
    for resource in made:  # long values come in lines
        for name, value in resource.get("data", {}).items():
            resource["data"][name] = value.replace("\n", "")
    assert made == sorted(resources(overlay), key=key)


@pytest.mark.parametrize(("overlay", "spec"), PODS, ids=name_of)
def test_containers_have_no_rights_that_they_do_not_need(overlay: str, spec: Resource) -> None:
    """The profile `restricted`, and read-only root file systems; what differs is named here."""
    pod = spec["securityContext"]
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & {
        key for key, value in spec.items() if value
    }
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        context = {**pod, **container["securityContext"]}
        lockdown = container["name"] == "lockdown"
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"], **({"add": ["NET_ADMIN"]} if lockdown else {})}
        assert context["runAsNonRoot"] is not lockdown
        assert (context["runAsUser"] == 0) is lockdown
        assert "privileged" not in context
        # Ray writes below /tmp and its home.
        assert context.get("readOnlyRootFilesystem", False) is (container["name"] != "ray")


@pytest.mark.parametrize(("overlay", "resource"), ALL, ids=name_of)
def test_namespace_enforces_that(overlay: str, resource: Resource) -> None:
    if resource["kind"] == "Namespace":
        level = resource["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        assert level == ("privileged" if overlay == "sidecar" else "restricted")


def test_pod_with_a_gate_closes_first_then_serves_then_runs_the_job() -> None:
    spec = one("sidecar", "Job")["spec"]["template"]["spec"]
    assert [container["name"] for container in spec["initContainers"]] == ["lockdown", "gate"]
    lockdown, gate = spec["initContainers"]
    assert "restartPolicy" not in lockdown
    assert gate["restartPolicy"] == "Always"
    assert gate["startupProbe"]["exec"]["command"][:2] == ["jobgate", "health"]
    assert not any("restartPolicy" in container for container in spec["containers"])


def test_only_the_gate_has_the_user_that_may_go_out() -> None:
    spec = one("sidecar", "Job")["spec"]["template"]["spec"]
    uid = str(named(spec, "gate")["securityContext"]["runAsUser"])
    assert named(spec, "lockdown")["args"] == ["--uid", uid]
    assert str(IMAGE_UID) == uid
    others = [container for container in containers(one("sidecar", "Job")) if container["name"] != "gate"]
    assert uid not in {str(container["securityContext"]["runAsUser"]) for container in others}


def test_job_of_a_pod_with_a_gate_has_the_variables_of_jobgate_env() -> None:
    spec = one("sidecar", "Job")["spec"]["template"]["spec"]
    gate = named(spec, "gate")
    listen = gate["args"][gate["args"].index("--listen") + 1]
    assert gate["startupProbe"]["exec"]["command"][2] == listen
    host, _, port = listen.rpartition(":")
    assert environment(named(spec, "job")) == proxy_variables(host, int(port))


def test_job_of_a_gateway_has_the_variables_of_jobgate_env() -> None:
    job = named(one("jobs", "Job")["spec"]["template"]["spec"], "job")
    service = one("gateway", "Service")["spec"]
    (port,) = service["ports"]
    found = environment(job, JOBGATE_TOKEN="secret")
    assert found.pop("JOBGATE_TOKEN") == "secret"
    assert found == proxy_variables(service["clusterIP"], port["port"], credentials="train:secret")


def test_ray_has_the_variables_of_jobgate_env_and_reaches_its_cluster_directly() -> None:
    host = one("gateway", "Service")["spec"]["clusterIP"]
    direct = ["10.244.0.0/16", "10.96.0.0/12", ".svc.cluster.local"]
    expected = proxy_variables(host, 3128, credentials="ray:secret", no_proxy=direct)
    for container in containers(one("kuberay", "RayCluster")):
        found = environment(container, JOBGATE_TOKEN="secret")
        assert found.pop("JOBGATE_TOKEN") == "secret"
        assert found == expected


def command_lines() -> dict[str, list[str]]:
    """What the containers run of jobgate, without its name."""
    pod, node = (one(*each)["spec"]["template"]["spec"] for each in PLACES)
    gate, gateway = named(pod, "gate"), named(node, "gateway")
    return {
        "lockdown": ["lockdown", *named(pod, "lockdown")["args"]],
        "sidecar": gate["args"],
        "its probe": gate["startupProbe"]["exec"]["command"][1:],
        "gateway": gateway["args"],
        "the gateway's probes": gateway["startupProbe"]["exec"]["command"][1:],
    }


@pytest.mark.parametrize("argv", command_lines().values(), ids=command_lines())
def test_command_line_is_one_of_jobgate(argv: list[str]) -> None:
    command = cli.get_command(cli.make_context("jobgate", ["--help"], resilient_parsing=True), argv[0])
    assert command is not None
    command.make_context(argv[0], argv[1:])


def gateway_config() -> str:
    secrets = {each["metadata"]["name"]: each for each in resources("gateway") if each["kind"] == "Secret"}
    return base64.b64decode(secrets["jobgate-config"]["data"]["jobgate.toml"]).decode()


def test_gateway_does_not_start_with_the_token_of_the_example() -> None:
    with pytest.raises(ConfigError, match=r"job\[0\].token: a token has"):
        load_text(gateway_config())


def test_gateway_with_a_token_knows_the_job_and_listens_where_its_service_points() -> None:
    settings = load_text(gateway_config().replace("REPLACE ME", "0123456789abcdef"))
    (job,) = settings.jobs
    assert job.id == "train"
    spec = one("gateway", "DaemonSet")["spec"]["template"]["spec"]
    ports = {port["name"]: port["containerPort"] for port in named(spec, "gateway")["ports"]}
    (listen,) = settings.listen.proxy
    assert str(listen) == f"0.0.0.0:{ports['proxy']}"
    assert str(settings.listen.metrics) == f"0.0.0.0:{ports['metrics']}"
    (port,) = one("gateway", "Service")["spec"]["ports"]
    assert ports[port["targetPort"]] == 3128
    mounts = {mount["mountPath"] for mount in named(spec, "gateway")["volumeMounts"]}
    assert mounts == {"/etc/jobgate", "/run/jobgate"}
    assert str(settings.listen.control) == "unix:/run/jobgate/control.sock"


@pytest.mark.parametrize("overlay", ["gateway", "sidecar"])
def test_grace_is_longer_than_the_drain(overlay: str) -> None:
    drain_s = load_text("").timeouts.drain_s
    (seconds,) = {spec["terminationGracePeriodSeconds"] for which, spec in PODS if which == overlay}
    assert seconds > drain_s


def test_image_of_the_lockdown_runs_the_lockdown() -> None:
    lines = (DEPLOY / "lockdown.Dockerfile").read_text().splitlines()
    assert 'ENTRYPOINT ["jobgate", "lockdown"]' in lines
    # The gate's image says where it listens; the step must not take that for its own option.
    assert "ENV JOBGATE_LISTEN=" in lines
