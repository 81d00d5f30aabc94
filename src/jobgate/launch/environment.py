"""The variables by which a job finds its proxy. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

NO_PROXY = ("localhost", "127.0.0.1", "::1")
JAVA_OPTIONS = "JAVA_TOOL_OPTIONS"


def proxy_variables(
    host: str, port: int, *, credentials: str = "", no_proxy: Sequence[str] = (), java_options: str = ""
) -> dict[str, str]:
    """The variables that lead common clients to a proxy.

    Args:
        host: The proxy's host as it stands in a URL (brackets around IPv6).
        port: The proxy's port.
        credentials: ``job:token``, where the proxy tells jobs by it.
        no_proxy: Hosts to reach without the proxy, besides loopback.
        java_options: What ``JAVA_TOOL_OPTIONS`` holds already; ours are appended.
    """
    url = f"http://{credentials}@{host}:{port}" if credentials else f"http://{host}:{port}"
    direct = ",".join((*NO_PROXY, *no_proxy))
    java = (
        f"-D{scheme}.proxy{key}={value}"
        for scheme in ("http", "https")
        for key, value in (("Host", host.strip("[]")), ("Port", port))
    )
    return {
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), url),
        **dict.fromkeys(("no_proxy", "NO_PROXY"), direct),
        "NODE_USE_ENV_PROXY": "1",
        JAVA_OPTIONS: " ".join(filter(None, (java_options, *java))),
    }


def without_proxy(inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment less every ``*_proxy`` in either case: these lead nowhere from a job's namespace."""
    return {name: value for name, value in inherited.items() if not name.lower().endswith("_proxy")}


def behind_proxy(
    inherited: Mapping[str, str], host: str, port: int, *, no_proxy: Sequence[str], extra: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a job whose only network is a proxy.

    Args:
        inherited: The user's own; what is set here beats it.
        host: The proxy's.
        port: The proxy's.
        no_proxy: Further hosts to reach without the proxy.
        extra: The ``[env]`` tables of the configuration; beats all.
    """
    java_options = inherited.get(JAVA_OPTIONS, "")
    variables = proxy_variables(host, port, no_proxy=no_proxy, java_options=java_options)
    return {**without_proxy(inherited), **variables, **extra}
