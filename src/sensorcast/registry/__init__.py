"""What readings need of the registry: where a unit stands, whether it is known, and that new ones become known.

Called by the pipeline around every append; the doors change the registry through `store.RegistryStore`. Reading order:
`service` (the two steps), `known` (what is remembered), `newcomers` (what is registered in the background), and, for
whoever lets people write, `references`. The invariant: the registry never delays an answer for more than a look-up of
units not seen lately, and trouble with registering never changes one.
"""

from __future__ import annotations

from sensorcast.registry.service import Registry

__all__ = ["Registry"]
