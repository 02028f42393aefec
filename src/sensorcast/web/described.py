"""The row of the API description: one thing that can be asked, and what rows share.

The invariant: a row only names; schemas are made from the types of answers and bodies, by `openapi`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

PAGE: Final = {"limit": "Most items to answer, a whole number.", "cursor": "The nextCursor of the answer before."}
LOOKUP: Final = ("401", "404", "422", "429", "503")
CHANGE: Final = ("400", "401", "403", "404", "413", "415", "422", "429", "503", "507")
"""Problems that a question, and that a change can have."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One thing that can be asked of the HTTP API."""

    path: str
    summary: str
    answer: str | None = None
    """Name of the answer's schema; None: plain text."""
    method: str = "get"
    body: str | None = None
    credential: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[str] = ()
    media_type: str = "text/plain"
    """Of an answer that is not JSON."""
    also: str | None = None
    """A second status of success, with the same answer."""
    status: str = "200"
    """Of a success; 204 has no body."""
