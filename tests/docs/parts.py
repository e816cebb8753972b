"""The generated parts of the documentation, and what generates them.

A part stands between ``<!-- generated: NAME -->`` and ``<!-- /generated -->``; the text around it is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PART: Final = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


def pages() -> list[Path]:
    """Every page of the documentation."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


TYPES: Final = ROOT / "segr1_app/ui/static/shared/contracts.d.ts"


def written(file: Path) -> str:
    """A page's text with its generated parts as they should be."""
    if file == TYPES:
        from tests.docs.contracts import declarations

        return declarations()
    return PART.sub(
        lambda found: f"{found[1]}\n{generated(found[2]).strip()}\n\n{found[3]}", file.read_text(encoding="utf-8")
    )


def outdated() -> list[Path]:
    """The pages whose generated parts differ from what the code says."""
    return [file for file in (TYPES, *pages()) if written(file) != file.read_text(encoding="utf-8")]


@cache
def generated(name: str) -> str:
    """The text of one part."""
    # Imported here: the training's parsers and the page take seconds, which a check of links need not wait for.
    from tests.docs import api, commands, schema

    makers: dict[str, Callable[[], str]] = {
        "commands": commands.reference,
        "variables": commands.variables,
        "endpoints": api.endpoints,
        "types": api.types,
        "python": api.python,
        "schema": schema.tables,
    }
    return makers[name]()
