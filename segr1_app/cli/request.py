"""``request`` and ``read``: show a protocol's request and how it reads an answer, without a model."""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import asdict
from typing import Any, Final

from segr1_app.domain import ImageSize, ObjectPrompt, SettingsError
from segr1_app.language.protocol import MAX_SIDE, Request, Stage, TaskKind
from segr1_app.language.protocol_files import find_protocol, protocol_names
from segr1_app.language.sentences import is_sentence

MAX_NEW_TOKENS: Final = 512
"""Printed if a protocol leaves the length to the model."""
MAX_COMPLETION: Final = 16 * 2**20
"""Longest completion that is read, in bytes."""
REASONING: Final = "reasoning"
"""The task for which the instruction itself decides between sentence and phrase."""
TASKS: Final = (TaskKind.FOREGROUND.value, TaskKind.REFERRING.value, REASONING, TaskKind.FREE.value)
_SIZE = re.compile(r"([0-9]{1,7})[xX×]([0-9]{1,7})")


def add_command(commands: Any) -> None:
    """Declare both commands among argparse's ``commands``."""
    asking: argparse.ArgumentParser = commands.add_parser(
        "request",
        help="print the request to a policy, as JSON",
        description="Print, without loading a model, the messages of a protocol, the frame in which the "
        "model sees the picture, the coordinate range of its answer, the limit on its length, and which of the "
        "segmenter's masks is used.",
    )
    asking.add_argument(
        "--instruction",
        default="",
        metavar="TEXT",
        help="the bare expression, question or request; the protocol adds its own text",
    )
    asking.add_argument(
        "--stage",
        type=Stage,
        choices=tuple(Stage),
        default=Stage.INFERENCE,
        help="the prompt of inference, of training, or of the first stage of training (default: %(default)s)",
    )
    asking.set_defaults(run=run_request)
    reading: argparse.ArgumentParser = commands.add_parser(
        "read",
        help="read a completion from standard input, as JSON",
        description="Print, without loading a model, what a protocol reads in a completion: reasoning, mask prompts in "
        "pixels of the picture as passed to the segmenter, and what is wrong with it.",
    )
    reading.add_argument("--instruction", default="", metavar="TEXT", help=argparse.SUPPRESS)
    reading.set_defaults(run=run_read, stage=Stage.INFERENCE)
    for parser in (asking, reading):
        parser.add_argument(
            "--protocol",
            "--dialect",
            required=True,
            metavar="NAME|FILE",
            help=f"one of {', '.join(protocol_names())}, or a YAML file",
        )
        parser.add_argument("--task", choices=TASKS, default=TaskKind.FREE.value, help="default: %(default)s")
        parser.add_argument(
            "--size", required=True, metavar="WxH", help="size of the picture in pixels, such as 640x480"
        )


def run_request(arguments: argparse.Namespace) -> int:
    """Print a request.

    Raises:
        SegR1Error: when protocol, size or instruction cannot be used.
    """
    request = _request(arguments, arguments.instruction)
    record = {
        "messages": request.messages,
        "frame": list(request.frame),
        "coordinates": list(request.coordinates),
        "max_new_tokens": request.max_new_tokens or MAX_NEW_TOKENS,
        "segmenter": request.protocol.output.value,
    }
    print(json.dumps(record, indent=2, ensure_ascii=False))  # noqa: T201
    return 0


def run_read(arguments: argparse.Namespace) -> int:
    """Print what is read from a completion.

    Raises:
        SegR1Error: when protocol or size cannot be used, or the completion is too long.
    """
    # The instruction affects the prompt, not how an answer is read.
    request = _request(arguments, arguments.instruction or "-")
    content = sys.stdin.buffer.read(MAX_COMPLETION + 1)
    if len(content) > MAX_COMPLETION:
        raise SettingsError(f"The completion is longer than {MAX_COMPLETION // 2**20} MiB.")
    parsed = request.read(content.decode("utf-8-sig", errors="replace"))
    record = {
        "reasoning": parsed.reasoning,
        "objects": [_record(found) for found in parsed.objects],
        "problems": list(parsed.problems),
        "well_formed": parsed.well_formed,
        "abstains": parsed.abstains,
    }
    print(json.dumps(record, indent=2, ensure_ascii=False))  # noqa: T201
    return 0


def find_task(name: str, instruction: str) -> TaskKind:
    """The task with a name of `TASKS`."""
    if name == REASONING:
        return TaskKind.SENTENCE if is_sentence(instruction) else TaskKind.PHRASE
    return TaskKind(name)


def _request(arguments: argparse.Namespace, instruction: str) -> Request:
    task = find_task(arguments.task, instruction)
    return find_protocol(arguments.protocol, policy=False).request(
        _size(arguments.size), instruction, task, arguments.stage
    )


def _size(text: str) -> ImageSize:
    match = _SIZE.fullmatch(text.strip())
    size = ImageSize(int(match[1]), int(match[2])) if match else ImageSize(0, 0)
    if not all(1 <= side <= MAX_SIDE for side in size):
        raise SettingsError(
            f"--size '{text[:40]}' is not a size: write width x height in pixels, each from 1 to {MAX_SIDE}, such as "
            "640x480."
        )
    return size


def _record(found: ObjectPrompt) -> dict[str, Any]:
    return {
        "box": list(found.box.xyxy) if found.box else None,
        "points": [asdict(point) for point in found.points],
    }
