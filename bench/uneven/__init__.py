"""The suite of uneven load: `python -m bench.uneven`."""
