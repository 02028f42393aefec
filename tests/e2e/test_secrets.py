"""No secret that a client sends, or that the server keeps, turns up in a log line, a metric, an error or a database."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest

from sensorcast import auth
from sensorcast.model import Role
from sensorcast.settings import Settings
from tests.support.node import NodeClient
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer
from tests.support.server import Organization, ServerProcess, reading
from tests.support.waiting import wait_until

PASSWORD_LIKE = "canary-password-value"
DATABASE_PASSWORD = "canary-of-the-database"
REDIS_PASSWORD = "canary-of-redis"
CLUSTER_SECRET = "canary of the cluster, more than thirty-two bytes"


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


@dataclass
class Surroundings:
    """What a server runs with, and what it leaves there."""

    settings: dict[str, object] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    database_url: str = ""
    redis: RedisServer | None = None

    def listen(self, output: Path) -> subprocess.Popen[bytes] | None:
        """Write every command that nodes send to Redis to a file."""
        if self.redis is None:
            return None
        words = ["-p", str(self.redis.port), "-a", REDIS_PASSWORD, "--no-auth-warning", "monitor"]
        with output.open("wb") as file:
            process = subprocess.Popen(["redis-cli", *words], stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        wait_until(output.read_bytes, within_s=30, what="the answer that it listens")
        return process

    async def rows(self) -> list[str]:
        """Give every row of every table."""
        connection = await asyncpg.connect(self.database_url)
        try:
            tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
            return [
                row[0] for (name,) in tables for row in await connection.fetch(f'SELECT t::text FROM "{name}" AS t')
            ]
        finally:
            await connection.close()


@pytest.fixture(params=["sqlite", "postgres and redis"])
def surroundings(request: pytest.FixtureRequest) -> Surroundings:
    if request.param == "sqlite":
        return Surroundings()
    postgres: PostgresServer = request.getfixturevalue("postgres")
    server: RedisServer = request.getfixturevalue("start_redis")("--requirepass", REDIS_PASSWORD)
    database_url = asyncio.run(postgres.new_database())
    settings = {
        "database_url": database_url.replace("@", f":{DATABASE_PASSWORD}@"),
        "redis_url": f"redis://:{REDIS_PASSWORD}@127.0.0.1:{server.port}/0",
        "cluster_secret": CLUSTER_SECRET,
    }
    return Surroundings(settings, (DATABASE_PASSWORD, REDIS_PASSWORD, CLUSTER_SECRET), database_url, server)


def test_secrets_stay_secret(
    start_server: Callable[..., ServerProcess],
    browser_client: Callable[..., NodeClient],
    surroundings: Surroundings,
    tmp_path: Path,
) -> None:
    server = start_server(log_level="debug", flush_interval_ms=100, **surroundings.settings)
    commands = tmp_path / "commands"
    listening = surroundings.listen(commands)
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
        client.wait(lambda seen: seen["is"] in {"connect", "connect_error"}, within_s=30, what="an answer")
        answers.append(str(client.seen))
    if listening is not None and surroundings.redis is not None:
        answers.append(acme.post(reading()).text)  # now that somebody follows the organization
        wait_until(lambda: b"unit-1" in commands.read_bytes(), within_s=30, what="readings on the bus")
        answers.append(commands.read_bytes().decode("latin-1"))
        surroundings.redis.kill()
        listening.wait(30)
        wait_until(lambda: server.http.get("/readyz").status_code == 503, within_s=30, what="trouble with Redis")
        answers.append(server.http.get("/readyz").text)
    answers.append(server.http.get("/metrics").text)
    server.terminate()
    if surroundings.database_url:
        rows = asyncio.run(surroundings.rows())
        assert any("acme" in row for row in rows)
        answers += rows

    secrets = [credential.rsplit(".", 1)[-1] for credential in credentials if "." in credential]
    secrets += [acme.key.split("_")[2], jwt_secret.decode(), PASSWORD_LIKE, *surroundings.secrets]
    for path, found in _written(server.data, server.output):
        for secret in secrets:
            if path.name != "jwt-secret":
                assert secret.encode() not in found, f"{path.name} holds a secret"
    for answer in answers:
        assert not [secret for secret in secrets if secret in answer]
    assert "\x1b" not in server.output.read_text()


def test_an_address_that_does_not_answer_is_told_without_its_password(tmp_path: Path) -> None:
    for setting, url in {
        "database_url": f"postgresql://somebody:{DATABASE_PASSWORD}@127.0.0.1:1/name",
        "redis_url": f"redis://somebody:{REDIS_PASSWORD}@127.0.0.1:port/0",
    }.items():
        server = ServerProcess(tmp_path / setting, {setting: url})
        with pytest.raises(AssertionError, match="server ended"):
            server.start()
        said = server.output.read_text()
        assert said.startswith("sensorcast: ")
        assert "canary" not in said


def _written(data: Path, output: Path) -> Iterator[tuple[Path, bytes]]:
    for path in [*data.rglob("*"), output]:
        if path.is_file():
            yield path, path.read_bytes()


WHOLE_CREDENTIALS = re.compile(
    rb"scast_[0-9A-Za-z]+_[0-9A-Za-z]{16,}_[0-9a-f]{8}"
    rb"|(?<!#token=)eyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{20,}"
)
"""Any API key and any token at all, but for those that `demo` prints in its link."""


@pytest.mark.last
def test_after_everything_no_server_of_any_test_has_left_a_credential(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> None:
    """Runs at the end, over what all servers of the run have logged and stored."""
    found = []
    for output in tmp_path_factory.getbasetemp().rglob("output.log"):
        data = output.parent / "data"
        own_secret = data / "jwt-secret"
        secret = own_secret.read_bytes().strip() if own_secret.exists() else b""
        found += [path for path, text in _written(data, output) if path != own_secret and _holds(text, secret)]
    found += [path for path in _files_of(postgres) if _holds(path.read_bytes(), b"")]
    assert found == []


def test_a_credential_that_was_left_would_be_found() -> None:
    _, key = auth.new_api_key("acme", "test", 1)
    token = auth.mint_token(
        b"x" * 32, organization_id="acme", role=Role.OWNER, subject="me", ttl_s=60, now_s=time.time()
    )
    assert all(_holds(b"before " + text.encode() + b" after", b"") for text in (key, token))
    assert _holds(b"before secret after", b"secret")
    assert not _holds(b"before scast_ and eyJ after", b"secret")


def _holds(text: bytes, secret: bytes) -> bool:
    return WHOLE_CREDENTIALS.search(text) is not None or (bool(secret) and secret in text)


def _files_of(postgres: PostgresServer) -> Iterator[Path]:
    """Its tables and its log; what has not been written into them yet is, by a checkpoint."""
    asyncio.run(_checkpoint(postgres))
    for folder, _, names in os.walk(postgres.folder):
        if "pg_wal" not in folder:
            yield from (path for name in names if (path := Path(folder, name)).is_file())


async def _checkpoint(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.url())
    await connection.execute("CHECKPOINT")
    await connection.close()
