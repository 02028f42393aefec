"""The growth suite: `python -m bench.growth`."""
