"""Benchmarks of speed and memory, run by hand: ``python -m tests.benchmarks``.

They compare side by side in one process and report medians and ratios, because machines are noisy; they are not
tests, and nothing fails when a number is poor.
"""
