"""The GPU's checks and measurements: `python -m benchmarks.gpu`, or `make gpu`."""
