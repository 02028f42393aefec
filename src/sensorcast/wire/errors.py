"""The one error of the wire: the peer broke the protocol or a limit, and its connection must close."""

from __future__ import annotations


class WireError(ValueError):
    """The peer's bytes are not what the protocol or a limit allows; `str()` says which."""
