"""Drivers for the end to end tests: a real server process, and stock clients in a real Node process."""
