"""Behind nginx and Caddy, configured as the documentation recommends (but for TLS, which needs a name)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.support.server import free_port, reading
from tests.support.waiting import wait_until

from .test_documentation import answers, blocks

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
    auto_https off
    grace_period 1s
    storage file_system {folder}
}
"""


def nginx(port: int, upstream: int, folder: Path) -> list[str]:
    """Write the configuration for nginx; give the command."""
    [documented] = blocks(PAGE, "nginx")
    documented = re.sub(r"^\s*ssl_certificate.*\n", "", documented, flags=re.MULTILINE)
    documented = documented.replace("listen 443 ssl", f"listen 127.0.0.1:{port}")
    documented = documented.replace("127.0.0.1:8080", f"127.0.0.1:{upstream}")
    configuration = folder / "nginx.conf"
    configuration.write_text(AROUND.format(folder=folder, documented=documented))
    return ["nginx", "-c", str(configuration), "-p", str(folder), "-e", str(folder / "error.log")]


def caddy(port: int, upstream: int, folder: Path) -> list[str]:
    """Write the configuration for Caddy; give the command."""
    [documented] = blocks(PAGE, "caddyfile")
    documented = documented.replace("sensors.example.com {", f"http://127.0.0.1:{port} {{")
    documented = documented.replace("127.0.0.1:8080", f"127.0.0.1:{upstream}")
    configuration = folder / "Caddyfile"
    configuration.write_text(GLOBALS.replace("{folder}", str(folder)) + documented)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(configuration)]


@pytest.fixture(params=[nginx, caddy], ids=lambda proxy: proxy.__name__)
def proxied(request, shared_server, tmp_path):
    """The address of a proxy before the shared server."""
    port = free_port()
    command = request.param(port, shared_server.port, tmp_path)
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            command,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), within_s=20, what=request.param.__name__)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]], ids="+".join)
def test_stock_client_gets_readings_through_a_proxy(proxied, organization, browser_client, transports):
    client = browser_client(proxied, token=organization.viewer_token, transports=transports).connected()
    if transports[-1] == "websocket":
        connected_with = client.wait_for("connect")["transport"]
        assert connected_with == "websocket" or client.wait_for("upgrade")["transport"] == "websocket"
    [reading_id] = organization.post(reading("unit-1")).json()["readingIds"]
    client.wait_for_reading(reading_id)


def test_page_of_the_proxys_own_origin_may_connect_and_no_other(proxied, organization, browser_client):
    friend = browser_client(proxied, token=organization.viewer_token, extraHeaders={"Origin": proxied})
    friend.connected()
    stranger = browser_client(
        proxied, token=organization.viewer_token, extraHeaders={"Origin": "http://elsewhere.example"}
    )
    stranger.wait_for("connect_error")


@pytest.mark.parametrize("unit_id", [".", "..", "plain"])
def test_units_of_any_id_are_found_through_a_proxy(proxied, organization, unit_id):
    organization.post(reading(unit_id))
    part = f"~{unit_id}" if unit_id.strip(".") == "" else unit_id
    headers = {"Authorization": f"Bearer {organization.viewer_token}"}
    answer = httpx.get(f"{proxied}/api/orgs/{organization.name}/units/{part}/latest", headers=headers)
    assert (answer.status_code, answer.json()["unitId"]) == (200, unit_id)
