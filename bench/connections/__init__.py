"""The connection suite: `python -m bench.connections`."""
