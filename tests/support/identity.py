"""The checks of credentials as a server has them, over keys that a test keeps in a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sensorcast.auth import AuthService
from sensorcast.model import ApiKey, Revocation
from sensorcast.settings import Settings

SECRET = b"a secret of more than thirty-two bytes"


class Credentials:
    """A store of credentials, in memory."""

    def __init__(self) -> None:
        self.keys: dict[str, ApiKey] = {}
        self.revocations: list[Revocation] = []
        self.uses: list[Mapping[str, int]] = []

    async def find_key(self, key_id: str) -> ApiKey | None:
        return self.keys.get(key_id)

    async def note_key_uses(self, last_used_at_us: Mapping[str, int]) -> None:
        self.uses.append(last_used_at_us)

    async def revocations_since(self, number: int) -> Sequence[Revocation]:
        return [each for each in self.revocations if each.number > number]


def auth_service(settings: Settings, now_s: Callable[[], float], store: Credentials | None = None) -> AuthService:
    """Build the checks; tokens are signed with `SECRET`."""
    return AuthService(settings, SECRET, store or Credentials(), now_s=now_s, clock_s=now_s)
