"""Makes `python -m sensorcast` the same as the command `sensorcast`."""

from sensorcast.cli import main

main(prog_name="sensorcast")
