"""Doors through which readings come in."""
