"""Claims about the registry's rows in the API description: complete, and each change has a body and its problems."""

from __future__ import annotations

from sensorcast.web.described import CHANGE
from sensorcast.web.registry_operations import REGISTRY_OPERATIONS


def test_every_kind_is_listed_shown_put_and_removed() -> None:
    methods = [(each.path.rsplit("/", 1)[1], each.method) for each in REGISTRY_OPERATIONS]
    for noun in ("site", "unit", "device"):
        assert (f"{noun}s", "get") in methods
        assert {(f"{{{noun}_id}}", method) for method in ("get", "put", "delete")} <= set(methods)


def test_every_change_names_its_problems() -> None:
    assert all(each.problems == CHANGE for each in REGISTRY_OPERATIONS if each.method != "get")
