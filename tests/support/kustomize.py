"""The resources of a kustomization: what ``kubectl kustomize`` makes of the few features that ours use."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from .docker_engine import ROOT

DEPLOY = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("sidecar", "gateway", "jobs", "kuberay")

#: One object of the API, as YAML has it.
Resource = dict[str, Any]

_KNOWN = {"apiVersion", "kind", "resources", "secretGenerator", "generatorOptions", "images", "sortOptions"}


def resources(name: str) -> list[Resource]:
    """The resources of one of ``OVERLAYS``, generated secrets last.

    Raises:
        ValueError: It uses a feature that is not known here.
    """
    folder = DEPLOY / name
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    unknown = set(kustomization) - _KNOWN
    if unknown or kustomization.get("generatorOptions") not in (None, {"disableNameSuffixHash": True}):
        raise ValueError(f"{name}: {', '.join(sorted(unknown)) or 'generatorOptions'}")
    found = [
        resource
        for file in kustomization["resources"]
        for resource in yaml.safe_load_all((folder / file).read_text())
    ]
    for resource in found:
        for container in containers(resource):
            rename_image(container, kustomization.get("images", []))
    return [*found, *(secret(folder, each) for each in kustomization.get("secretGenerator", []))]


def secret(folder: Path, generator: Resource) -> Resource:
    """A secret of files and literals."""
    data = {file: (folder / file).read_bytes() for file in generator.get("files", [])}
    for literal in generator.get("literals", []):
        key, _, value = literal.partition("=")
        data[key] = value.encode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": generator["name"], "namespace": generator["namespace"]},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


def rename_image(container: Resource, images: list[Resource]) -> None:
    for image in images:
        if container["image"] == image["name"]:
            container["image"] = f"{image['newName']}:{image['newTag']}"
            return


def pod_specs(resource: Resource) -> Iterator[Resource]:
    """The specifications of pods in a resource; those of a RayCluster, too."""
    spec = resource.get("spec", {})
    if resource["kind"] == "RayCluster":
        yield spec["headGroupSpec"]["template"]["spec"]
        yield from (group["template"]["spec"] for group in spec["workerGroupSpecs"])
    elif "template" in spec:
        yield spec["template"]["spec"]


def containers(resource: Resource) -> Iterator[Resource]:
    """Every container, those that come first included."""
    for spec in pod_specs(resource):
        yield from (*spec.get("initContainers", ()), *spec["containers"])


def one(name: str, kind: str) -> Resource:
    """The only resource of a kind."""
    (found,) = (resource for resource in resources(name) if resource["kind"] == kind)
    return found


def named(spec: Resource, name: str) -> Resource:
    """A container of a pod by its name."""
    every = (*spec.get("initContainers", ()), *spec["containers"])
    return next(container for container in every if container["name"] == name)


def environment(container: Resource, **secrets: str) -> dict[str, str]:
    """The variables of a container; ``$(NAME)`` is what an earlier one holds, as the kubelet does it."""
    found: dict[str, str] = {}
    for variable in container.get("env", ()):
        value = variable.get("value", secrets.get(variable["name"]))
        assert value is not None, variable
        for name, known in found.items():
            value = value.replace(f"$({name})", known)
        found[variable["name"]] = value
    return found
