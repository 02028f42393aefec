"""The servers sensorcast is measured beside, each with the least code that does the same streaming, and no store."""
