"""Every organization predicate in the SQL of both stores, found in the code itself, and how to take each one out.

A new statement is found as soon as it is written, wherever it stands: as a text of a module, or within a function.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sensorcast import store

PREDICATE = re.compile(
    r'(?:\w\.)?organization_(?:id|no) = (?:\?|:\w+|\$\d+|\w\.organization_(?:id|no)(?: COLLATE "C")?)'
)
SKIPPED = ("sqlite_source",)
"""Reads everything of everybody, to move it to another store."""
SHARED = ("credentials", "registry")
"""Their statements are those of both stores."""


@dataclass(frozen=True)
class Predicate:
    """One of them: its store, its module, the name of the statement or function, and which one in its text."""

    store: str
    module: str
    name: str
    place: int

    def __str__(self) -> str:
        shared = f"{self.store}-" if self.module in SHARED else ""
        return f"{shared}{self.module}.{self.name}-{self.place}"

    def take_out(self, patch: pytest.MonkeyPatch) -> None:
        """Let it be true always; the number of parameters stays."""
        module = importlib.import_module(f"{store.__name__}.{self.module}")
        functions = dict(_functions(module))
        if self.name not in functions:
            patch.setattr(module, self.name, _without(getattr(module, self.name), self.place))
            return
        code, left = functions[self.name].__code__, self.place
        constants: list[Any] = []
        for constant in code.co_consts:
            count = len(PREDICATE.findall(constant)) if isinstance(constant, str) else 0
            constants.append(_without(constant, left) if 0 <= left < count else constant)
            left -= count
        patch.setattr(functions[self.name], "__code__", code.replace(co_consts=tuple(constants)))


def _without(sql: str, place: int) -> str:
    found = list(PREDICATE.finditer(sql))[place]
    return f"{sql[: found.start()]}({found[0]} OR true){sql[found.end() :]}"


def predicates() -> Iterator[Predicate]:
    """Find all of them."""
    names = {info.name for info in pkgutil.iter_modules(store.__path__)}.difference(SKIPPED)
    for kind in ("sqlite", "postgres"):
        for name in sorted(each for each in names if each.startswith(kind) or each in SHARED):
            for statement, place in _predicates(importlib.import_module(f"{store.__name__}.{name}")):
                yield Predicate(kind, name, statement, place)


def _predicates(module: types.ModuleType) -> Iterator[tuple[str, int]]:
    functions = dict(_functions(module))
    used = {name for function in functions.values() for name in function.__code__.co_names}
    for name, value in vars(module).items():
        if isinstance(value, str) and name in used:  # others are parts of statements, in which it is found again
            for place, _ in enumerate(PREDICATE.findall(value)):
                yield name, place
    for name, function in functions.items():
        texts = [text for text in function.__code__.co_consts if isinstance(text, str) and text != function.__doc__]
        for place in range(sum(len(PREDICATE.findall(text)) for text in texts)):
            yield name, place


def _functions(module: types.ModuleType) -> Iterator[tuple[str, types.FunctionType]]:
    """Give its functions, and the methods of its classes."""
    for owner in (module, *(each for each in vars(module).values() if isinstance(each, type))):
        for name, found in vars(owner).items():
            function = getattr(found, "__func__", found)
            if isinstance(function, types.FunctionType) and function.__module__ == module.__name__:
                yield (name if owner is module else f"{owner.__name__}.{name}"), function
