"""What each proxy of ``run.py`` is configured with: one job's policy, a log in a file, no rate.

Every one may reach ``localhost`` on the origin's port and nothing else, and logs each request. Limits are
raised where the load would meet them. ``{port}``, ``{origin}`` and ``{folder}`` are filled in.
"""

from __future__ import annotations

#: In the folder of a gate.
GATE_LOG = "decisions.log"
_NODE = """\
[node]
allow_addresses = ["127.0.0.1:{origin}", "[::1]:{origin}"]
[log]
path = "{folder}/decisions.log"
[limits]
requests_per_s_per_job = 1000000
max_connections_per_job = 4096
[listen]
control = ""
"""
_JOB = """\
[[job]]
id = "ID"
network = "http"
listen = "127.0.0.1:PORT"
domains = ["localhost:{origin}"]
rate_up = "unlimited"
rate_down = "unlimited"
tls = "any"
max_connections = 4096
"""
JOBGATE = _NODE + _JOB.replace("ID", "bench").replace("PORT", "{port}")
#: Each worker owns jobs: two jobs, which get the load in turns.
JOBGATE_TWO_WORKERS = (
    _NODE
    + "workers = 2\n"
    + _JOB.replace("ID", "bench-1").replace("PORT", "{port}")
    + _JOB.replace("ID", "bench-2").replace("PORT", "{second_port}")
)

#: All but where it listens and whom it may reach: the origin's ports and names.
SQUID_COMMON = """\
pid_filename {folder}/squid.pid
coredump_dir {folder}
access_log stdio:{folder}/access.log
buffered_logs on
cache_log {folder}/cache.log
cache deny all
cache_mem 8 MB
pinger_enable off
max_filedescriptors 16384
shutdown_lifetime 0 seconds
http_access deny !origin_ports
http_access allow origin_names
http_access deny all
"""
SQUID = (
    """\
http_port 127.0.0.1:{port}
via on
forwarded_for delete
acl origin_ports port {origin}
acl origin_names dstdomain localhost
"""
    + SQUID_COMMON
)

TINYPROXY = """\
Listen 127.0.0.1
Port {port}
Timeout 600
MaxClients 4096
LogFile "{folder}/tinyproxy.log"
LogLevel Connect
PidFile "{folder}/tinyproxy.pid"
Allow 127.0.0.1
ConnectPort {origin}
Filter "{folder}/filter"
FilterDefaultDeny Yes
ViaProxyName "tinyproxy"
"""
TINYPROXY_SYSLOG = TINYPROXY.replace('LogFile "{folder}/tinyproxy.log"', "Syslog On")
TINYPROXY_FILTER = "^localhost$\n"

#: A forward proxy as Envoy's documentation has it (dynamic_forward_proxy), its allowlist as virtual hosts.
ENVOY = """\
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: proxy
          via: envoy
          upgrade_configs: [ {{ upgrade_type: CONNECT }} ]
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {folder}/access.log
          http_filters:
          - name: envoy.filters.http.dynamic_forward_proxy
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig
              dns_cache_config: &dns {{ name: names, dns_lookup_family: V4_ONLY }}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: allowed
              domains: [ "localhost:{origin}" ]
              routes:
              - match: {{ connect_matcher: {{}} }}
                route:
                  cluster: origins
                  timeout: 0s
                  upgrade_configs: [ {{ upgrade_type: CONNECT, connect_config: {{}} }} ]
              - match: {{ prefix: "/" }}
                route: {{ cluster: origins, timeout: 300s }}
            - name: others
              domains: [ "*" ]
              routes:
              - match: {{ connect_matcher: {{}} }}
                direct_response: {{ status: 403 }}
              - match: {{ prefix: "/" }}
                direct_response: {{ status: 403 }}
  clusters:
  - name: origins
    lb_policy: CLUSTER_PROVIDED
    connect_timeout: 10s
    circuit_breakers:
      thresholds: [ {{ max_connections: 16384, max_pending_requests: 16384, max_requests: 16384 }} ]
    cluster_type:
      name: envoy.clusters.dynamic_forward_proxy
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig
        dns_cache_config: *dns
"""  # noqa: E501  names of Envoy's

#: Read by proxy.py as its arguments (argparse's @file would need a prefix that it has not).
PROXY_PY = """\
--hostname 127.0.0.1
--port {port}
--num-acceptors 1
--num-workers 1
--backlog 1024
--timeout 600
--open-file-limit 16384
--log-level INFO
--log-file {folder}/proxy.log
--plugins allowlist.Allowlist
"""
PROXY_PY_PLUGIN = '''\
"""An allowlist for proxy.py: it has none of its own, only a list of hosts to refuse."""

from proxy.http.exception import HttpRequestRejected
from proxy.http.proxy import HttpProxyBasePlugin

ALLOWED = ("localhost", {origin})


class Allowlist(HttpProxyBasePlugin):
    def before_upstream_connection(self, request):
        if (request.host.decode(), request.port) != ALLOWED:
            raise HttpRequestRejected(status_code=403, reason=b"Forbidden")
        return request
'''

NGINX = """\
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{origin} backlog=1024;
        listen [::1]:{origin} backlog=1024;
        root {folder}/www;
    }}
}}
"""
