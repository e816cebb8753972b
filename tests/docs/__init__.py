"""The generated parts of the documentation; ``python -m tests.docs --write`` brings them up to date."""
