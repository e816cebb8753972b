"""The project's language: plain words, one name for one thing, and a reason for every long function."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READ = {".py", ".js", ".css", ".md", ".toml", ".yaml", ".yml"}
BANNED = (
    r"\banew\b",
    r"\bunited?\b(?! [Ss]tates)",
    r"weights of chance|models? of chance",
    r"cannot be had|can be had",
    r"looked into",
    r"\bat hand\b",
    r"\bfor ever\b",
    r"is heard|are heard",
    r"what is told|is told of|are told of|told in one sentence",
    r"derived of",
    r"as they are given out",
    r"are the most that",
    r"at work on this",
    r"[Ss]ay who you are",
    r"of its eyes|[Ii]ts eyes",
    r"\bis lent\b",
    r"\bone's own\b",
    r"[Ww]hat (came|became|becomes) of",
    r"to be known of",
    r"\bas of `",
    r"goes on with",
    r"in this very",
    r"stands twice|stands \w+ times",
    r"def test_\w*(_(is|are)_told(?!_(to|apart))|_anew\b|_cannot_be_had)",
    r"\bwhat to call it\b",
    r"\bcalled like (?!this)",
    r"\bthis very\b",
    r"like an enemy",
    r"\bshares of (the |its |a )?(picture|width|side)",
    r"\bmany alike\b",
    r"\bNot taken\.",
    r"\bkept as (it|they) came\b",
    r"\bis an? \w+ of nothing\b",
    r"\bin no \w+ that is read\b",
    r"\bthat are no numbers\b",
)
"""Phrases, mostly translated word for word, that say less than the field's own terms."""
MOST_LINES = 60
SHARED_NAMES = {"add_command", "collect_rows", "draw", "find", "main", "make_trainer", "plan_notes", "run"}
"""Functions that every module of its kind has: commands, readers of annotation files, training methods."""
MOST_FILE_LINES = 420
LONG_FILE = re.compile(r"\bIt is long because\b|\bLonger than 400 lines: \S")
REASON = re.compile(r"# Longer than 60 lines: \S")


def tracked() -> list[Path]:
    """The files of the project; of an export without git, everything that is not hidden or installed."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    left_out = {".venv", "node_modules"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not left_out & set(path.relative_to(ROOT).parts)]


def test_sentences_use_plain_words() -> None:
    banned = re.compile("|".join(BANNED))
    found = []
    for path in tracked():
        if path.suffix not in READ or path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if match := banned.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: '{match[0]}': {line.strip()[:100]}")
    assert not found, "say it in plain words:\n" + "\n".join(found)


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Number of lines without the docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_long_functions_have_a_reason_beside_them() -> None:
    found = []
    for path in tracked():
        if path.suffix != ".py":
            continue
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines()
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or lines_of(node) <= MOST_LINES:
                continue
            start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if not REASON.search("\n".join(lines[max(0, start - 3) : node.lineno])):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {lines_of(node)} lines")
    assert not found, "split these, or write '# Longer than 60 lines: REASON' above them:\n" + "\n".join(found)


def test_one_name_means_one_thing() -> None:
    places = defaultdict(list)
    for path in tracked():
        name = path.relative_to(ROOT)
        if path.suffix != ".py" or name.parts[0] not in {"segr1_app", "train"}:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                places[node.name].append(f"{name}:{node.lineno}")
    found = [f"{name}: {', '.join(where)}" for name, where in places.items() if len(where) > 1]
    found = [line for line in found if line.partition(":")[0] not in SHARED_NAMES]
    assert not found, "two things have the same name; rename one of each:\n" + "\n".join(found)


def test_long_files_say_why_at_the_top() -> None:
    found = []
    for path in tracked():
        if path.suffix not in {".py", ".js", ".css"} or path.relative_to(ROOT).parts[0] not in {"segr1_app", "train"}:
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > MOST_FILE_LINES and not LONG_FILE.search("\n".join(lines[:15])):
            found.append(f"{path.relative_to(ROOT)} has {len(lines)} lines")
    assert not found, "split these, or write at the top: It is long because ...\n" + "\n".join(found)
