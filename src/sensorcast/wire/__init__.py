"""Bytes to packets and back, and the state machines of Engine.IO 4 and Socket.IO 5: pure, no I/O, time passed in.

Reading order: `frame` (what is sent), `engineio` (outer packets), `engine_session` (heartbeat, upgrade), `socketio`
(inner packets), `socket_session` (namespaces). The invariant: whatever bytes come in, the only exception that leaves
is `WireError`, and nothing kept grows beyond the limits passed in.
"""
