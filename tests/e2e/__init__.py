"""End to end: a started `sensorcast serve`, real HTTP, stock Socket.IO clients. Nothing here imports its insides."""
