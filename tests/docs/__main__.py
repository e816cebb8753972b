"""``python -m tests.docs``: list the generated parts that are out of date; with ``--write``, bring them up to date."""

from __future__ import annotations

import argparse
import sys

from tests.docs.parts import outdated, written


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.docs", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the files instead of naming them")
    write = parser.parse_args().write
    files = outdated()
    for file in files:
        if write:
            file.write_text(written(file), encoding="utf-8")
        print(f"{file} {'written' if write else 'is out of date'}")
    return 0 if write or not files else 1


if __name__ == "__main__":
    sys.exit(main())
