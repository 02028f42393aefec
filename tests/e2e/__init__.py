"""End to end: a started `sensorcast serve`, real HTTP, stock Socket.IO clients; what outsiders see, nothing else."""
