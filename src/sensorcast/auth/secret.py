"""The secret with which this server signs tokens itself: configured, or made once and kept in the data folder.

The invariant: the file is readable by its owner only, whole, and the same for every process that starts at once.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from sensorcast.errors import ConfigurationError
from sensorcast.settings import Settings

SECRET_MIN_BYTES: Final = 32
"""HS256 is as strong as its key up to 32 bytes; a shorter one could be found by trying."""

_SECRET_FILE: Final = "jwt-secret"  # noqa: S105 a name, not a secret


def load_or_create_secret(settings: Settings) -> bytes:
    """Give the secret of tokens: the configured one, or the one kept in the data folder, made on first use.

    Raises `ConfigurationError` for a secret that is too short or a file that cannot be used.
    """
    if settings.jwt_secret:
        return checked_secret(settings.jwt_secret.encode(), "jwt_secret (SENSORCAST_JWT_SECRET)")
    path = Path(settings.data) / _SECRET_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _create_secret(path)
        path.chmod(0o600)
        return checked_secret(path.read_bytes().strip(), str(path))
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be used: {exc.strerror}", hint="Check the setting `data`.") from exc


def _create_secret(path: Path) -> None:
    """Write a new secret under another name first: whoever comes second of two processes finds a whole file."""
    draft = path.with_name(f".{_SECRET_FILE}.{secrets.token_hex(8)}")
    with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(secrets.token_hex(SECRET_MIN_BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # the other process was first; its secret is the one
    finally:
        draft.unlink()


def checked_secret(secret: bytes, name: str) -> bytes:
    """Give `secret`, or raise `ConfigurationError` when it is too short."""
    if len(secret) < SECRET_MIN_BYTES:
        raise ConfigurationError(f"{name} must be at least {SECRET_MIN_BYTES} bytes, not {len(secret)}")
    return secret
