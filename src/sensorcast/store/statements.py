"""What the statements about credentials and the registry are run with, whichever database they are for.

Owns the border between what is alike in every database (`credentials`, `registry`) and what is not. The invariant:
what is written against it is written once; SQL has `$1`, `$2` and so on for its bindings.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Statements(Protocol):
    """Runs statements on one connection: within a transaction, or for one that only reads."""

    @property
    def among_3(self) -> str:
        """What to write behind a column that is to be one of the texts in `$3`, a list."""
        ...

    async def fetch(self, sql: str, *bindings: Any) -> Sequence[Any]:
        """Give rows."""
        ...

    async def execute(self, sql: str, *bindings: Any) -> int:
        """Insert, update or delete; give how many rows that were."""
        ...

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Do the same with each of several bindings."""
        ...

    async def lock(self, sql: str, *bindings: Any) -> None:
        """Run what does nothing but keep other servers out to the end of the transaction, where there are others."""
        ...


Work = Callable[[Statements], Awaitable[T]]
"""Something to do with a few statements; it waits for nothing else."""
