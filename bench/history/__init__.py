"""How fast a long history is read, and how much memory that takes."""
