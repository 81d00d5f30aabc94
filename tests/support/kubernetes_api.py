"""A Kubernetes API that keeps what ``kubectl`` applies and runs nothing: a job is complete once it is there.

It is strict where a page can be wrong: unknown kinds, namespaces and names are not found. What a pod prints
is played, and ``exec`` is refused once it has been asked for.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from .kustomize import Resource

#: Version of the API and kind, by plural.
_KINDS = {
    "namespaces": ("v1", "Namespace"),
    "pods": ("v1", "Pod"),
    "secrets": ("v1", "Secret"),
    "services": ("v1", "Service"),
    "events": ("v1", "Event"),
    "daemonsets": ("apps/v1", "DaemonSet"),
    "jobs": ("batch/v1", "Job"),
    "networkpolicies": ("networking.k8s.io/v1", "NetworkPolicy"),
    "rayclusters": ("ray.io/v1", "RayCluster"),
}
_SHORT = {"daemonsets": ["ds"]}
_VERBS = ["create", "delete", "get", "list", "patch", "watch"]
#: Where each version of the API is.
_ROOTS = {
    version: f"/api/{version}" if version == "v1" else f"/apis/{version}" for version, _ in _KINDS.values()
}


def _kinds_of(version: str) -> list[Resource]:
    return [
        {"name": plural, "kind": kind, "namespaced": kind != "Namespace", "verbs": _VERBS}
        | {"singularName": kind.lower(), "shortNames": _SHORT.get(plural, [])}
        for plural, (where, kind) in _KINDS.items()
        if where == version
    ]


def _schema() -> Resource:
    """That every kind can be checked by the server, which tests of the schemas do: kubectl need not."""
    paths = {}
    for plural, (version, kind) in _KINDS.items():
        group = {"group": version.rpartition("/")[0], "version": "v1", "kind": kind}
        parameters = [{"name": "fieldValidation", "in": "query"}]
        patch = {"parameters": parameters, "x-kubernetes-group-version-kind": group}
        paths[f"{_ROOTS[version]}/{plural}"] = {"patch": patch}
    return {"openapi": "3.0.0", "paths": paths}


_GROUPS = [
    {"name": version.split("/")[0], "versions": [{"groupVersion": version, "version": "v1"}]}
    for version in _ROOTS
    if version != "v1"
]
#: What kubectl asks to learn of the kinds.
_DISCOVERY: dict[str, Resource] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": _GROUPS},
    "/openapi/v3": {"paths": {root[1:]: {"serverRelativeURL": "/schema"} for root in _ROOTS.values()}},
    "/schema": _schema(),
    **{
        root: {"kind": "APIResourceList", "groupVersion": version, "resources": _kinds_of(version)}
        for version, root in _ROOTS.items()
    },
}


def _merged(value: Resource, change: Resource) -> Resource:
    """A merge patch; lists are replaced."""
    result = dict(value)
    for key, new in change.items():
        old = result.get(key)
        result[key] = _merged(old, new) if isinstance(old, dict) and isinstance(new, dict) else new
    return result


class PlayedApi:
    """What was applied.

    Attributes:
        objects: By namespace, plural and name; a namespace is in itself.
        commands: Pods, containers and commands of ``exec``.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Resource] = {}
        self.commands: list[tuple[str, str, list[str]]] = []
        self.add("default", "namespaces", {"kind": "Namespace", "metadata": {"name": "default"}})

    def add(self, namespace: str, plural: str, resource: Resource) -> None:
        """Keep one object, and a pod for each that has some."""
        name = resource["metadata"]["name"]
        resource["metadata"] |= {"uid": f"{namespace}-{plural}-{name}", "resourceVersion": "1"}
        self.objects[namespace, plural, name] = resource
        if plural not in ("jobs", "daemonsets"):
            return
        template, labels = resource["spec"]["template"], {"played": name}
        if plural == "jobs":
            resource["spec"]["selector"] = {"matchLabels": labels}
            resource["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
        else:
            labels = template["metadata"]["labels"]
        meta = {"name": f"{name}-x", "namespace": namespace, "labels": labels}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
        self.add(namespace, "pods", {**pod, "status": {"phase": "Running"}})

    def listed(self, namespace: str, plural: str, query: dict[str, list[str]]) -> Resource:
        """The objects of a kind that selectors let through."""
        found = [value for key, value in self.objects.items() if key[:2] == (namespace, plural)]
        for word in ",".join(query.get("labelSelector", [])).split(","):
            key, _, wanted = word.partition("=")
            found = [each for each in found if not key or each["metadata"]["labels"].get(key) == wanted]
        for word in query.get("fieldSelector", []):
            name = word.partition("metadata.name=")[2]
            found = [each for each in found if each["metadata"]["name"] == name]
        version, kind = _KINDS[plural]
        meta = {"resourceVersion": "1"}
        return {"apiVersion": version, "kind": f"{kind}List", "metadata": meta, "items": found}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    played: PlayedApi

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _say(self, status: int, content: Resource | str) -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def _fail(self, status: int, reason: str) -> None:
        shape = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": status}
        self._say(status, {**shape, "message": f"{reason}: {self.path}"})

    def _answer(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or "null")
        if url.path in _DISCOVERY:
            self._say(200, _DISCOVERY[url.path])
            return
        root = next((root for root in _ROOTS.values() if url.path.startswith(f"{root}/")), None)
        if root is None:
            self._fail(404, "NotFound")
            return
        parts = url.path.removeprefix(f"{root}/").split("/")
        if len(parts) < 3:  # of namespaces themselves
            name = parts[1] if len(parts) > 1 else content["metadata"]["name"] if content else ""
            parts = ["namespaces", name, *parts]
        _, namespace, plural, *rest = parts
        made = self.command == "POST" and plural == "namespaces"
        if (namespace, "namespaces", namespace) not in self.played.objects and not made:
            self._fail(404, "NotFound")
        elif not rest and self.command == "POST":
            self.played.add(namespace, plural, content)
            self._say(201, content)
        elif "watch" in query:
            self._say(200, "")  # nothing happens any more
        elif not rest:
            self._say(200, self.played.listed(namespace, plural, query))
        elif (found := self.played.objects.get((namespace, plural, rest[0]))) is None:
            self._fail(404, "NotFound")
        elif rest[1:] == ["log"]:
            self._say(200, f"{rest[0]} {query['container'][0]}\n")
        elif rest[1:] == ["exec"]:
            self.played.commands.append((rest[0], query["container"][0], query["command"]))
            self._fail(403, "Forbidden")
        elif self.command == "DELETE":
            del self.played.objects[namespace, plural, rest[0]]
            self._say(200, found)
        elif self.command == "PATCH":
            self.played.add(namespace, plural, _merged(found, content))
            self._say(200, self.played.objects[namespace, plural, rest[0]])
        else:
            self._say(200, found)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer


@contextmanager
def played_api() -> Iterator[tuple[PlayedApi, str]]:
    """Serve one; yields it and its URL."""
    played = PlayedApi()
    handler = type("Handler", (_Handler,), {"played": played})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield played, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
