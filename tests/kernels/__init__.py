"""Whole machines with real kernels, and what is run in them: `make test-kernels`."""
