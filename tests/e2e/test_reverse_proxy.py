"""Behind nginx and Caddy, with TLS, configured as the documentation recommends."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.certificate import certificate_for_localhost
from tests.support.node import NodeClient
from tests.support.server import free_port, reading
from tests.support.waiting import wait_until

from .test_documentation import blocks

PAGE = "docs/how-to/reverse-proxy.md"
AROUND = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{documented}
}}
"""


GLOBALS = """
{
    admin off
    auto_https disable_redirects
    skip_install_trust
    grace_period 1s
    storage file_system {folder}
}
"""


@dataclass(frozen=True)
class Proxied:
    """A proxy before the shared server."""

    url: str
    authority: Path
    """Who has signed its certificate; it may come only when the proxy has started."""

    def get(self, path: str, **more: Any) -> httpx.Response:
        """Ask through the proxy; its certificate must be good."""
        return httpx.get(self.url + path, verify=ssl.create_default_context(cafile=self.authority), timeout=30, **more)

    def answers(self) -> bool:
        """Whether it has started."""
        try:
            return self.authority.exists() and self.get("/readyz").status_code == 200
        except (httpx.TransportError, ssl.SSLError):
            return False


def nginx(port: int, upstream: int, folder: Path) -> tuple[list[str], Path]:
    """Write the configuration for nginx; give the command, and who signs."""
    certificate = certificate_for_localhost(folder)
    [documented] = blocks(PAGE, "nginx")
    for written, here in {
        "/etc/ssl/sensors.crt": str(certificate),
        "/etc/ssl/sensors.key": str(certificate),
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "127.0.0.1:8080": f"127.0.0.1:{upstream}",
    }.items():
        assert written in documented
        documented = documented.replace(written, here)
    configuration = folder / "nginx.conf"
    configuration.write_text(AROUND.format(folder=folder, documented=documented))
    return ["nginx", "-c", str(configuration), "-p", str(folder), "-e", str(folder / "error.log")], certificate


def caddy(port: int, upstream: int, folder: Path) -> tuple[list[str], Path]:
    """Write the configuration for Caddy, which signs for itself here; give the command, and who signs."""
    [documented] = blocks(PAGE, "caddyfile")
    documented = documented.replace("sensors.example.com {", f"https://127.0.0.1:{port} {{\n    tls internal")
    documented = documented.replace("127.0.0.1:8080", f"127.0.0.1:{upstream}")
    configuration = folder / "Caddyfile"
    configuration.write_text(GLOBALS.replace("{folder}", str(folder)) + documented)
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(configuration)]
    return command, folder / "pki/authorities/local/root.crt"


@pytest.fixture(params=[nginx, caddy], ids=lambda proxy: proxy.__name__)
def proxied(request, shared_server, tmp_path):
    """A proxy before the shared server."""
    port = free_port()
    command, authority = request.param(port, shared_server.port, tmp_path)
    proxy = Proxied(f"https://127.0.0.1:{port}", authority)
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            command,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(proxy.answers, within_s=30, what=request.param.__name__)
        yield proxy
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def connect(proxied, organization, browser_client):
    """Connect stock clients through the proxy as a viewer of the organization."""

    def through(**options: Any) -> NodeClient:
        trusted = proxied.authority.read_text()
        return browser_client(proxied.url, token=organization.viewer_token, ca=trusted, **options)

    return through


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]], ids="+".join)
def test_stock_client_gets_readings_through_a_proxy(connect, organization, transports):
    client = connect(transports=transports).connected()
    if transports[-1] == "websocket":
        connected_with = client.wait_for("connect")["transport"]
        assert connected_with == "websocket" or client.wait_for("upgrade")["transport"] == "websocket"
    [reading_id] = organization.post(reading("unit-1")).json()["readingIds"]
    client.wait_for_reading(reading_id)


def test_page_of_the_proxys_own_origin_may_connect_and_no_other(proxied, connect):
    connect(extraHeaders={"Origin": proxied.url}).connected()
    connect(extraHeaders={"Origin": "https://elsewhere.example"}).wait_for("connect_error")


def test_browsers_are_told_to_keep_to_https_and_metrics_stay_inside(proxied):
    assert proxied.get("/").headers["strict-transport-security"] == "max-age=31536000"
    assert proxied.get("/metrics").status_code == 403


@pytest.mark.parametrize("unit_id", [".", "..", "plain"])
def test_units_of_any_id_are_found_through_a_proxy(proxied, organization, unit_id):
    organization.post(reading(unit_id))
    part = f"~{unit_id}" if unit_id.strip(".") == "" else unit_id
    headers = {"Authorization": f"Bearer {organization.viewer_token}"}
    answer = proxied.get(f"/api/orgs/{organization.name}/units/{part}/latest", headers=headers)
    assert (answer.status_code, answer.json()["unitId"]) == (200, unit_id)
