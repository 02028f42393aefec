"""Who may do what: tokens of people, keys of devices and gateways, roles, revocations.

Owns every credential check; callers are the doors and the command line. Reading order: `tokens` and `jwks` (who signed
what), `api_keys`, `roles`, then `authenticator`, which puts them together. The invariant: an `Identity` or `ApiKey`
given out by this package was proven, for exactly one organization, and neither a message nor a log line ever holds a
credential.
"""

from __future__ import annotations

from sensorcast.auth.api_keys import KeyRing, new_api_key
from sensorcast.auth.attempts import Attempts
from sensorcast.auth.authenticator import Authenticator
from sensorcast.auth.key_source import KeySource
from sensorcast.auth.revocations import Revocations, RevocationWatch
from sensorcast.auth.secret import load_or_create_secret
from sensorcast.auth.service import AuthService
from sensorcast.auth.tokens import OtherOrganization, TokenVerifier, mint_token

__all__ = [
    "Attempts",
    "AuthService",
    "Authenticator",
    "KeyRing",
    "KeySource",
    "OtherOrganization",
    "RevocationWatch",
    "Revocations",
    "TokenVerifier",
    "load_or_create_secret",
    "mint_token",
    "new_api_key",
]
