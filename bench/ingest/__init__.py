"""How fast readings are taken, each time beside what it could be compared with."""
