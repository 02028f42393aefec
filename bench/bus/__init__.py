"""What the bus costs a server that is alone on it."""
