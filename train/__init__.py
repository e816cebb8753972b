"""Training and evaluation: the commands, and what they are made of."""

from importlib.util import find_spec

MISSING = [name for name in ("filelock", "matplotlib", "peft", "trl") if find_spec(name) is None]
"""Packages of the extra "train" that are not installed."""
if MISSING:
    raise ImportError(
        f"Training and evaluation need {', '.join(MISSING)}: install the package with its extra 'train', as in "
        "pip install 'segr1-app[train]', or the checkout's requirements.txt."
    )
