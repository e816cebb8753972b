"""Run every static check of the project: ``python -m tests.checks``; exits with 1 when one of them fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

CHECKS = (
    ("lint", [sys.executable, "-m", "ruff", "check", "."]),
    ("format", [sys.executable, "-m", "ruff", "format", "--check", "."]),
    ("spelling", [sys.executable, "-m", "codespell_lib"]),
    ("types", [sys.executable, "-m", "mypy"]),
    ("layers", [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]),
    ("JavaScript: its tools, as locked", ["npm", "ci", "--silent"]),
    ("JavaScript: types", ["npm", "run", "--silent", "types"]),
    ("JavaScript: lint", ["npm", "run", "--silent", "lint"]),
)


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    failed = []
    for name, command in CHECKS:
        print(f"== {name}", flush=True)
        program = shutil.which(command[0])
        if program is None:
            print(f"{command[0]} is not installed")
            failed.append(name)
        elif subprocess.run([program, *command[1:]], cwd=root, check=False).returncode:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "every check passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
