"""What a Golem requestor asks for: a computation manifest, bare or within a demand. Pure.

Source: GAP-4 (golem-architecture, gaps/gap-4_comp_manifest); yagna, utils/manifest-utils/src/manifest.rs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from jobgate.config.policy import JobPolicy, Network
from jobgate.config.rules import RuleSet

from ..asking import JobError
from ..documents import decode_base64, decode_text, read_json
from .urls import OutboundUrl, UrlError, parse_url

PAYLOAD = "golem.srv.comp.payload"
SIGNATURE = f"{PAYLOAD}.sig"
ALGORITHM = f"{PAYLOAD}.sig.algorithm"
CERTIFICATE = f"{PAYLOAD}.cert"
NODE_DESCRIPTOR = "golem.!exp.gap-31.v0.node.descriptor"

_MANIFEST_KEYS = frozenset(("compManifest", "payload"))
_DEMAND_KEYS = frozenset(("properties", "demand", "golem"))
_NEITHER = (
    'net.inet.out: has neither "urls" nor "unrestricted": list the URLs; "urls": [] asks for no network'
)
_SEVERAL = "more than one demand in one document: send one of them"


@dataclass(frozen=True, slots=True)
class Outbound:
    """The network that a manifest asks for.

    Attributes:
        urls: For network ``http``, and for nothing else.
    """

    network: Network = Network.NONE
    urls: tuple[OutboundUrl, ...] = ()

    @property
    def policy(self) -> JobPolicy:
        """As a job's: each URL opens its host on its port."""
        return JobPolicy(self.network, RuleSet(url.rule for url in self.urls))


@dataclass(frozen=True, slots=True)
class Signed:
    """A payload with its signature, all as they stand in the demand: texts in base64."""

    payload: str
    signature: str
    algorithm: str
    certificate: str


@dataclass(frozen=True, slots=True)
class Demand:
    """What a requestor sends.

    Attributes:
        signed: ``None``: the manifest is not signed.
        descriptor: The node descriptor, as JSON; ``None``: there is none.
        requestor: The node id of whoever sent it, in lower case; ``""``: not known.
    """

    outbound: Outbound
    signed: Signed | None = None
    descriptor: object = None
    requestor: str = ""


def is_golem(document: Mapping[str, object]) -> bool:
    """Say whether a document is a manifest or a demand of Golem's."""
    return _is_demand(document) or not _MANIFEST_KEYS.isdisjoint(document)


def read_document(document: Mapping[str, object], now: datetime) -> Demand:
    """Read a manifest, or a demand with one.

    Raises:
        JobError: Something in it is not valid; the reason is one that Golem or GAP-4 has, or ours.
        DocumentError: A part of it is no base64 or no JSON.
    """
    if not _is_demand(document):
        return Demand(read_manifest(document, now))
    _check_form(document)
    if "demand" in document:
        agreed = _table(document["demand"], "demand")
        if "demand" in agreed:
            raise JobError([_SEVERAL])
        _check_form(agreed)
        return _read_demand(agreed, now)
    return _read_demand(document, now)


def _check_form(document: Mapping[str, object]) -> None:
    """Refuse a document that others could read in another way."""
    if not _MANIFEST_KEYS.isdisjoint(document):
        raise JobError(["a manifest and a demand in one: send one of them"])
    forms = {key.partition(".")[0] for key in document if key in _DEMAND_KEYS or key.startswith("golem.")}
    if len(forms) > 1:
        raise JobError([_SEVERAL])


def _is_demand(document: Mapping[str, object]) -> bool:
    return any(key in _DEMAND_KEYS or key.startswith("golem.") for key in document)


def _read_demand(document: Mapping[str, object], now: datetime) -> Demand:
    given = _table(document["properties"], "properties") if "properties" in document else document
    properties: dict[str, object] = {}
    for key, value in _flat(given, ""):
        if key in properties:
            raise JobError([f"{key}: is there twice"])
        properties[key] = value
    payload = _text(properties, PAYLOAD)
    outbound = Outbound() if payload is None else read_manifest(decode_manifest(payload), now)
    requestor = document.get("requestorId", document.get("issuerId", ""))
    return Demand(
        outbound,
        _signed(properties, payload),
        _descriptor(properties.get(NODE_DESCRIPTOR)),
        requestor.lower() if isinstance(requestor, str) else "",
    )


def decode_manifest(payload: str) -> Mapping[str, object]:
    """Decode a manifest as it stands in a demand: JSON in base64.

    Raises:
        DocumentError: It is something else.
        JobError: It is no object.
    """
    manifest = read_json(decode_text(decode_base64(payload, PAYLOAD), PAYLOAD), PAYLOAD)
    if not isinstance(manifest, dict):
        raise JobError([f"{PAYLOAD}: expected a manifest"])
    return manifest


def read_manifest(manifest: Mapping[str, object], now: datetime) -> Outbound:
    """Read the network that a manifest asks for.

    Raises:
        JobError: It has expired, or ``net.inet.out`` is not valid.
    """
    _check_time(manifest.get("expiresAt"), now)
    table: Mapping[str, object] = manifest
    for key in ("compManifest", "net", "inet", "out"):
        value = table.get(key)
        if value is None:
            return Outbound()
        table = _table(value, key)
    return _outbound(table)


def _outbound(out: Mapping[str, object]) -> Outbound:
    urls, unrestricted = out.get("urls"), out.get("unrestricted")
    if urls is not None and unrestricted is not None:
        raise JobError(['net.inet.out: has "urls" and "unrestricted": leave one of them out'])
    if unrestricted is not None:
        if not isinstance(unrestricted, dict) or unrestricted.get("urls") is not True:
            raise JobError(['net.inet.out.unrestricted: write {"urls": true}'])
        return Outbound(Network.FULL)
    if urls is None:
        raise JobError([_NEITHER])
    if not isinstance(urls, list):
        raise JobError(["net.inet.out.urls: expected a list of URLs"])
    return Outbound(Network.HTTP, _urls(urls)) if urls else Outbound()


def _urls(urls: list[object]) -> tuple[OutboundUrl, ...]:
    read: list[OutboundUrl] = []
    problems: list[str] = []
    for index, url in enumerate(urls):
        try:
            if not isinstance(url, str):
                raise UrlError("expected a text")
            read.append(parse_url(url))
        except UrlError as error:
            problems.append(f"net.inet.out.urls[{index}]: {error}")
    if problems:
        raise JobError(problems)
    return tuple(read)


def _check_time(expires: object, now: datetime) -> None:
    if expires is None:
        return
    try:
        moment = datetime.fromisoformat(expires) if isinstance(expires, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise JobError(["expiresAt: expected a time (RFC 3339)"])
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment <= now:
        raise JobError(["expiresAt: the manifest has expired"])


def _flat(table: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    """Properties by their whole names, however deep they stand; ``@tag`` is the value of its parent."""
    for key, value in table.items():
        name = ".".join(part for part in f"{prefix}{key}".split(".") if part != "@tag")
        if isinstance(value, dict) and name != NODE_DESCRIPTOR:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _table(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise JobError([f"{place}: expected an object"])
    return value


def _signed(properties: Mapping[str, object], payload: str | None) -> Signed | None:
    signature = _text(properties, SIGNATURE)
    if payload is None or signature is None:
        return None
    return Signed(
        payload, signature, _text(properties, ALGORITHM) or "sha256", _text(properties, CERTIFICATE) or ""
    )


def _descriptor(value: object) -> object:
    return read_json(value, NODE_DESCRIPTOR) if isinstance(value, str) else value


def _text(properties: Mapping[str, object], key: str) -> str | None:
    value = properties.get(key)
    if value is not None and not isinstance(value, str):
        raise JobError([f"{key}: expected a text"])
    return value
