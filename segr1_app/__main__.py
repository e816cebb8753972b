"""``python -m segr1_app``."""

import sys

from segr1_app.cli import main

if __name__ == "__main__":
    sys.exit(main())
