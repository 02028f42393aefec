"""One worker and two: what each process pays for an event, and what they deliver together when pressed."""
