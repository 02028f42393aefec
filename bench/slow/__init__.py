"""The suite of slow clients: `python -m bench.slow`."""
