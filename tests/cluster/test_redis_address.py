"""Where Redis is: good addresses are reached, encrypted or not, and bad ones are one line without the password."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis.exceptions import AuthenticationError, RedisError

from sensorcast.cluster.redis_address import Layout, RedisAddress
from sensorcast.errors import ConfigurationError
from tests.support.ports import free_port
from tests.support.redis import RedisServer

StartRedis = Callable[..., RedisServer]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis",
        "http://localhost:6379",
        "redis://",
        "redis://:s3cret@/0",
        "redis://:s3cret@host:port/0",
        "redis://:s3cret@host:99999/0",
        "redis://:s3cret@host/name",
        "redis://:s3cret@host/0?unheard_of=1",
        "redis://:s3cret@host/0?socket_timeout=soon",
        "rediss://:s3cret@host/0?ssl_cert_reqs=perhaps",
        "redis://:s3cret@[::1/0",
        "unix:///run/redis.sock",
    ],
)
def test_what_cannot_be_an_address_is_a_configuration_error_without_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="--redis-url") as caught:
        RedisAddress(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_address_is_shown_without_its_password() -> None:
    assert str(RedisAddress("rediss://user:s3cret@redis.example/3")) == "Redis at redis.example port 6379"


async def test_one_server_is_a_layout_of_one_place(shared_redis: RedisServer) -> None:
    address = RedisAddress(shared_redis.url)
    layout = await address.look(timeout_s=30)
    assert layout == Layout(places=(("127.0.0.1", shared_redis.port),), sharded=True)
    assert layout.place_of(b"anything") == 0


async def test_a_wrong_password_is_refused_and_a_right_one_is_taken(start_redis: StartRedis) -> None:
    server = start_redis("--requirepass", "right")
    with pytest.raises(AuthenticationError):
        await RedisAddress(f"redis://:wrong@127.0.0.1:{server.port}/0").look(timeout_s=30)
    await RedisAddress(f"redis://default:right@127.0.0.1:{server.port}/1").look(timeout_s=30)


async def test_who_may_not_ask_what_redis_is_takes_it_for_one_plain_server(start_redis: StartRedis) -> None:
    server = start_redis()
    server.command("ACL", "SETUSER", "bus", "on", ">pw", "&*", "-@all", "+publish", "+subscribe", "+select", "+ping")
    layout = await RedisAddress(f"redis://bus:pw@127.0.0.1:{server.port}/0").look(timeout_s=30)
    assert layout == Layout(places=(("127.0.0.1", server.port),))


async def test_a_server_that_does_not_answer_is_given_up(start_redis: StartRedis) -> None:
    server = start_redis()
    server.pause()
    with pytest.raises(TimeoutError):
        await RedisAddress(server.url).look(timeout_s=0.2)
    server.resume()


def test_slots_belong_to_the_place_that_has_them() -> None:
    layout = Layout(places=(("a", 1), ("b", 2)), slot_ends=((5_000, 1), (16_383, 0)))
    assert layout.place_of(b"{x}") == 0  # slot 16287
    assert layout.place_of(b"bar") == 0  # slot 5061
    assert layout.place_of(b"baz") == 1  # slot 4813


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate of 127.0.0.1 that signs itself; give its file and that of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "redis")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "redis.crt", folder / "redis.key"
    files[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


async def test_an_encrypted_server_is_reached_by_who_trusts_its_certificate_alone(
    start_redis: StartRedis, tmp_path: Path
) -> None:
    cert, key = certificate(tmp_path)
    tls_port = free_port()
    start_redis(
        *("--tls-port", str(tls_port)),
        *("--tls-cert-file", str(cert), "--tls-key-file", str(key), "--tls-auth-clients", "no"),
    )
    url = f"rediss://127.0.0.1:{tls_port}/0"
    layout = await RedisAddress(f"{url}?ssl_ca_certs={cert}").look(timeout_s=30)
    assert layout.places == (("127.0.0.1", tls_port),)
    with pytest.raises((RedisError, OSError)):
        await RedisAddress(url).look(timeout_s=30)
