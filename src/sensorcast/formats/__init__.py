"""Formats in which readings arrive: bytes in, readings out. Pure: no I/O, no asyncio, the time is an argument."""
