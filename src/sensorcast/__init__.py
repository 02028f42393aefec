"""sensorcast: readings from devices to screens, durable, apart per organization, one batch per unit a second."""

__version__ = "0.1.0"
