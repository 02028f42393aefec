"""Tokens on a running server: those of an identity provider, their end on every transport, and never in an address."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.auth.jwk import PRIVATE, key_set, public_jwk, signed
from tests.support.certificate import certificate_for_localhost
from tests.support.node import NodeClient
from tests.support.server import Organization, ServerProcess, reading

CUT_WITHIN_S = 5.0
TTL_S = 8.0


class Provider:
    """An identity provider: its key set over HTTP, and how often that was asked for."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.asked = 0
        self.body = key_set(*(public_jwk(algorithm, f"key of {algorithm}") for algorithm in PRIVATE))
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(provider.body)))
                self.end_headers()
                self.wfile.write(provider.body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        scheme, port = "http" if tls is None else "https", self._server.server_address[1]
        self.url = f"{scheme}://localhost:{port}/keys"

    def close(self) -> None:
        """Be away from now on."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.close()


def claims(*organization_ids: str) -> dict[str, Any]:
    return {"sub": "user-1", "org": list(organization_ids), "role": "staff", "exp": int(time.time()) + 600}


def units(server: ServerProcess, organization_id: str, token: str) -> int:
    address = f"/api/orgs/{organization_id}/units"
    return server.http.get(address, headers={"Authorization": f"Bearer {token}"}).status_code


def test_tokens_of_an_identity_provider_are_taken_and_it_is_not_hammered(
    start_server: Callable[..., ServerProcess], browser_client: Callable[..., NodeClient], provider: Provider
) -> None:
    server = start_server(jwt_jwks=provider.url)
    for algorithm in PRIVATE:
        token = signed(algorithm, claims("acme", "globex"), key_id=f"key of {algorithm}")
        assert units(server, "acme", token) == 200
        assert units(server, "initech", token) == 404
        browser_client(server.url, token=token, auth={"organizationId": "globex"}).connected()
        several = browser_client(server.url, token=token).wait_for("connect_error")
        assert several["data"]["code"] == "forbidden"
    for number in range(10):
        assert units(server, "acme", signed("RS256", claims("acme"), key_id=f"unknown {number}")) == 401
    assert provider.asked <= 2  # at the start, and again should that be 30 s ago
    provider.close()
    assert units(server, "acme", signed("ES256", claims("acme"), key_id="key of ES256")) == 200


@pytest.mark.parametrize("is_trusted", [True, False], ids=["trusted", "untrusted"])
def test_over_https_only_a_provider_with_a_trusted_certificate_is_believed(
    start_server: Callable[..., ServerProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_trusted: bool
) -> None:
    certificate = certificate_for_localhost(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    provider = Provider(tls)
    try:
        server = start_server(jwt_jwks=provider.url)
        token = signed("ES256", claims("acme"), key_id="key of ES256")
        assert units(server, "acme", token) == (200 if is_trusted else 401)
    finally:
        provider.close()


def test_a_provider_that_the_network_could_pretend_to_be_stops_the_start(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, {"jwt_jwks": "http://10.0.0.1/keys"})
    with pytest.raises(AssertionError, match="must be an https URL"):
        server.start()


@pytest.mark.real_time
def test_a_socket_ends_with_its_token_on_either_transport_unless_renewed(
    start_server: Callable[..., ServerProcess], browser_client: Callable[..., NodeClient]
) -> None:
    server = start_server(jwt_leeway_s=0)
    acme = server.organization("acme")
    token, ends_s = acme.token(ttl_s=TTL_S), time.time() + TTL_S
    clients = [browser_client(server.url, token=token, transports=[each]) for each in ("websocket", "polling")]
    renewed = browser_client(server.url, token=token).connected()
    for client in clients:
        assert client.wait_for_event("auth:expiring")["args"][0]["exp"] <= ends_s
    assert renewed.call("auth:refresh", {"token": acme.token()})["ok"]
    for client in clients:
        cut = client.wait_for("disconnect")
        assert cut["reason"] == "io server disconnect"
        assert ends_s - 1 <= cut["atMs"] / 1_000 <= ends_s + CUT_WITHIN_S
    assert browser_client(server.url, token=token).wait_for("connect_error")["data"]["code"] == "token_expired"
    assert renewed.call("ping") > 0


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_who_is_no_member_any_more_hears_nothing_from_that_moment_on(
    start_server: Callable[..., ServerProcess],
    browser_client: Callable[..., NodeClient],
    provider: Provider,
    transport: str,
) -> None:
    server = start_server(jwt_jwks=provider.url, flush_interval_ms=100)
    acme = server.organization("acme")
    both, one = (signed("ES256", claims(*names), key_id="key of ES256") for names in (("acme", "globex"), ("globex",)))
    leaving, staying = (
        browser_client(server.url, token=both, auth={"organizationId": "acme"}, transports=[transport]).connected()
        for _ in range(2)
    )
    leaving.emit("subscribe:unit", "unit-1")
    answer = leaving.call("auth:refresh", {"token": one})
    [reading_id] = acme.post(reading("unit-1")).json()["readingIds"]
    staying.wait_for_reading(reading_id)
    assert (answer["ok"], answer["error"]["code"]) == (False, "forbidden")
    assert leaving.wait_for("disconnect")["reason"] == "io server disconnect"
    assert leaving.readings() == []


@pytest.mark.parametrize("name", ["token", "auth", "access_token", "X-API-Key", "key"])
def test_a_credential_in_an_address_is_none_and_is_not_logged(
    organization: Organization, browser_client: Callable[..., NodeClient], name: str
) -> None:
    server = organization.server
    for credential in (organization.viewer_token, organization.key):
        for transport in ("websocket", "polling"):
            client = browser_client(server.url, query={name: credential}, transports=[transport])
            assert client.wait_for("connect_error")["data"]["code"] == "unauthenticated"
        asked = server.http.get(f"/api/orgs/{organization.name}/units", params={name: credential})
        sent = server.http.post("/api/ingest/readings", params={name: credential}, json={"readings": [reading()]})
        assert (asked.status_code, sent.status_code) == (401, 401)
        assert credential not in server.output.read_text()
