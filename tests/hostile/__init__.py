"""Attacks as tests: what a hostile page, file, number or text may not do, and fuzzers for every parser."""
