"""The parsers of `tests.hostile.parsers`, fuzzed by what their code covers, where atheris is installed.

``python -m tests.hostile.guided coco -max_total_time=600``; the options are libFuzzer's. An input that fails is written
to the working directory and belongs into ``corpus/PARSER``.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module


def main(arguments: list[str]) -> None:
    """Fuzz one parser until it fails or an option ends it."""
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["segr1_app"]):
        parsers = import_module("tests.hostile.parsers")
    if not arguments or arguments[0] not in parsers.PARSERS:
        raise SystemExit(f"Name one of the parsers: {', '.join(parsers.PARSERS)}.")
    name, *options = arguments
    # New inputs go to the first folder; the corpus keeps only valid ones and those that failed.
    with tempfile.TemporaryDirectory() as found:
        atheris.Setup([sys.argv[0], *options, found, str(parsers.CORPUS / name)], parsers.PARSERS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
