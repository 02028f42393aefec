"""The Socket.IO door: websocket and polling carriers, connections, namespaces, and sensorcast's own events on them.

Reading order: `limits`, `wheel` (time), `connection` (one session), `websocket` and `polling` (its carriers), `backlog`
(slow clients), `endpoint` (admission and registry), `http` (polling requests), `client`, `socket` and `namespace`
(Socket.IO), `server` (the library face), `gateway` (tokens, rooms and the stream's events).
The invariant of the whole: no client, whatever it sends or fails to read, can delay or end another's connection.
"""
