"""The table of settings in docs/training.md, made from their schema: ``python -m train.finetune.settings_table``."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from peft import LoraConfig

from segr1_app.rewards import RewardOptions
from train.data.mixing import Mixing
from train.finetune.arguments import SHORTCUTS
from train.finetune.grpo_setup import GrpoSetup
from train.finetune.schema import library_schema, narrowed, type_name
from train.finetune.setup import FEEDBACK_REWARD, TrainingSetup
from train.finetune.sft_setup import SftSetup

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "training.md"
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
_HEAD: Final = ("| setting | option | type | default | meaning |", "|---|---|---|---|---|")


def settings_table() -> str:
    """All settings as Markdown."""
    own = {entry.name: entry for kind in (GrpoSetup, SftSetup) for entry in dataclasses.fields(kind)}
    own = {name: entry for name, entry in own.items() if name not in ("trainer", "lora", "mixing", "reward")}
    meanings = _meanings(TrainingSetup) | _meanings(SftSetup) | _meanings(GrpoSetup)
    parts = ["### At the top of the file", *_HEAD, *_rows(own.values(), GrpoSetup, meanings, "")]
    for section, kind in (("mixing", Mixing), ("reward", RewardOptions)):
        rows = _rows(dataclasses.fields(kind), kind, _meanings(kind), f"{section}.")
        parts += ["", f"### {section}", *_HEAD, *rows]
    for section, title, config, taken in (
        ("trainer", "trainer, for GRPO", GrpoSetup.TRAINER, frozenset(GrpoSetup.FIXED)),
        ("trainer", "trainer, for SFT", SftSetup.TRAINER, frozenset(SftSetup.FIXED)),
        ("lora", "lora", LoraConfig, frozenset()),
    ):
        parts += ["", f"### {title}", *_HEAD, *_library_rows(config, taken, f"{section}.")]
    return "\n".join(parts) + "\n"


def replaced(page: str) -> str:
    """The page with an up-to-date table."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{settings_table()}{END}{after}"


def _rows(entries: Iterable[Any], kind: type, meanings: dict[str, str], prefix: str) -> list[str]:
    kinds = (SftSetup, GrpoSetup) if kind is GrpoSetup else (kind,)
    hints = {name: hint for one in kinds for name, hint in typing.get_type_hints(one, include_extras=True).items()}
    rows = []
    for entry in entries:
        default = entry.default if entry.default is not dataclasses.MISSING else None
        default = (
            getattr(FEEDBACK_REWARD, entry.name) if kind is RewardOptions else getattr(default, "default", default)
        )
        rows.append(
            _row(prefix + entry.name, type_name(hints[entry.name]), _plain(default), meanings.get(entry.name, ""))
        )
    return rows


def _library_rows(config: type, taken: frozenset[str], prefix: str) -> list[str]:
    fields = library_schema(config, taken).model_fields
    rows = [
        _row(prefix + name, type_name(kind), _plain(field.default), _first_sentence(field.description or ""))
        for name, field in fields.items()
        if (kind := narrowed(config, name))
    ]
    others = ", ".join(f"`{name}`" for name in sorted(fields) if not narrowed(config, name))
    return [*rows, "", f"Also accepted, with the library's own types: {others}."]


def _row(name: str, kind: str, default: str, meaning: str) -> str:
    option = next((f"`--{option.replace('_', '-')}`" for option, key in SHORTCUTS.items() if key == name), "")
    if kind.count("/") > 8:
        kind = "a name that the library knows"
    cells = (f"`{name}`", option, kind, default, meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _plain(default: Any) -> str:
    text = str(getattr(default, "value", default))
    # Folders of the shipped models are relative to the project's root.
    return text.replace(f"{PAGE.parents[1]}/", "") or "none"


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!])\s", " ".join(text.split()), maxsplit=1)[0]


def _meanings(kind: type) -> dict[str, str]:
    """The description of each attribute in a class's docstring."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in (inspect.getdoc(kind) or "").partition("Attributes:")[2].splitlines():
        begins = re.match(r"    (\w+(?:, \w+)*): (.*)", line)
        if begins:
            names = begins[1].split(", ")
            found |= dict.fromkeys(names, begins[2])
        elif line.startswith("        "):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        elif line.strip():
            break
    return found


if __name__ == "__main__":
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
