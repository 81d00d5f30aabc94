"""deploy/kubernetes: who may reach whom, by labels, selectors and rules."""

from __future__ import annotations

import pytest
import yaml

from support.kustomize import OVERLAYS, Resource, one, resources

ALL = [(overlay, resource) for overlay in OVERLAYS for resource in resources(overlay)]
EVERYWHERE = ("0.0.0.0/0", "::/0")


def name_of(value: object) -> str:
    return f"{value['kind']}" if isinstance(value, dict) and "kind" in value else str(value)[:20]


def labels_of_gateway() -> tuple[dict[str, str], dict[str, str]]:
    """Of its namespace, and of its pods."""
    (namespace,) = (each for each in resources("gateway") if each["kind"] == "Namespace")
    labels = {**namespace["metadata"]["labels"], "kubernetes.io/metadata.name": namespace["metadata"]["name"]}
    return labels, one("gateway", "DaemonSet")["spec"]["template"]["metadata"]["labels"]


def selects(peer: Resource, namespace: dict[str, str], pod: dict[str, str]) -> bool:
    """Whether a peer of a policy is this one; a selector that is not there would be everybody."""
    wanted = (peer["namespaceSelector"]["matchLabels"], peer["podSelector"]["matchLabels"])
    return all(
        labels.items() >= selector.items() and selector
        for labels, selector in zip((namespace, pod), wanted, strict=True)
    )


def test_jobs_of_a_gateway_reach_it_and_nothing_else() -> None:
    spec = one("jobs", "NetworkPolicy")["spec"]
    assert (spec["podSelector"], sorted(spec["policyTypes"])) == ({}, ["Egress", "Ingress"])
    assert "ingress" not in spec
    (rule,) = spec["egress"]
    (peer,) = rule["to"]
    assert set(peer) == {"namespaceSelector", "podSelector"}
    assert selects(peer, *labels_of_gateway())
    assert rule["ports"] == [{"protocol": "TCP", "port": 3128}]


def test_ray_reaches_the_gateway_and_the_name_server_and_nothing_else() -> None:
    policy = one("kuberay", "RayCluster")["spec"]["networkPolicy"]
    for role in ("head", "worker"):
        gate, names = policy[role]["egressRules"]
        assert [selects(peer, *labels_of_gateway()) for peer in gate["to"]] == [True]
        assert gate["ports"] == [{"protocol": "TCP", "port": 3128}]
        (server,) = names["to"]
        assert selects(server, {"kubernetes.io/metadata.name": "kube-system"}, {"k8s-app": "kube-dns"})
        assert {port["port"] for port in names["ports"]} == {53}


def test_ray_pods_are_closed_before_the_operator_closes_them() -> None:
    spec = one("kuberay", "NetworkPolicy")["spec"]
    assert spec == {"podSelector": {"matchLabels": {"ray.io/is-ray-node": "yes"}}, "policyTypes": ["Egress"]}


@pytest.mark.parametrize("overlay", ["jobs", "kuberay"])
def test_gateway_lets_namespaces_of_jobs_in(overlay: str) -> None:
    (rule,) = one("gateway", "NetworkPolicy")["spec"]["ingress"]
    (peer,) = rule["from"]
    labels = one(overlay, "Namespace")["metadata"]["labels"]
    assert labels.items() >= peer["namespaceSelector"]["matchLabels"].items()
    assert rule["ports"] == [{"protocol": "TCP", "port": 3128}]


@pytest.mark.parametrize(("overlay", "resource"), ALL, ids=name_of)
def test_no_policy_opens_everything(overlay: str, resource: Resource) -> None:
    """Policies add up: one would undo the others."""
    assert not any(network in yaml.safe_dump(resource) for network in EVERYWHERE)


def test_service_finds_the_gateways_of_its_own_node() -> None:
    spec = one("gateway", "Service")["spec"]
    assert spec["internalTrafficPolicy"] == "Local"
    assert labels_of_gateway()[1].items() >= spec["selector"].items()
    assert one("gateway", "DaemonSet")["spec"]["selector"]["matchLabels"] == spec["selector"]
