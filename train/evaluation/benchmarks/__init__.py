"""Established benchmarks, each read in its original layout and scored by its own documented protocol."""
