"""The values that cross module borders: readings, identities, entries of the registry, rooms, verdicts.

Owns their shapes and units; everything here is frozen, so a value handed on can never change behind its giver's back.
The invariant: (organization, unit) is the identity of a unit, and a `Room` name can be made only from a value that
carries an authenticated or stored organization, with its parts escaped, so that no id can spell another tenant's room.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum, StrEnum
from functools import lru_cache
from typing import Final, Protocol

import msgspec

ID_PATTERN: Final = r"^[A-Za-z0-9_.:\-]{1,128}$"
"""What an organization, unit, site or device id may look like; `contract`: 1-128 of `A-Z a-z 0-9 _ . : -`."""

_ID = re.compile(ID_PATTERN.replace("$", r"\Z"))


def is_valid_id(text: object) -> bool:
    """Tell whether `text` is a string that may name an organization, unit, site or device."""
    return isinstance(text, str) and _ID.match(text) is not None


def format_time(epoch_us: int) -> str:
    """Give microseconds since 1970 (UTC) as `YYYY-MM-DDTHH:MM:SS.ffffffZ`, the only form in which times go out."""
    seconds, micros = divmod(epoch_us, 1_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{micros:06d}Z"


class Role(StrEnum):
    """What a user is in an organization, from most to least trusted."""

    OWNER = "owner"
    ADMIN = "admin"
    MANAGER = "manager"
    STAFF = "staff"
    VIEWER = "viewer"


class Reading(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One set of values measured by one device of one unit at one moment.

    Nothing in it can refer back to it, so the garbage collector need not look through the many of them.

    Units: temperature deg C, humidity % RH, battery %, signal_strength dBm; times are microseconds since 1970, UTC.
    """

    organization_id: str
    unit_id: str
    recorded_at_us: int
    received_at_us: int
    given_id: str | None = None
    """The id that the client gave it, a UUID in its canonical text form; None where it has the derived one."""
    device_id: str | None = None
    temperature: float | None = None
    humidity: float | None = None
    battery: int | None = None
    signal_strength: int | None = None
    metrics: Mapping[str, float] | None = None
    source: str = "api"
    site_id: str | None = None
    """Where the unit stood; who follows the site gets the reading."""
    late: bool = False
    """Set by the stream when a newer reading of the unit was in a batch before; never stored."""

    @property
    def unit_key(self) -> tuple[str, str]:
        """The identity of the unit this reading belongs to: (organization, unit)."""
        return (self.organization_id, self.unit_id)

    @property
    def id(self) -> str:
        """A UUID in its canonical text form, unique within the organization.

        The derived one is made when it is asked for: it takes as much memory as all that was measured.
        """
        return self.given_id or reading_id(self.organization_id, self.unit_id, self.device_id, self.recorded_at_us)


def reading_id(organization_id: str, unit_id: str, device_id: str | None, recorded_at_us: int) -> str:
    """Derive a reading's id from its natural key, so that the same reading always has the same id.

    A UUID version 8 (RFC 9562): 48 bits of `recorded_at` in milliseconds, the microseconds within them, and 62 bits of
    a BLAKE2b hash of organization, unit and device. The time is in it whole, so only two devices can ever collide, and
    a device's hash can be kept. Stores keep no such id: they find its reading by the time and the hash. Two devices of
    one organization that collide, which among a million happens once in ten million installations, share an id where
    they measure at the same microsecond; both readings are stored all the same.
    """
    millis, micros = divmod(recorded_at_us, 1_000)
    high, low = _high_digits(millis >> 16), f"{_BYTE[millis >> 8 & 255]}{_BYTE[millis & 255]}"
    return f"{high}{low}{_MICROS[micros]}{_device_digest(organization_id, unit_id, device_id)}"


def given_id(text: str, organization_id: str, unit_id: str, device_id: str | None, recorded_at_us: int) -> str | None:
    """Give the id that a client gave a reading in its canonical form; None when it is the one derived for it."""
    canonical = text.lower()
    return None if canonical == reading_id(organization_id, unit_id, device_id, recorded_at_us) else canonical


# Digits from tables: writing numbers in hexadecimal is most of what an id costs.
_BYTE: Final = [f"{number:02x}" for number in range(256)]
_MICROS: Final = [f"-8{number:03x}-" for number in range(1_000)]


@lru_cache(maxsize=1_024)  # each good for a minute of readings
def _high_digits(high: int) -> str:
    # Masked, because `recorded_at` may be before 1970 in an import with a wide window.
    return f"{high & 0xFFFF_FFFF:08x}-"


@lru_cache(maxsize=65_536)  # about 20 MiB when full; beyond it a hash costs a microsecond
def _device_digest(organization_id: str, unit_id: str, device_id: str | None) -> str:
    """The last two groups of the ids of one device's readings."""
    key = f"{organization_id}\x00{unit_id}\x00{device_id or ''}"
    digest = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    return f"{'89ab'[int(digest[0], 16) & 3]}{digest[1:4]}-{digest[4:]}"


class Verdict(Enum):
    """What the store did with one reading of an append."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    """The same reading, with the same values, was there already."""
    CONFLICT = "conflict"
    """A reading with the same key, but other values, was there already; nothing was changed."""


class Scope(StrEnum):
    """What an API key may be used for; a key may have several."""

    INGEST = "ingest"
    """Send readings."""
    READ = "read"
    """See what a viewer sees."""
    ADMIN = "admin"
    """Do what an admin does."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A credential with which devices and programs act for one organization; the secret is kept hashed."""

    key_id: str
    organization_id: str
    name: str
    secret_sha256: str
    created_at_us: int
    revoked_at_us: int | None = None
    scopes: frozenset[Scope] = frozenset({Scope.INGEST})
    expires_at_us: int | None = None
    last_used_at_us: int | None = None
    """To within a minute: it is written in batches."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who is on the other side, as proven by a token or an API key, in the one organization it acts for."""

    organization_id: str
    subject: str
    role: Role
    expires_at_s: float | None = None
    """Seconds since 1970 at which the credential ends; None for an API key without an end."""
    token_id: str | None = None
    """`jti` of the token."""
    issued_at_s: float | None = None
    """`iat` of the token."""
    key_id: str | None = None
    """Which API key proved it; None for a token."""


class RevocationKind(StrEnum):
    """What a revocation names."""

    TOKEN = "token"  # noqa: S105 a name, not a secret
    """One token, by its `jti`."""
    USER = "user"
    """Every token of a user (`sub`) in the organization that was issued before."""
    KEY = "key"
    """One API key."""
    ORGANIZATION = "organization"
    """Every token of the organization that was issued before, and every API key."""


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials of one organization that hold no longer, from one moment on."""

    organization_id: str
    kind: RevocationKind
    subject: str
    """A `jti`, a `sub`, a key id; empty for the whole organization."""
    revoked_at_us: int
    number: int = 0
    """Given by the store, growing: what was revoked since a number is what has a higher one."""


Metadata = Mapping[str, str | int | float | bool]
"""What an operator notes about an entry of the registry: flat, and small (`entries` has the bounds)."""


class Organization(msgspec.Struct, frozen=True, kw_only=True):
    """What the registry knows of an organization itself."""

    organization_id: str
    created_at_us: int
    name: str = ""
    metadata: Metadata = {}

    @property
    def entry_id(self) -> str:
        """Its id among the entries of its kind."""
        return self.organization_id


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A place where units stand."""

    organization_id: str
    site_id: str
    created_at_us: int
    name: str = ""
    metadata: Metadata = {}

    @property
    def entry_id(self) -> str:
        """Its id among the entries of its kind."""
        return self.site_id


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured: its readings that name no site of their own get `site_id`."""

    organization_id: str
    unit_id: str
    created_at_us: int
    name: str = ""
    site_id: str | None = None
    area: str = ""
    metadata: Metadata = {}

    @property
    def entry_id(self) -> str:
        """Its id among the entries of its kind."""
        return self.unit_id


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What measures a unit."""

    organization_id: str
    device_id: str
    created_at_us: int
    unit_id: str | None = None
    name: str = ""
    metadata: Metadata = {}

    @property
    def entry_id(self) -> str:
        """Its id among the entries of its kind."""
        return self.device_id


Entry = Organization | Site | Unit | Device
"""What the registry holds."""


class Owned(Protocol):
    """Anything that carries a proven organization: an `Identity` or a `Reading`."""

    @property
    def organization_id(self) -> str: ...


def _escape(part: str) -> str:
    """Escape an id for use between colons: `%` and `:` become `%25` and `%3A`, so two id lists never join alike."""
    return part.replace("%", "%25").replace(":", "%3A")


class Room(str):
    """The name of a set of subscribers. Make one with `organization`, `site` or `unit`, never from loose text."""

    __slots__ = ()

    @classmethod
    def organization(cls, owner: Owned) -> Room:
        """Room of everybody who follows the whole organization of `owner`."""
        return cls(f"org:{_escape(owner.organization_id)}")

    @classmethod
    def unit(cls, owner: Owned, unit_id: str) -> Room:
        """Room of everybody who follows one unit of the organization of `owner`."""
        return cls(f"unit:{_escape(owner.organization_id)}:{_escape(unit_id)}")

    @classmethod
    def site(cls, owner: Owned, site_id: str) -> Room:
        """Room of everybody who follows one site of the organization of `owner`."""
        return cls(f"site:{_escape(owner.organization_id)}:{_escape(site_id)}")
