"""The one answer to "who is this?" for every door where people or programs act: a token, or an API key that may.

Owns the order: the address first (too many bad credentials cost nothing more), then the credential, then revocation.
The invariant: an identity given out holds now; doors never look at a credential themselves.
"""

from __future__ import annotations

from sensorcast.auth.api_keys import KEY_PREFIX, KeyRing
from sensorcast.auth.attempts import Attempts
from sensorcast.auth.key_source import KeySource
from sensorcast.auth.revocations import Revocations
from sensorcast.auth.roles import ROLES_OF_SCOPES
from sensorcast.auth.tokens import OtherOrganization, TokenVerifier, UnknownSigningKey
from sensorcast.errors import Forbidden, TokenExpired, Unauthenticated
from sensorcast.model import ApiKey, Identity


class Authenticator:
    """Proves tokens and API keys. `source` is where unknown signing keys are looked for."""

    def __init__(
        self,
        verifier: TokenVerifier,
        keys: KeyRing,
        *,
        attempts: Attempts,
        revocations: Revocations,
        source: KeySource | None = None,
    ) -> None:
        self._verifier = verifier
        self._keys = keys
        self._attempts = attempts
        self._revocations = revocations
        self._source = source

    def prove_now(
        self, credential: str, *, now_s: float, address: str, organization_id: str | None = None
    ) -> Identity | None:
        """Give who a credential proves, or None when that takes a wait: then ask `prove`.

        Raises `QuotaExceeded`, `Unauthenticated` (`TokenExpired`) or `Forbidden` (`OtherOrganization`).
        """
        if credential.startswith(KEY_PREFIX):
            return None
        self._attempts.check(address)
        try:
            identity = self._verifier.verify(credential, now_s=now_s, organization_id=organization_id)
        except TokenExpired:
            raise  # it held once: nobody is guessing
        except UnknownSigningKey:
            if self._source is None:
                self._attempts.failed(address)
                raise
            return None
        except Unauthenticated:
            self._attempts.failed(address)
            raise
        self._revocations.check(identity)
        return identity

    async def prove(
        self, credential: str, *, now_s: float, address: str, organization_id: str | None = None
    ) -> Identity:
        """Give who a credential proves. Raises as `prove_now`, and `Unavailable` when the store does not answer."""
        identity = self.prove_now(credential, now_s=now_s, address=address, organization_id=organization_id)
        if identity is not None:
            return identity
        if credential.startswith(KEY_PREFIX):
            identity = _act_as(await self._keys.identify(credential, address=address), organization_id)
        else:
            identity = await self._look_for_key(credential, now_s, address, organization_id)
        self._revocations.check(identity)
        return identity

    async def _look_for_key(self, token: str, now_s: float, address: str, organization_id: str | None) -> Identity:
        if self._source is not None:
            await self._source.refetch()
        try:
            return self._verifier.verify(token, now_s=now_s, organization_id=organization_id)
        except UnknownSigningKey:
            self._attempts.failed(address)
            raise


def _act_as(key: ApiKey, organization_id: str | None) -> Identity:
    if organization_id not in {None, key.organization_id}:
        raise OtherOrganization("the key is not for this organization")
    role = next((role for scope, role in ROLES_OF_SCOPES.items() if scope in key.scopes), None)
    if role is None:
        raise Forbidden("this key may only send readings", hint="Make one with the scope read or admin.")
    return Identity(
        organization_id=key.organization_id,
        subject=f"key:{key.key_id}",
        role=role,
        expires_at_s=None if key.expires_at_us is None else key.expires_at_us / 1_000_000,
        issued_at_s=key.created_at_us / 1_000_000,
        key_id=key.key_id,
    )
