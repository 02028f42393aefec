"""One operation on one surface of one node, and the search for canaries of others in everything that came back.

Owns the table of operations. The invariants: every byte that reaches one organization is searched for the canaries of
all others; what belongs to others is answered byte for byte like what does not exist; and each organization does see
its own values, so that an empty answer is no proof.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import httpx

from sensorcast.verify.registry import RegistryOperations
from sensorcast.verify.socket import ANSWER_S, Refused, Socket
from sensorcast.verify.tenant import NOBODY, SITE, Tenant

_QUERIES: Final = (
    "units?limit=1000",
    "units/{unit}",
    "units/{unit}/latest",
    "units/{unit}/readings?limit=5000",
    "units/{unit}/readings.csv",
    "units/{unit}/readings.ndjson",
    "units/{unit}/series?measure=temperature&points=10&{span}",
    "samples?unit={unit}&measure=temperature&points=10&{span}",
    "keys",
    "revocations",
)
_LOOK_S: Final = 0.02
UNKNOWN_UNIT: Final = "unit-nobody-has"
_PAUSE_S: Final = 0.5
"""Until a socket that asked too often may ask again: ten events at the default rate."""
_CHANGES_BY_ITSELF: Final = frozenset({"date", "content-length"})


@dataclass(frozen=True)
class Finding:
    """Something one organization learned of another, or a surface that did not work."""

    surface: str
    reader: str
    what: str


class Probe:
    """Operations of some tenants. `findings` should stay empty; `seen` counts own values, by surface.

    Each operation is done at one node of the server; what it finds may have come in at another.
    """

    def __init__(
        self, urls: Sequence[str], client: httpx.AsyncClient, tenants: Sequence[Tenant], chance: random.Random
    ) -> None:
        self.findings: list[Finding] = []
        self.seen: dict[str, int] = {}
        self._urls = [url.rstrip("/") for url in urls]
        self._url = self._urls[0]
        self._client = client
        self._tenants = tenants
        self._chance = chance
        self._registry = RegistryOperations(self)
        self._sockets: dict[tuple[str, str], Socket] = {}
        """By organization and node."""
        self.operations: Mapping[str, Callable[[Tenant, Tenant], Awaitable[None]]] = {
            "ingest": self.ingest,
            "id of others": self.id_of_others,
            "query": self.query,
            "query of others": self.query_of_others,
            "unit of others": self.unit_of_others,
            "revoke": self.revoke,
            "statistics": self.statistics,
            "live": self.live,
            "latest": self.latest,
            "latest of all": self.latest_of_all,
            "subscribe": self.subscribe,
            "connect as others": self.connect_as_others,
            "refresh as others": self.refresh_as_others,
            "key of others": self.key_of_others,
            "registry": self._registry.entries,
            "registry, removal": self._registry.removal,
            "registry of others": self._registry.entries_of_others,
            "registry, names of others": self._registry.names_of_others,
        }

    @property
    def chance(self) -> random.Random:
        """What units, queries and entries are taken by."""
        return self._chance

    def choose_by(self, chance: random.Random) -> None:
        """Take units and queries by `chance` from now on."""
        self._chance = chance

    async def operate(self, name: str, tenant: Tenant, other: Tenant) -> None:
        """Do one operation, at a node that chance picks."""
        self._url = self._chance.choice(self._urls)
        await self.operations[name](tenant, other)

    async def close(self) -> None:
        """Look at what came last, then disconnect everybody."""
        for tenant in self._tenants:
            for url in self._urls:
                socket = self._sockets.pop((tenant.organization_id, url), None)
                if socket is not None:
                    self.search("live", tenant, socket.take())
                    await socket.__aexit__(None, None, None)

    # Over HTTP

    async def fill(self) -> None:
        """Give every organization a registry, and each of its units a reading, so that there is something to leak."""
        for tenant in self._tenants:
            await self._registry.fill(tenant)
            for unit_id in tenant.units:
                await self._ingest(tenant, unit_id)

    async def ingest(self, tenant: Tenant, _other: Tenant) -> None:
        """Send a reading of one's own."""
        await self._ingest(tenant, self._chance.choice(tenant.units))

    async def id_of_others(self, tenant: Tenant, other: Tenant) -> None:
        """Send a reading with an id that another has used: it is new here, so nobody learns that it is used there."""
        reading_id = self._chance.choice(other.reading_ids or [""])
        if reading_id and reading_id not in tenant.borrowed_ids:
            tenant.borrowed_ids.add(reading_id)
            await self._ingest(tenant, self._chance.choice(tenant.units), id=reading_id)

    async def _ingest(self, tenant: Tenant, unit_id: str, **given: str) -> str:
        """Send a reading; give its id, or an empty text when it was not taken."""
        answer = await self.send(
            "POST",
            "/api/ingest/readings",
            json={"readings": [{**tenant.next_reading(unit_id), **given}]},
            headers={"X-API-Key": tenant.key},
        )
        self.search("ingest", tenant, _text(answer))
        if answer.status_code != 200 or answer.json()["insertedCount"] != 1:
            self.find("ingest", tenant, f"a reading of its own was not taken: {answer.status_code}")
            return ""
        reading_id: str = answer.json()["readingIds"][0]
        tenant.stored(unit_id, None if given else reading_id)
        return reading_id

    async def query(self, tenant: Tenant, _other: Tenant) -> None:
        """Ask for what is one's own; after the first reading it must be there."""
        unit_id, query = self._chance.choice(tenant.units), self._chance.choice(_QUERIES)
        answer = await self.get(tenant, f"/api/orgs/{tenant.organization_id}/{_filled(query, unit_id, tenant)}")
        self.search(query, tenant, _text(answer))
        if answer.status_code != 200:
            self.find(query, tenant, f"it was not answered: {answer.status_code}")
        if tenant.sent_to.get(unit_id) and query.startswith(("units", "samples")):
            self.expect_own(query, tenant, answer.text)

    async def query_of_others(self, tenant: Tenant, other: Tenant) -> None:
        """Ask for what is another's: answered like an organization that does not exist."""
        query = _filled(self._chance.choice(_QUERIES), self._chance.choice(other.units), other)
        theirs = await self.get(tenant, f"/api/orgs/{other.organization_id}/{query}")
        unknown = await self.get(tenant, f"/api/orgs/{NOBODY}/{query}")
        self.same("query of others", tenant, theirs, unknown)

    async def unit_of_others(self, tenant: Tenant, other: Tenant) -> None:
        """Ask in one's own organization for a unit that only another has: answered like an unknown one."""
        own = f"/api/orgs/{tenant.organization_id}/"
        for query in (each for each in _QUERIES if "{unit}" in each):
            theirs = await self.get(tenant, own + _filled(query, other.units[0], tenant))
            unknown = await self.get(tenant, own + _filled(query, UNKNOWN_UNIT, tenant))
            self.same("unit of others", tenant, theirs, unknown, asked=(other.units[0], UNKNOWN_UNIT))

    async def revoke(self, tenant: Tenant, _other: Tenant) -> None:
        """Revoke a token that nobody has, so that there is something to see; it is listed for oneself."""
        path = f"/api/orgs/{tenant.organization_id}/revocations"
        body = {"kind": "token", "subject": f"token-{tenant.canary}"}
        answer = await self.send("POST", path, json=body, headers={"Authorization": f"Bearer {tenant.token}"})
        self.search("revocations", tenant, _text(answer))
        listed = await self.get(tenant, path)
        self.search("revocations", tenant, _text(listed))
        self.expect_own("revocations", tenant, listed.text)

    async def statistics(self, tenant: Tenant, other: Tenant) -> None:
        """Ask for numbers: they count what is one's own."""
        answer = await self.get(tenant, "/api/stats")
        self.search("stats", tenant, _text(answer))
        stats = answer.json()
        sockets = sum(organization_id == tenant.organization_id for organization_id, _ in self._sockets)
        if stats["cachedUnits"] > len(tenant.units) or stats["connections"] > sockets:
            self.find("stats", tenant, "the numbers count more than its own")
        theirs = await self.get(tenant, f"/api/stats?organizationId={other.organization_id}")
        unknown = await self.get(tenant, f"/api/stats?organizationId={NOBODY}")
        self.same("stats", tenant, theirs, unknown)

    async def key_of_others(self, tenant: Tenant, other: Tenant) -> None:
        """Revoke a key of another: it is unknown here, and goes on to work."""
        key_id, unknown_id = other.key.split("_")[1], "0" * 16
        path = f"/api/orgs/{tenant.organization_id}/keys/"
        headers = {"Authorization": f"Bearer {tenant.token}"}
        theirs = await self.send("DELETE", path + key_id, headers=headers)
        unknown = await self.send("DELETE", path + unknown_id, headers=headers)
        self.same("keys", tenant, theirs, unknown)
        with_key = await self.send("GET", f"/api/orgs/{other.organization_id}/units", headers={"X-API-Key": other.key})
        if with_key.status_code != 200:
            self.find("keys", tenant, "it could revoke a key of another")

    # Over Socket.IO

    async def live(self, tenant: Tenant, _other: Tenant) -> None:
        """Send a reading, at any node, and wait for it at this one."""
        socket = await self._socket(tenant)
        self.search("live", tenant, socket.take())
        here, self._url = self._url, self._chance.choice(self._urls)
        reading_id = await self._ingest(tenant, self._chance.choice(tenant.units))
        until_s = time.monotonic() + ANSWER_S
        while not any(reading_id in text for text in socket.received):
            if time.monotonic() > until_s:
                self.find("live", tenant, f"{here} did not send what came in at {self._url}")
                break
            await asyncio.sleep(_LOOK_S)
        self.search("live", tenant, socket.take())

    async def latest(self, tenant: Tenant, other: Tenant) -> None:
        """Ask for the newest reading of one's own unit and of another's."""
        socket = await self._socket(tenant)
        unit_id = self._chance.choice(tenant.units)
        own = await self._ask(socket, "get:latest", unit_id)
        if tenant.sent_to.get(unit_id):
            self.expect_own("get:latest", tenant, str(own))
        if await self._ask(socket, "get:latest", other.units[0]) is not None:
            self.find("get:latest", tenant, "it was given a unit of another")
        self.search("get:latest", tenant, socket.take())

    async def latest_of_all(self, tenant: Tenant, _other: Tenant) -> None:
        """Ask for the newest reading of every unit."""
        socket = await self._socket(tenant)
        found = await self._ask(socket, "get:latest:all")
        if {each["unitId"] for each in found} != set(tenant.sent_to):
            self.find("get:latest:all", tenant, "the units are not its own")
        self.search("get:latest:all", tenant, socket.take())

    async def subscribe(self, tenant: Tenant, other: Tenant) -> None:
        """Follow units and sites of the same name, and try to follow the other organization itself."""
        socket = await self._socket(tenant)
        await self._ask(socket, "subscribe:unit", self._chance.choice(other.units))
        await self._ask(socket, "subscribe:site", SITE)
        for strange in (f"{other.organization_id}:{other.units[0]}", f"org:{other.organization_id}"):
            await self._ask(socket, "subscribe:unit", strange)
        theirs = await self._ask(socket, "subscribe:organization", other.organization_id)
        unknown = await self._ask(socket, "subscribe:organization", NOBODY)
        if theirs != unknown or theirs["ok"]:
            self.find("subscribe:organization", tenant, "another organization is not like an unknown one")
        self.search("live", tenant, socket.take())

    async def connect_as_others(self, tenant: Tenant, other: Tenant) -> None:
        """Connect with one's own token to another organization: refused like an unknown one."""
        answers = []
        for organization_id in (other.organization_id, NOBODY):
            socket = Socket(self._url, {"token": tenant.token, "organizationId": organization_id})
            try:
                async with socket:
                    self.find("connect", tenant, "it was let in with the token of another organization")
            except Refused as exc:
                answers.append(str(exc))
        if len(set(answers)) != 1:
            self.find("connect", tenant, "another organization is not refused like an unknown one")
        self.search("connect", tenant, "\n".join(answers))

    async def refresh_as_others(self, tenant: Tenant, other: Tenant) -> None:
        """Renew a connection with the token of another organization: it ends, and does not change sides."""
        socket = self._sockets.pop((tenant.organization_id, self._url), None) or await self._connect(tenant)
        answer = await self._ask(socket, "auth:refresh", {"token": other.token})
        if answer["ok"]:
            self.find("auth:refresh", tenant, "it went on with the token of another organization")
        self.search("auth:refresh", tenant, socket.take())
        await socket.__aexit__(None, None, None)
        self.search("auth:refresh", tenant, socket.take())

    async def _socket(self, tenant: Tenant) -> Socket:
        place = (tenant.organization_id, self._url)
        socket = self._sockets.get(place)
        if socket is None or not socket.is_open:
            socket = self._sockets[place] = await self._connect(tenant)
        return socket

    async def _connect(self, tenant: Tenant) -> Socket:
        return await Socket(self._url, {"token": tenant.token}).__aenter__()

    # What came back

    async def get(self, tenant: Tenant, path: str) -> httpx.Response:
        """Ask with the token of a tenant."""
        return await self.send("GET", path, headers={"Authorization": f"Bearer {tenant.token}"})

    async def send(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Send a request, again later when it was one too many."""
        while True:
            answer = await self._client.request(method, self._url + path, **content)
            if answer.status_code != 429:
                return answer
            await asyncio.sleep(float(answer.headers["Retry-After"]))

    async def _ask(self, socket: Socket, event: str, *args: Any) -> Any:
        """Send an event, again later when it was one too many."""
        while True:
            answer = await socket.ask(event, *args)
            if not isinstance(answer, dict) or (answer.get("error") or {}).get("code") != "rate_limited":
                return answer
            await asyncio.sleep(_PAUSE_S)

    def same(
        self,
        surface: str,
        tenant: Tenant,
        theirs: httpx.Response,
        unknown: httpx.Response,
        *,
        asked: tuple[str, str] = (NOBODY, NOBODY),
    ) -> None:
        """What is another's must look like what nobody has, but for the names that were `asked` for themselves."""
        texts = [_text(answer).replace(name, "asked") for answer, name in zip((theirs, unknown), asked, strict=True)]
        if texts[0] != texts[1]:
            self.find(surface, tenant, "what is another's is not answered like what does not exist")
        self.search(surface, tenant, texts[0])

    def look(self, surface: str, tenant: Tenant, answer: httpx.Response) -> None:
        """Search a whole answer."""
        self.search(surface, tenant, _text(answer))

    def search(self, surface: str, tenant: Tenant, text: str) -> None:
        """Search for values of others, and count a value of one's own."""
        raw = text.encode()
        for other in self._tenants:
            if other is not tenant and any(secret in raw for secret in other.secrets):
                self.find(surface, tenant, f"it received a value of {other.organization_id}")
        if tenant.canary.encode() in raw:
            self.seen[surface] = self.seen.get(surface, 0) + 1

    def expect_own(self, surface: str, tenant: Tenant, text: str) -> None:
        """Take note when a value of one's own is missing."""
        if tenant.canary not in text and str(tenant.temperature) not in text:
            self.find(surface, tenant, "it did not receive its own value")

    def find(self, surface: str, tenant: Tenant, what: str) -> None:
        """Take note of a finding."""
        self.findings.append(Finding(surface, tenant.organization_id, what))


def _filled(query: str, unit_id: str, tenant: Tenant) -> str:
    """Put a unit, and a span of time around all readings, into a query."""
    start, end = (f"{tenant.started_at + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}" for hours in (-1, 4))
    return query.format(unit=unit_id, span=f"start={start}&end={end}")


def _text(answer: httpx.Response) -> str:
    """Everything that came, but what differs between any two answers."""
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in _CHANGES_BY_ITSELF)
    return f"{answer.status_code} {headers}\n{answer.text}"
