"""Measurements: one script per question. Each prints the machine, the versions, its command and its numbers."""
