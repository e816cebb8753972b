"""Start the page: ``python app.py``, then open the address it prints. Importing this module does nothing.

It is the entry point of a checkout and of a Hugging Face Space; an installed package has ``segr1 app`` for the same.
"""

from __future__ import annotations

from segr1_app.serve import main, prepare_cache

__all__ = ["main", "prepare_cache"]

if __name__ == "__main__":
    main()
