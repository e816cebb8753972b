"""The field's benchmarks, each read as it is given out and scored by its own protocol, which is written down."""
