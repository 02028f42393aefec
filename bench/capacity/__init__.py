"""The coefficients of the capacity model (docs/explanation/scaling.md), and what the model says."""
