"""Schemas of what goes in and out (JSON Schema 2020-12): the components of the OpenAPI document.

What a schema cannot say (that a domain is one the node allows) is told by 422.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from .insight import MAX_URL_CHARS, MAX_URLS
from .parameters import JOB_ID_PATTERN

Schema: TypeAlias = dict[str, object]


def _object(properties: Mapping[str, object], *, optional: tuple[str, ...] = (), **more: object) -> Schema:
    """An object with these keys and, unless said otherwise, no others."""
    required = [name for name in properties if name not in optional]
    schema: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False, **more}
    return {**schema, "required": required} if required else schema


def _list(items: object, **more: object) -> Schema:
    return {"type": "array", "items": items, **more}


def _one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _map(values: object) -> Schema:
    return {"type": "object", "additionalProperties": values}


def reference(name: str) -> Schema:
    """Refer to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


_TEXT: Schema = {"type": "string"}
_BOOL: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_SECONDS: Schema = {"type": "number", "minimum": 0}
_TEXTS = _list(_TEXT)
_TIME: Schema = {"type": "string", "format": "date-time"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_COUNT_OR_NULL: Schema = {"type": ["integer", "null"], "minimum": 0}
_BYTES_PER_S: Schema = {
    "type": ["number", "null"],
    "minimum": 0,
    "description": "Bytes per second; null is unlimited.",
}
_RATE: Schema = {
    "description": 'Bytes per second, or a text: "10mbit", "2.5MB", "unlimited".',
    "oneOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "minLength": 1}],
    "examples": ["10mbit"],
}
_QUOTA: Schema = {"type": "integer", "minimum": 0, "maximum": 1 << 60, "description": "Bytes; 0 is no quota."}
_DOMAINS: Schema = _list({"type": "string", "minLength": 1}, examples=[[".example.com", "example.net:8443"]])

#: Of a ``[[job]]``: key, schema.
SETTINGS: Mapping[str, Schema] = {
    "id": {"type": "string", "pattern": JOB_ID_PATTERN, "description": "As in the path; may be left out."},
    "listen": {
        "type": "string",
        "description": 'The job\'s own listener: "127.0.0.1:0", "unix:/path"; "" is none.',
    },
    "clients": _list(_TEXT, description="Source networks that are this job."),
    "domains": {**_DOMAINS, "description": 'What it may reach; needed for network "http".'},
    "deny": {**_DOMAINS, "description": "What it may not reach, whatever allows it."},
    "network": _one_of("none", "http", "full"),
    "rate_up": _RATE,
    "rate_down": _RATE,
    "burst": {"type": "integer", "minimum": 4096, "maximum": 1 << 30, "description": "Bytes."},
    "max_bytes_up": _QUOTA,
    "max_bytes_down": _QUOTA,
    "max_duration_s": {"type": "number", "minimum": 0, "maximum": 31_536_000, "description": "0 is no end."},
    "expires": {
        "type": "string",
        "description": 'RFC 3339; "" is never.',
        "examples": ["2027-01-01T00:00:00Z"],
    },
    "labels": _map(_TEXT),
    "mode": {**_one_of("", "enforce", "report"), "description": '"" is as the node.'},
    "netns": {"type": "string", "description": "Network namespace of the listener."},
    "peer_uids": _list({"type": "integer", "minimum": 0, "maximum": 2**32 - 2}),
    "tls": _one_of("require", "any"),
    "job_header": _TEXT,
    "max_connections": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
    "max_members": {
        "type": "integer",
        "minimum": 0,
        "maximum": 10_000,
        "description": "Jobs named ID.MEMBER that the token may make, each with rates of its own; 0 is none.",
    },
    "env": _map(_TEXT),
}

_TOKEN: Schema = {
    "description": 'A token of your own, or true: the gateway makes one and tells it once. "" takes it away.',
    "oneOf": [{"type": "string", "maxLength": 256, "pattern": "^[!-~]*$"}, {"const": True}],
}

_LIVE = _object(
    {
        "connections": _COUNT,
        "bytes_up": _COUNT,
        "bytes_down": _COUNT,
        "requests": _COUNT,
        "refused": _COUNT,
        "waiting_up": {**_COUNT, "description": "Connections that the rate holds back now."},
        "wait_up_s": {**_SECONDS, "description": "Time that it has held connections back, added up."},
        "waiting_down": _COUNT,
        "wait_down_s": _SECONDS,
        "rate_up": {**_BYTES_PER_S, "description": "In force, bounded by the node; null is unlimited."},
        "rate_down": _BYTES_PER_S,
    }
)

_JOB: Mapping[str, object] = {
    "id": {"type": "string", "pattern": JOB_ID_PATTERN},
    "origin": {
        **_one_of("file", "api", "member"),
        "description": "Where it was written; only there it can be changed. A member follows its job.",
    },
    "state": _one_of("active", "expired", "quota", "refused"),
    "problem": {**_TEXT_OR_NULL, "description": "Why it is not served, or not wholly."},
    "listen": {**_TEXT_OR_NULL, "description": "Where its own listener is."},
    "created_at": _TIME,
    "has_token": _BOOL,
    "settings": _object(SETTINGS, optional=("burst",)),
    "live": reference("Live"),
}

_REFUSED = _list(
    _object(
        {
            "authority": _TEXT,
            "reason": _TEXT,
            "kind": _one_of("connect", "http"),
            "count": _COUNT,
            "proposals": {
                **_TEXTS,
                "description": "Entries for domains that would allow it, the narrowest first.",
            },
        }
    )
)

_NODE_POLICY = _object(
    {
        "networks": _list(_one_of("none", "http", "full")),
        "allow": {"type": ["array", "null"], "items": _TEXT},
        "deny": _TEXTS,
        "deny_addresses": _TEXTS,
        "allow_addresses": _TEXTS,
        "max_rate_up": _BYTES_PER_S,
        "max_rate_down": _BYTES_PER_S,
        "total_rate_up": _BYTES_PER_S,
        "total_rate_down": _BYTES_PER_S,
        "via": _TEXT,
        "no_proxy": _TEXTS,
        "refusal_note": _TEXT,
        "connect_ports": _TEXTS,
        "http_ports": _TEXTS,
        "close_revoked": _BOOL,
        "mode": _one_of("enforce", "report"),
    }
)

_PROBLEMS = _list(_object({"key": _TEXT, "message": _TEXT}))

SCHEMAS: Mapping[str, Schema] = {
    "Settings": _object({**SETTINGS, "token": _TOKEN}, optional=(*SETTINGS, "token")),
    "SettingsPatch": _object(
        {key: {"oneOf": [schema, {"type": "null"}]} for key, schema in {**SETTINGS, "token": _TOKEN}.items()},
        optional=(*SETTINGS, "token"),
    ),
    "Live": _LIVE,
    "Job": _object(_JOB),
    "JobWithToken": _object(
        {**_JOB, "token": {"type": "string", "description": "Told this once, where one was made."}},
        optional=("token",),
    ),
    "JobPage": _object(
        {
            "at": {
                "type": "number",
                "description": "When counters were first read, in seconds since the epoch.",
            },
            "next": {**_TEXT_OR_NULL, "description": "`after` of the next page; null: this is the last."},
            "jobs": _list(reference("Job")),
        }
    ),
    "Check": _object(
        {
            "urls": _list(
                {"type": "string", "minLength": 1, "maxLength": MAX_URL_CHARS}, minItems=1, maxItems=MAX_URLS
            )
        }
    ),
    "Answers": _object(
        {
            "answers": _list(
                _object(
                    {
                        "url": _TEXT,
                        "kind": {"enum": ["connect", "http", None]},
                        "host": _TEXT_OR_NULL,
                        "port": _COUNT_OR_NULL,
                        "decision": _one_of("allow", "deny"),
                        "reason": _TEXT_OR_NULL,
                        "rule": _TEXT_OR_NULL,
                        "detail": _TEXT,
                        "addresses": _TEXTS,
                        "would": {"const": "deny", "description": "In report mode: it passes all the same."},
                    },
                    optional=("would",),
                )
            )
        }
    ),
    "Usage": _object(
        {
            "live": reference("Live"),
            "decisions": {**_map(_COUNT), "description": "Requests by reason; `allow` is one of them."},
            "reached": _list(
                _object({"authority": _TEXT, "requests": _COUNT, "bytes_up": _COUNT, "bytes_down": _COUNT})
            ),
            "refused": _REFUSED,
            "overlooked": {**_REFUSED, "description": "What report mode let pass."},
            "failed": {**_REFUSED, "description": "What was allowed and did not come about."},
        }
    ),
    "Lines": _object({"decisions": _list({"type": "object", "description": "A line of the log."})}),
    "Learned": _object({"domains": _TEXTS, "tls": _one_of("require", "any")}),
    "Variables": _object(
        {
            "variables": _map(_TEXT),
            "complete": {
                **_BOOL,
                "description": "false: the gateway knows the hash of the job's token alone; put the token "
                "itself where the values say TOKEN.",
            },
        }
    ),
    "Policy": _object(
        {
            "node": _NODE_POLICY,
            "limits": _map({"type": "number"}),
            "timeouts": _map({"type": "number"}),
        }
    ),
    "Validation": _object(
        {"valid": _BOOL, "problems": _PROBLEMS, "weakenings": _TEXTS, "needs_restart": _TEXTS}
    ),
    "Reload": _object(
        dict.fromkeys(("added", "changed", "removed", "refused", "weakenings", "needs_restart"), _TEXTS)
    ),
    "Node": _object(
        {
            "version": _TEXT,
            "at": {"type": "number"},
            "started_at": _TIME,
            "draining": _BOOL,
            "mode": _one_of("enforce", "report"),
            "jobs": _COUNT,
            "connections": _COUNT,
            "max_connections": _COUNT,
        }
    ),
    "Status": _object({"status": _TEXT}),
    "Document": {"type": "object"},
    "Problem": _object(
        {
            "title": _TEXT,
            "status": {"type": "integer"},
            "reason": {**_TEXT, "description": "One word, for programs."},
            "detail": {**_TEXT, "description": "What is wrong and what to do, for people."},
            "problems": _PROBLEMS,
        },
        optional=("problems",),
    ),
}
