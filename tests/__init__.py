"""Tests. The tree mirrors `src/sensorcast/`; `e2e/` drives started servers, `support/` holds what drives them."""
