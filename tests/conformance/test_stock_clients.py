"""Stock clients with default options: npm socket.io-client in Node and Chromium, directly and behind nginx."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_port
from tests.support.waiting import wait_until

from . import servers
from .clients import Target

HERE = Path(__file__).parent
SCENARIO_DEADLINE_S = 60.0

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{backend};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""

# Node alone proves the scenarios on the reference; a browser takes seconds to start.
CLIENTS = pytest.mark.parametrize(
    ("patient_server", "client"),
    [("sensorcast", "node"), ("sensorcast", "browser"), ("reference", "node")],
    indirect=["patient_server"],
)


@pytest.fixture(params=["direct", "nginx"])
def url(request: pytest.FixtureRequest, patient_server: Target, tmp_path: Path) -> Iterator[str]:
    """The address a client is given: the server's own, or that of an nginx in front of it."""
    if request.param == "direct":
        yield f"http://127.0.0.1:{patient_server.port}"
        return
    port = free_port()
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(NGINX.format(folder=tmp_path, port=port, backend=patient_server.port))
    process = subprocess.Popen(
        ["nginx", "-c", str(configuration), "-p", str(tmp_path), "-e", str(tmp_path / "error.log")],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    wait_until(lambda: servers.accepts(port), within_s=30, what="nginx listens")
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(30)


def run(client: str, scenario: str, *args: str, page_origin: str | None = None) -> dict[str, Any]:
    """Run a scenario with a client and give its report."""
    environment = os.environ | ({"PAGE_ORIGIN": page_origin} if page_origin else {})
    command = ["node", str(HERE / f"stock_{client}.mjs"), scenario, *args]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SCENARIO_DEADLINE_S, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    errors = report.pop("errors", [])
    assert errors == [] or scenario == "refused", errors
    return report


@CLIENTS
def test_stock_client_works_with_default_options(url: str, client: str) -> None:
    report = run(client, "conformance", url)

    assert report == {
        "firstTransport": "polling",
        "lastTransport": "websocket",
        "auth": [{"token": "stock"}],
        "early": ["while polling or upgrading"],
        "text": [1, "é€🌡️", {"deep": [None, True, {"x": 1.5}]}],
        "binary": [[1, 2, 3], [4]],
        "largeIsEqual": True,
        "largeLength": 300_000,
        "ack": {"x": "é"},
        "binaryAck": [9, 8],
        "customAuth": [{"token": "custom"}],
        "sharesConnection": True,
        "refused": "Invalid namespace",
        "customSurvives": True,
        "reconnected": ["again"],
    }


@CLIENTS
@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_stock_client_works_on_one_transport(url: str, client: str, transport: str) -> None:
    report = run(client, "single", url, transport)

    assert report == {"text": "é", "blob": [1, 2, 3], "ack": "x", "transport": transport}


@pytest.mark.parametrize("client", ["node", "browser"])
def test_application_on_the_library_reaches_its_stock_clients(client: str, tmp_path: Path) -> None:
    library = servers.start("library", tmp_path / "library.log")
    try:
        report = run(client, "library", f"http://127.0.0.1:{library.port}")
    finally:
        library.stop()

    assert report == {
        "answered": ["answer to", "q"],
        "binaryAnswered": ["answer to", [7]],
        "unanswered": "timed out",
        "refusal": {"message": "not you", "data": {"code": "wrong_token", "hint": ["é"]}},
        "admitted": True,
        "heard": ["guest to all", "socket to all", "socket to one", "socket to others", "socket to the rest"],
        "kicked": "io server disconnect",
        "guardedSurvivesKick": True,
        "kickedOut": "io server disconnect",
    }


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start a conformance server with further flags; give its address."""
    started: list[servers.ServerProcess] = []

    def start(*flags: str) -> str:
        started.append(servers.start("sensorcast", tmp_path / "server.log", *flags))
        return f"http://127.0.0.1:{started[-1].port}"

    yield start
    servers.stop_all(started)


@pytest.mark.parametrize("client", ["node", "browser"])
def test_stock_client_works_with_compressed_frames(client: str, configured: Callable[..., str]) -> None:
    report = run(client, "conformance", configured("--permessage-deflate"))

    assert report["lastTransport"] == "websocket"
    assert report["text"] == [1, "é€🌡️", {"deep": [None, True, {"x": 1.5}]}]
    assert report["largeIsEqual"]


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_page_of_a_listed_origin_may_connect(transport: str, configured: Callable[..., str]) -> None:
    url = configured("--allowed-origin", "http://dashboard.example")

    report = run("browser", "single", url, transport, page_origin="http://dashboard.example")

    assert report == {"text": "é", "blob": [1, 2, 3], "ack": "x", "transport": transport}


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_page_of_another_origin_may_not_connect(transport: str, configured: Callable[..., str]) -> None:
    url = configured("--allowed-origin", "http://dashboard.example")

    report = run("browser", "refused", url, transport, page_origin="http://elsewhere.example")

    assert report["refused"] in ("xhr poll error", "websocket error")
