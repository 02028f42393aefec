"""The suite of the herd: `python -m bench.herd`."""
