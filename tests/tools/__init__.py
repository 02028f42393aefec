"""The project's own checks find what they are there to find."""
