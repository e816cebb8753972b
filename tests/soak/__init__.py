"""A day's work at speed on ``python app.py``, with kills: ``python -m tests.soak``."""
