"""No secret that a client sends, or that the server keeps, turns up in a log line, a metric, an error or a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sensorcast import auth
from sensorcast.model import Role
from sensorcast.settings import Settings
from tests.support.node import NodeClient
from tests.support.server import Organization, ServerProcess, reading

PASSWORD_LIKE = "canary-password-value"


def bad_credentials(organization: Organization) -> Iterator[str]:
    """Credentials that do not hold, each for another reason."""
    good = organization.token(role="owner")
    yield good[:-6]
    yield good.replace(".", f".{PASSWORD_LIKE}", 1)
    yield organization.token(ttl_s=-600)
    yield organization.key[:-2] + "zz"
    yield f"{PASSWORD_LIKE}\x1b[31m\u2028"
    stranger = b"another secret of more than thirty-two bytes"
    yield auth.mint_token(
        stranger, organization_id=organization.name, role=Role.OWNER, subject=PASSWORD_LIKE, ttl_s=60, now_s=time.time()
    )


def test_secrets_stay_secret(
    start_server: Callable[..., ServerProcess], browser_client: Callable[..., NodeClient]
) -> None:
    server = start_server(log_level="debug", flush_interval_ms=100)
    acme = server.organization("acme")
    jwt_secret = auth.load_or_create_secret(Settings(data=str(server.data)))
    credentials = [acme.key, acme.viewer_token, *bad_credentials(acme)]
    answers = [acme.post(reading()).text, acme.get("units").text]
    for credential in credentials:
        text = credential.encode("ascii", "replace").decode().replace("\x1b", "")
        for headers in ({"X-API-Key": text}, {"Authorization": f"Bearer {text}"}):
            answers.append(server.http.post("/api/ingest/readings", json={"readings": []}, headers=headers).text)
            answers.append(server.http.get("/api/orgs/acme/units", headers=headers).text)
        answers.append(server.http.get("/api/orgs/acme/units", params={"token": text}).text)
        client = browser_client(server.url, token=credential)
        client.wait(lambda seen: seen["is"] in {"connect", "connect_error"}, within_s=5, what="an answer")
        answers.append(str(client.seen))
    answers.append(server.http.get("/metrics").text)
    server.terminate()

    secrets = [credential.rsplit(".", 1)[-1] for credential in credentials if "." in credential]
    secrets += [acme.key.split("_")[2], jwt_secret.decode(), PASSWORD_LIKE]
    for path, found in _written(server.data, server.output):
        for secret in secrets:
            if path.name != "jwt-secret":
                assert secret.encode() not in found, f"{path.name} holds a secret"
    for answer in answers:
        assert not [secret for secret in secrets if secret in answer]
    assert "\x1b" not in server.output.read_text()


def _written(data: Path, output: Path) -> Iterator[tuple[Path, bytes]]:
    for path in [*data.rglob("*"), output]:
        if path.is_file():
            yield path, path.read_bytes()
