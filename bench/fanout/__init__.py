"""The fan-out suite: `python -m bench.fanout`."""
