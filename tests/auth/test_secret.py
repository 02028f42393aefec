"""The secret of tokens: made once, private, long enough, or a clear refusal."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sensorcast.auth import TokenVerifier, load_or_create_secret
from sensorcast.errors import ConfigurationError
from sensorcast.settings import Settings

SECRET = b"a secret of more than thirty-two bytes"
SETTINGS = Settings()


def test_a_short_secret_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="at least 32 bytes, not 5"):
        TokenVerifier(SETTINGS, b"short")
    with pytest.raises(ConfigurationError, match="jwt_secret"):
        load_or_create_secret(Settings(jwt_secret="short"))


def test_a_public_key_is_refused_as_a_secret() -> None:
    text = b"-----BEGIN PUBLIC KEY-----\n" + b"QUJD" * 20 + b"\n-----END PUBLIC KEY-----\n"
    with pytest.raises(ConfigurationError, match="the secret of tokens cannot be used"):
        TokenVerifier(SETTINGS, text)


def test_a_configured_secret_is_used_and_no_file_is_made(tmp_path: Path) -> None:
    assert load_or_create_secret(Settings(jwt_secret=SECRET.decode(), data=str(tmp_path / "data"))) == SECRET
    assert not (tmp_path / "data").exists()


def test_a_secret_is_made_once_and_is_for_its_owner_only(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path / "new" / "data"))
    secret = load_or_create_secret(settings)
    (file,) = Path(settings.data).iterdir()
    assert len(secret) >= 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    assert load_or_create_secret(settings) == secret
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_several_starts_at_once_agree_on_one_secret(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path))
    with ThreadPoolExecutor(8) as threads:
        secrets = set(threads.map(lambda _: load_or_create_secret(settings), range(16)))
    assert len(secrets) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_secret_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jwt-secret").write_text("cut")
    with pytest.raises(ConfigurationError, match="jwt-secret must be at least 32 bytes"):
        load_or_create_secret(Settings(data=str(tmp_path)))


def test_a_data_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be used"):
        load_or_create_secret(Settings(data=str(tmp_path / "file")))
