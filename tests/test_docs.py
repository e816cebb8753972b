"""The documentation says what the code has: generated parts, commands, flags, links, variables, endpoints, examples."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from PIL import Image

import segr1_app
from segr1_app.studio.samples import find_samples
from tests.docs.commands import VARIABLE, parsers
from tests.docs.parts import PART, ROOT, TYPES, generated, pages, written
from tests.e2e.serving import serving

PAGES = pages()
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PROGRAMS = {
    "segr1": "segr1",
    "python -m segr1_app": "segr1",
    "python app.py": "segr1 app",
    "app.py": "segr1 app",
    "python -m train.grpo": "python -m train.grpo",
    "python -m train.sft": "python -m train.sft",
    "python -m train.sam2": "python -m train.sam2",
    "python -m train.evaluate": "python -m train.evaluate",
    "python -m train.embedded": "python -m train.embedded",
}
"""How a documented command begins, and which parser reads the rest."""
LAUNCHER = {"--num_processes", "--num_machines", "--machine_rank", "--main_process_ip", "--main_process_port"}
"""Options of ``accelerate launch``, which stand before the module it launches."""


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def by_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(text: str) -> Iterator[str]:
    """The command lines of a page: of its shell blocks, and those in inline code, without comments and prompts."""
    for language, content in FENCE.findall(text):
        if language in ("bash", "sh", "shell", "console"):
            for line in content.replace("\\\n", " ").splitlines():
                yield re.sub(r"(^|\s)#.*$", "", line).strip().removeprefix("$ ")
    for inline in re.findall(r"`([^`\n]+)`", FENCE.sub("", PART.sub("", text))):
        yield from inline.split(" && ")


def program_of(line: str) -> tuple[str, list[str]] | None:
    """The parser that reads a command line, and what it reads; None for the commands of other programs."""
    plain = re.sub(r"\s+(?:>|\|)\s.*$", "", line.replace(".venv/bin/", ""))
    plain = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", plain)
    plain = re.sub(r"^accelerate launch (?:--config_file \S+ |--\w+ \S+ )*-m ", "python -m ", plain)
    for begin in sorted(PROGRAMS, key=len, reverse=True):
        if plain == begin or plain.startswith(f"{begin} "):
            return PROGRAMS[begin], shlex.split(plain.removeprefix(begin).replace("[", "").replace("]", ""))
    return None


def flags_of(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if PART.search(text_of(page))], ids=by_name)
def test_generated_parts_are_up_to_date(page: Path) -> None:
    for part in PART.finditer(text_of(page)):
        wanted = f"{part[1]}\n{generated(part[2]).strip()}\n\n{part[3]}"
        assert part[0] == wanted, "run: python -m tests.docs --write"


def test_the_types_of_the_page_are_those_of_the_handlers() -> None:
    assert text_of(TYPES) == written(TYPES), "run: python -m tests.docs --write"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_commands_and_their_flags_exist(page: Path) -> None:
    problems = []
    for line in commands(text_of(page)):
        found = program_of(line)
        if found is None:
            continue
        name, words = found
        if name == "segr1" and words and not words[0].startswith("-"):
            name = f"segr1 {words[0]}"
            if f"{name} {words[1] if len(words) > 1 else ''}" in parsers():
                name = f"{name} {words[1]}"
        if name not in parsers():
            problems.append(f"there is no command: {line}")
            continue
        wanted = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        if unknown := wanted - flags_of(parsers()[name]) - LAUNCHER:
            problems.append(f"{name} has no {', '.join(sorted(unknown))}: {line}")
    assert not problems


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_flags_that_are_named_alone_exist(page: Path) -> None:
    known = {flag for parser in parsers().values() for flag in flags_of(parser)} | LAUNCHER
    named = set(re.findall(r"`(--[a-z][a-z-]+)[ `=]", FENCE.sub("", PART.sub("", text_of(page)))))
    # The others are options of pip, docker, vllm and the benchmarks.
    assert not named - known - {"--no-deps", "--write", "--out", "--elsewhere", "--scale-out", "--gpus"}


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_modules_that_are_run_exist(page: Path) -> None:
    for line in commands(text_of(page)):
        for module in re.findall(r"python -m ([\w.]+)", line):
            if module.partition(".")[0] in ("segr1_app", "train", "tests"):
                assert importlib.util.find_spec(module) is not None, line


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=by_name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", text_of(page))):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(text_of(target)), link


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_named_files_exist(page: Path) -> None:
    for name in re.findall(r"`((?:segr1_app|train|tests|docs|assets|\.github|\.ci)/[\w./-]*)`", text_of(page)):
        assert (ROOT / name).exists(), name


def test_environment_variables_are_those_of_the_code() -> None:
    sources = [*(ROOT / "segr1_app").rglob("*.py"), *(ROOT / "train").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    known = {name for file in sources for name in VARIABLE.findall(text_of(file))}
    shipped = {name for file in sources if "tests" not in file.parts for name in VARIABLE.findall(text_of(file))}
    named = {name for page in PAGES for name in VARIABLE.findall(text_of(page))}
    assert named <= known
    assert shipped <= named, "a variable that no page explains"


@pytest.mark.slow
def test_endpoints_that_are_called_exist() -> None:
    from tests.docs.api import endpoint_functions

    for page in PAGES:
        for name in re.findall(r'api_name="(/\w+)"', text_of(page)):
            assert name in endpoint_functions(), f"{page.name}: {name}"


def test_the_readme_is_short_and_can_be_read_by_machines() -> None:
    text = text_of(ROOT / "README.md")
    assert len(text.splitlines()) <= 150
    front = yaml.safe_load(text.split("---")[1])
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")
    for name in ("start-command", "test-command"):
        (command,) = re.findall(rf"^<!-- {name} -->`(.+)`$", text, re.MULTILINE)
        assert "-c constraints.txt" in command


def test_every_public_name_has_an_example() -> None:
    examples = "".join(
        content for language, content in FENCE.findall(text_of(ROOT / "docs/api.md")) if language == "python"
    )
    for name in segr1_app.__all__:
        assert re.search(rf"\b{name}\b", examples), name


NEED_MORE = {
    "/add_dataset",
    "/download_size",
    "/download_models",
    "/open_second_policy",
    "/compare_policies",
    "/find_all",
    "/start_training",
    "/stop_training",
    "/resume_training",
    "/training_changes",
    "/promote",
    "/go_back",
}
"""Endpoints that need a network, hours, or another policy."""


@pytest.mark.slow
def test_the_examples_of_the_api_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.docs.api import endpoint_functions

    examples = [content for language, content in FENCE.findall(text_of(ROOT / "docs/api.md")) if language == "python"]
    called = set(re.findall(r'api_name="(/\w+)"', "".join(examples)))
    assert called == set(endpoint_functions()) - NEED_MORE
    sample = Image.open(find_samples()[0].path).convert("RGB")
    sample.save(tmp_path / "photo.jpg")
    Image.new("L", sample.size, 255).save(tmp_path / "mask.png")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    (tmp_path / "server").mkdir()
    with serving(tmp_path / "server", "--models", "embedded") as (url, _):
        for content in examples:
            exec(compile(content.replace("http://127.0.0.1:7860", url), "docs/api.md", "exec"), names)
