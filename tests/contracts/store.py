"""The contract of `ReadingStore` and `KeyStore`, run on every implementation.

A twin of an implementation subclasses both classes and gives the fixture `open_store`, which opens one and the same
database each time it is called.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from sensorcast.errors import InvalidRequest, Unavailable
from sensorcast.model import ApiKey, Reading, Verdict
from sensorcast.store import ReadingStore, Store
from tests.readings import SECOND_US, T0_US, reading, series

STORED, DUPLICATE, CONFLICT = Verdict.STORED, Verdict.DUPLICATE, Verdict.CONFLICT
OTHER_ID = "123e4567-e89b-42d3-a456-426614174000"


OpenStore = Callable[[], Awaitable[Store]]

FULL = reading(
    device_id="probe:1",
    temperature=-18.123456789012345,
    humidity=0.1 + 0.2,
    battery=0,
    signal_strength=-200,
    metrics={"z": 1.0, "a": -1e-300, "pressure (hPa)": 1013.25, "°": 1e300, 'quote"\\': 5e-324},
    source="ttn",
    site_id="north",
)

CHANGES: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 4.3},
    "temperature gone": {"temperature": None},
    "humidity": {"humidity": 50.0},
    "battery": {"battery": 1},
    "signal": {"signal_strength": -1},
    "metrics": {"metrics": {"co2": 400.0}},
    "id": {"given_id": OTHER_ID},
}


async def history(store: ReadingStore, unit_id: str = "u1", *, org: str = "acme", limit: int = 1000) -> list[Reading]:
    page = await store.readings(org, unit_id, start_us=0, end_us=2**62, limit=limit, cursor=None)
    return list(page.readings)


class ReadingStoreContract:
    @pytest.fixture
    async def store(self, open_store: OpenStore) -> Store:
        return await open_store()

    async def test_a_reading_comes_back_as_it_went_in(self, store: Store) -> None:
        assert await store.append([FULL]) == [STORED]
        assert await history(store) == [FULL]

    @pytest.mark.parametrize("field", ["temperature", "humidity", "battery", "signal_strength"])
    async def test_zero_is_kept_apart_from_absent(self, store: Store, field: str) -> None:
        zero = reading(**({"temperature": None} | {field: 0}))
        await store.append([zero, reading("u2", temperature=None, metrics={"a": 0.0})])
        assert await history(store) == [zero]

    async def test_an_empty_append_is_nothing(self, store: Store) -> None:
        assert await store.append([]) == []

    async def test_stored_readings_are_there_after_reopening(self, store: Store, open_store: OpenStore) -> None:
        await store.append(series(3))
        await store.close()
        again = await open_store()
        assert await history(again) == series(3)[::-1]
        assert await again.append(series(3)) == [DUPLICATE] * 3

    async def test_the_same_reading_again_is_a_duplicate(self, store: Store) -> None:
        await store.append([FULL])
        later = msgspec.structs.replace(FULL, received_at_us=FULL.received_at_us + 1, source="mqtt", site_id=None)
        assert await store.append([FULL, later]) == [DUPLICATE, DUPLICATE]
        assert await history(store) == [FULL]

    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
    async def test_the_same_key_with_other_values_is_a_conflict(self, store: Store, change: dict[str, Any]) -> None:
        await store.append([reading()])
        assert await store.append([msgspec.structs.replace(reading(), **change)]) == [CONFLICT]
        assert await history(store) == [reading()]

    @pytest.mark.parametrize(
        "other", [{"unit_id": "u2"}, {"at_us": 1}, {"device_id": "d"}], ids=["unit", "time", "device"]
    )
    async def test_a_known_id_on_another_reading_is_a_conflict(self, store: Store, other: dict[str, Any]) -> None:
        await store.append([reading(given_id=OTHER_ID)])
        assert await store.append([reading(**other, given_id=OTHER_ID)]) == [CONFLICT]
        assert len(await store.units("acme", after=None, limit=10)) == 1

    @pytest.mark.parametrize("order", [1, -1], ids=["derived first", "given first"])
    @pytest.mark.parametrize(
        "other",
        [
            {"unit_id": "u2", "at_us": 90 * 86_400 * SECOND_US},
            {"unit_id": "u2", "at_us": 3},
            {"device_id": "d", "at_us": 3},
            {"at_us": 4},
            {"unit_id": "new unit"},
        ],
        ids=["unit and time", "unit", "device", "microsecond", "new unit"],
    )
    async def test_an_id_given_in_the_form_of_a_derived_one_is_a_conflict(
        self, store: Store, other: dict[str, Any], order: int
    ) -> None:
        owner = reading(at_us=3)
        first, last = (owner, reading(**other, given_id=owner.id))[::order]
        assert await store.append([first]) == [STORED]
        assert await store.append([last]) == [CONFLICT]
        assert await store.append([first, last]) == [DUPLICATE, CONFLICT]
        assert await store.append([*series(3, "u3"), last, first]) == [*[STORED] * 3, CONFLICT, DUPLICATE]

    @pytest.mark.parametrize("order", [1, -1], ids=["derived first", "given first"])
    async def test_of_a_derived_id_and_its_copy_in_one_append_the_first_is_stored(
        self, store: Store, order: int
    ) -> None:
        pair = (reading(at_us=3), reading("u2", 9, given_id=reading(at_us=3).id))[::order]
        assert await store.append([*series(70, "u3"), *pair]) == [*[STORED] * 71, CONFLICT]

    async def test_the_derived_id_of_a_reading_that_has_another_one_is_free(self, store: Store) -> None:
        renamed = reading(given_id=OTHER_ID)
        copy = reading("u2", given_id=reading().id)
        assert await store.append([renamed]) == [STORED]
        assert await store.append([copy]) == [STORED]
        assert await store.append([copy, renamed]) == [DUPLICATE] * 2

    async def test_an_id_that_looks_derived_and_is_of_no_reading_is_free(self, store: Store) -> None:
        digest = reading().id[18:]
        strange = [
            reading("u2", at, given_id=f"{reading().id[:14]}8{hexa}{digest}") for at, hexa in enumerate(["3e8", "fff"])
        ]
        assert await store.append([reading(), reading(at_us=1_000), *strange]) == [STORED] * 4
        assert await history(store, "u2") == strange[::-1]

    async def test_ids_of_years_before_1970_are_kept_apart_too(self, store: Store) -> None:
        old = reading(at_us=-60 * 365 * 86_400 * SECOND_US + 7)
        copy = reading("u2", given_id=old.id)
        assert await store.append([old]) == [STORED]
        assert await store.append([copy]) == [CONFLICT]

    async def test_a_derived_id_of_one_organization_may_be_given_in_another(self, store: Store) -> None:
        copy = reading(org="other", given_id=reading().id)
        assert await store.append([copy]) == [STORED]
        assert await store.append([reading(), reading(org="other")]) == [STORED, CONFLICT]
        assert await history(store, org="other") == [copy]

    async def test_ids_and_readings_of_another_organization_do_not_matter(self, store: Store) -> None:
        ours, later = reading(at_us=1), reading(at_us=2)
        assert await store.append([reading(org="other")]) == [STORED]
        assert await store.append([ours]) == [STORED]
        mine = reading("u2", given_id=reading().id)
        theirs = [reading("u2", 5 + at, org="other", given_id=reading(at_us=at).id) for at in (0, 2)]
        assert await store.append([mine, *theirs]) == [STORED] * 3
        assert await store.append([later]) == [STORED]

    async def test_a_given_id_that_is_the_derived_one_is_no_other_reading(self, store: Store) -> None:
        named = msgspec.structs.replace(reading(), given_id=reading().id)
        assert await store.append([named]) == [STORED]
        assert await store.append([reading(), named]) == [DUPLICATE] * 2
        assert await history(store) == [reading()]

    async def test_an_id_is_free_again_when_its_reading_was_deleted(self, store: Store) -> None:
        copy = reading("u2", 90 * 86_400 * SECOND_US, given_id=reading().id)
        assert await store.append([reading()]) == [STORED]
        while await store.expire(before_us=T0_US + SECOND_US, limit=9):
            pass
        assert await store.append([copy]) == [STORED]
        assert await store.append([reading()]) == [CONFLICT]

    async def test_an_earlier_item_counts_for_a_later_one(self, store: Store) -> None:
        first, other = reading(given_id=OTHER_ID), reading(temperature=9.0)
        moved = reading(at_us=7, given_id=OTHER_ID)
        assert await store.append([first, first, other, moved]) == [STORED, DUPLICATE, CONFLICT, CONFLICT]

    async def test_verdicts_are_aligned_in_a_large_mixed_append(self, store: Store) -> None:
        known = series(300)[::3]
        await store.append(known)
        mixed = series(300)
        mixed[1::3] = [msgspec.structs.replace(item, temperature=9.0) for item in mixed[0::3]]
        assert await store.append(mixed) == [DUPLICATE, CONFLICT, STORED] * 100

    async def test_the_same_reading_sent_in_parallel_is_stored_once(self, store: Store) -> None:
        verdicts = await asyncio.gather(*(store.append([reading()]) for _ in range(20)))
        assert sorted(each[0].value for each in verdicts) == ["duplicate"] * 19 + ["stored"]

    async def test_a_poisonous_call_fails_alone(self, store: Store) -> None:
        poison = msgspec.structs.replace(reading("bad"), given_id="not a uuid")
        results = await asyncio.gather(
            store.append([reading("u1")]),
            store.append([reading("u2"), poison]),
            store.append([reading("u3")]),
            return_exceptions=True,
        )
        assert results[0] == results[2] == [STORED]
        assert isinstance(results[1], Exception)
        assert [found.unit_id for found in await store.units("acme", after=None, limit=9)] == ["u1", "u3"]
        assert await store.append([reading("u2")]) == [STORED]

    async def test_a_cancelled_append_is_stored_all_the_same(self, store: Store) -> None:
        task = asyncio.ensure_future(store.append([reading()]))
        await asyncio.sleep(0)
        task.cancel()
        assert await store.append([reading("u2")]) == [STORED]
        assert await history(store) == [reading()]

    async def test_nothing_leaks_into_another_organization(self, store: Store) -> None:
        ours, theirs = reading(given_id=OTHER_ID), reading(org="other", given_id=OTHER_ID, temperature=-1.0)
        assert await store.append([ours, theirs]) == [STORED, STORED]
        assert await history(store) == [ours]
        assert await history(store, org="other") == [theirs]
        assert await history(store, org="acm") == []
        assert await store.units("acme", after=None, limit=9) == [ours]
        assert await store.units("nobody", after=None, limit=9) == []

    async def test_latest_is_the_newest_by_recorded_at(self, store: Store) -> None:
        await store.append([reading(at_us=5), reading(at_us=9), reading(at_us=7), reading("u2", 8)])
        await store.append([reading(at_us=6), reading(org="other", at_us=1)])
        expected = [reading(at_us=9), reading("u2", 8), reading(org="other", at_us=1)]
        assert await store.latest(limit=10) == expected
        assert await store.latest(limit=2) == expected[:2]

    async def test_units_are_listed_by_id_from_behind_a_mark(self, store: Store) -> None:
        await store.append([reading(unit) for unit in ("b", "a", "B", "c:1", "c.1")])
        listed = [found.unit_id for found in await store.units("acme", after=None, limit=9)]
        assert listed == ["B", "a", "b", "c.1", "c:1"]
        assert [found.unit_id for found in await store.units("acme", after="a", limit=2)] == ["b", "c.1"]

    async def test_of_some_units_the_newest_readings_are_given_and_of_no_other(self, store: Store) -> None:
        await store.append([*series(3, "u1"), *series(2, "u2"), reading("u3"), *series(9, "u1", org="globex")])
        assert await store.units("acme", after=None, limit=9, only=["u2", "u1", "unknown"]) == [
            *(series(3, "u1")[-1], series(2, "u2")[-1])
        ]
        assert await store.units("acme", after="u1", limit=1, only=["u1", "u2", "u3"]) == series(2, "u2")[-1:]
        assert await store.units("nobody", after=None, limit=9, only=["u1"]) == []
        assert await store.units("acme", after=None, limit=9, only=[]) == []

    async def test_history_is_newest_first_between_start_and_end(self, store: Store) -> None:
        await store.append(series(10))
        page = await store.readings(
            "acme", "u1", start_us=T0_US + 2 * SECOND_US, end_us=T0_US + 5 * SECOND_US, limit=9, cursor=None
        )
        assert page.readings == series(10)[4:1:-1]
        assert page.next_cursor is None

    async def test_pages_cover_the_history_once_while_readings_arrive(self, store: Store) -> None:
        await store.append([*series(10), *(reading(device_id=f"d{n}") for n in range(3))])
        seen: list[Reading] = []
        cursor: str | None = None
        for arrival in range(100):
            page = await store.readings("acme", "u1", start_us=0, end_us=2**62, limit=2, cursor=cursor)
            seen += page.readings
            cursor = page.next_cursor
            if cursor is None:
                break
            await store.append([reading(at_us=60 * SECOND_US + arrival)])
        assert len(seen) == 13
        assert [(r.recorded_at_us, r.device_id or "") for r in seen] == sorted(
            ((r.recorded_at_us, r.device_id or "") for r in seen), reverse=True
        )
        assert {r.id for r in series(10)} < {r.id for r in seen}

    async def test_a_full_last_page_has_no_next(self, store: Store) -> None:
        await store.append(series(4))
        page = await store.readings("acme", "u1", start_us=0, end_us=2**62, limit=4, cursor=None)
        assert (len(page.readings), page.next_cursor) == (4, None)

    @pytest.mark.parametrize(
        "cursor", ["", "x", "Zm9v", "MTIz'", "é", "OTk5OTk5OTk5OTk5OTk5OTk5OTkv", "MS8gIA", "A" * 9_999]
    )
    async def test_a_foreign_cursor_is_an_invalid_request(self, store: Store, cursor: str) -> None:
        with pytest.raises(InvalidRequest, match="cursor"):
            await store.readings("acme", "u1", start_us=0, end_us=2**62, limit=1, cursor=cursor)

    async def test_old_readings_are_deleted_in_steps_and_no_other(self, store: Store) -> None:
        given = [reading("u2", number, given_id=str(uuid.UUID(int=number))) for number in range(5)]
        ancient = [reading("u3", -number * 90 * 86_400 * SECOND_US) for number in range(3)]
        await store.append([*series(30), *given, *ancient, reading("u4", 99 * SECOND_US)])
        before_us, steps = T0_US + 20 * SECOND_US, 0
        while await store.expire(before_us=before_us, limit=7):
            steps += 1
        assert 4 <= steps <= 9
        assert await history(store) == series(30)[:19:-1]
        left = [found.unit_id for found in await store.units("acme", after=None, limit=9)]
        assert left == ["u1", "u4"]
        assert await store.append([*series(1), *given]) == [STORED] * 6

    async def test_there_is_no_trouble_while_writes_work(self, store: Store) -> None:
        await store.append([reading()])
        assert await store.trouble() is None

    async def test_closing_commits_what_was_accepted(self, store: Store, open_store: OpenStore) -> None:
        waiting = [asyncio.ensure_future(store.append([item])) for item in series(50)]
        await asyncio.sleep(0)
        await store.close()
        assert await asyncio.gather(*waiting) == [[STORED]] * 50
        assert len(await history(await open_store())) == 50

    async def test_a_closed_store_is_unavailable(self, store: Store) -> None:
        await store.close()
        await store.close()
        with pytest.raises(Unavailable, match="closed"):
            await store.append([reading()])
        with pytest.raises(Unavailable, match="closed"):
            await history(store)
        assert await store.trouble() == "the store is closed"


class KeyStoreContract:
    KEY = ApiKey(key_id="k1", organization_id="acme", name="gateway", secret_sha256="ab" * 32, created_at_us=T0_US)

    @pytest.fixture
    async def keys(self, open_store: OpenStore) -> Store:
        return await open_store()

    async def test_a_key_is_found_by_its_id(self, keys: Store) -> None:
        await keys.create_key(self.KEY)
        assert await keys.find_key("k1") == self.KEY
        assert await keys.find_key("k2") is None

    async def test_keys_are_listed_by_organization_oldest_first(self, keys: Store) -> None:
        newer = msgspec.structs.replace(self.KEY, key_id="k0", created_at_us=T0_US + 1)
        other = msgspec.structs.replace(self.KEY, key_id="k9", organization_id="other")
        for key in (newer, other, self.KEY):
            await keys.create_key(key)
        assert await keys.list_keys("acme") == [self.KEY, newer]

    async def test_a_revoked_key_says_since_when(self, keys: Store) -> None:
        await keys.create_key(self.KEY)
        assert await keys.revoke_key("acme", "k1", now_us=T0_US + 5)
        assert await keys.find_key("k1") == msgspec.structs.replace(self.KEY, revoked_at_us=T0_US + 5)

    async def test_only_a_live_key_of_the_organization_can_be_revoked(self, keys: Store) -> None:
        await keys.create_key(self.KEY)
        assert not await keys.revoke_key("other", "k1", now_us=1)
        assert not await keys.revoke_key("acme", "k2", now_us=1)
        assert await keys.revoke_key("acme", "k1", now_us=1)
        assert not await keys.revoke_key("acme", "k1", now_us=2)

    async def test_keys_are_there_after_reopening(self, keys: Store, open_store: OpenStore) -> None:
        await keys.create_key(self.KEY)
        await keys.close()
        assert await (await open_store()).find_key("k1") == self.KEY

    async def test_a_key_made_by_another_process_is_found_at_once(self, keys: Store, open_store: OpenStore) -> None:
        other = await open_store()
        await other.create_key(self.KEY)
        assert await keys.find_key("k1") == self.KEY


_FLOATS = st.floats(allow_nan=False, allow_infinity=False)

ANY_READING = st.fixed_dictionaries(
    {
        "unit_id": st.sampled_from(["u1", "u2"]),
        "at_us": st.integers(0, 3),
        "device_id": st.sampled_from([None, "d1"]),
        "temperature": st.none() | _FLOATS,
        "battery": st.none() | st.integers(0, 100),
        "metrics": st.none() | st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), _FLOATS, min_size=1),
    },
    optional={"given_id": st.sampled_from([OTHER_ID, reading("u1", 0).id, reading("u2", 1, device_id="d1").id])},
).map(lambda fields: reading(**fields))
"""Few keys and few ids, so that duplicates and conflicts are common; any values."""


class Model:
    """What the contract says, in the simplest words: the store must agree with it."""

    def __init__(self) -> None:
        self.by_key: dict[tuple[object, ...], Reading] = {}
        self.ids: set[tuple[str, str]] = set()

    def append(self, item: Reading) -> Verdict:
        key = (item.organization_id, item.unit_id, item.device_id, item.recorded_at_us)
        known = self.by_key.get(key)
        if known is not None:
            alike = msgspec.structs.replace(item, received_at_us=known.received_at_us, source=known.source) == known
            return DUPLICATE if alike else CONFLICT
        if (item.organization_id, item.id) in self.ids:
            return CONFLICT
        self.by_key[key] = item
        self.ids.add((item.organization_id, item.id))
        return STORED
