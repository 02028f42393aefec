"""The load tester: dashboards and a gateway in one process, against a server that is already there.

Reading order: `connection` (one dashboard), `tally` (what arrived, how late, what is missing), `server_cpu`, `run` (the
course of a test). The invariant: it is a client, uses nothing of the server, and judges only what it sent itself.
"""
