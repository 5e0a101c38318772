"""Configurations of HAProxy and nginx: listeners with one target, and one listener that tells targets by path."""

from __future__ import annotations

from collections.abc import Mapping

SHARED, FIRST_SINGLE, TARGET_PORT = 8100, 8001, 9000


def haproxy(shared: Mapping[str, str], single: Mapping[int, str]) -> str:
    """Return haproxy.cfg.

    Args:
        shared: path → address of its target, all on the port SHARED.
        single: port → address of the only target behind it.
    """
    lines = [
        "global\n  maxconn 1000",
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s",
        f"frontend shared\n  bind 0.0.0.0:{SHARED}",
        *(f"  use_backend b_{path} if {{ path_beg /{path} }}" for path in shared),
        *(f"frontend single_{port}\n  bind 0.0.0.0:{port}\n  default_backend s_{port}" for port in single),
        *(f"backend b_{path}\n  server t {address}:{TARGET_PORT} check inter 2s" for path, address in shared.items()),
        *(f"backend s_{port}\n  server t {address}:{TARGET_PORT}" for port, address in single.items()),
    ]
    return "\n".join(lines) + "\n"


def nginx(folder: str, shared: Mapping[str, str], single: Mapping[int, str]) -> str:
    """Return nginx.conf; the same arguments as above."""
    ways = "\n".join(
        f"    location /{path} {{ proxy_pass http://{address}:{TARGET_PORT}; }}" for path, address in shared.items()
    )
    others = "\n".join(
        f"  server {{ listen {port}; location / {{ proxy_pass http://{address}:{TARGET_PORT}; }} }}"
        for port, address in single.items()
    )
    return f"""
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
daemon off;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  server {{
    listen {SHARED};
{ways}
  }}
{others}
}}
"""
