"""Protocol files: those of published model families, shipped with the package, and custom ones.

A file first gives the settings common to all tasks, then those that differ by task, then those that differ by stage;
later ones win. It is treated as untrusted: plain YAML values of bounded size, no aliases, no unknown keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from segr1_app.domain import ImageSize, SettingsError
from segr1_app.language.protocol import (
    Abstention,
    Asking,
    CoordinateFrame,
    Kept,
    Output,
    PointRule,
    Protocol,
    Reader,
    Square,
    Stage,
    TaskKind,
)
from segr1_app.language.tags import PARTS, TagRules
from segr1_app.language.typed_text import one_line

FOLDER: Final = Path(__file__).parent / "protocols"
MAX_BYTES: Final = 64 * 1024
"""Largest protocol file in bytes."""
ALIASES: Final[Mapping[str, str]] = {"segr1": "studio"}
"""Former names of protocols, which may still appear in model cards and command lines."""
DEFAULT: Final = "studio"
"""The protocol of a policy about which nothing is known."""

_TAG_RULES: Final = ("parts", "whole_numbers", "unpaired")
"""Keys that only the reader of tags heeds."""
_BLANKS: Final = ("instruction", "width", "height", "form")
_BLANK = re.compile(r"\{([A-Za-z_]+)\}")

Text = Annotated[str, StringConstraints(min_length=1, max_length=8000)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Side = Annotated[int, Field(ge=28, le=8192)]
FrameArea = Annotated[int, Field(ge=28 * 28, le=2**26)]
Span = Annotated[int, Field(ge=1, le=100_000)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Frame(_Part):
    square: Side | None = None
    enlarge_to: FrameArea | None = None
    at_most: FrameArea | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        kept = (self.enlarge_to, self.at_most)
        if (self.square is None) is (kept == (None, None)):
            raise ValueError("a frame has either 'square', or 'enlarge_to' and 'at_most'")
        if self.square is None and (self.enlarge_to is None or self.at_most is None):
            raise ValueError("a frame that keeps the picture's shape has both 'enlarge_to' and 'at_most'")
        if self.enlarge_to is not None and self.at_most is not None and self.enlarge_to > self.at_most:
            raise ValueError("'enlarge_to' is larger than 'at_most'")
        return self

    @property
    def value(self) -> Square | Kept:
        if self.square is not None:
            return Square(self.square)
        assert self.enlarge_to is not None
        assert self.at_most is not None
        return Kept(self.enlarge_to, self.at_most)


class _SystemWithout(_Part):
    words: Annotated[tuple[Line, ...], Field(min_length=1, max_length=16)]
    text: Text


class _Words(_Part):
    """Settings that may differ by task and stage; those not given are inherited. User texts may contain {form}."""

    form: Text | None = None
    system: Text | None = None
    system_without: _SystemWithout | None = None
    instruction: tuple[Literal["one line", "lower case", "bare ends"], ...] | None = None
    default: Line | None = None
    frame: _Frame | None = None
    coordinates: CoordinateFrame | tuple[Span, Span] | None = None
    points: PointRule | None = None
    max_new_tokens: Annotated[int, Field(ge=1, le=65_536)] | None = None

    @model_validator(mode="after")
    def _needed(self) -> Self:
        for name in ("user", "frame", "coordinates", "points"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"'{name}' is empty: leave it out where it is inherited")
        return self


class _TaskWords(_Words):
    user: Text | None = None


class _StageWords(_Words):
    tasks: Mapping[TaskKind, _TaskWords] = {}


class _File(_Words):
    source: Text
    checkpoints: Annotated[tuple[Line, ...], Field(max_length=32)] = ()
    model_types: Annotated[tuple[Line, ...], Field(max_length=32)] = ()
    answer: Reader
    parts: tuple[Literal["think", "bbox", "points", "labels"], ...] = PARTS
    whole_numbers: bool = False
    unpaired: Literal["drop all", "drop the rest"] = "drop the rest"
    grid: Annotated[int, Field(ge=2, le=128)]
    segmenter: Output
    abstention: Abstention
    frame: _Frame
    coordinates: CoordinateFrame | tuple[Span, Span]
    points: PointRule
    tasks: Mapping[TaskKind, _TaskWords]
    training: _StageWords = _StageWords()
    pre_rl: Annotated[_StageWords, Field(alias="pre-rl")] = _StageWords()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if absent := [task.value for task in TaskKind if task not in self.tasks or self.tasks[task].user is None]:
            raise ValueError(f"the text ('user') of these tasks is missing: {', '.join(absent)}")
        fixed = {Reader.STUDIO: {PointRule.NEAREST}, Reader.TAGS: {*PointRule} - {PointRule.OWN}}
        allowed = fixed.get(self.answer, {PointRule.OWN})
        parts: list[_Words] = [self, *self.tasks.values()]
        for stage in (self.training, self.pre_rl):
            parts += [stage, *stage.tasks.values()]
        for part in parts:
            if part.points is not None and part.points not in allowed:
                raise ValueError(f"answers read as '{self.answer.value}' cannot use points '{part.points.value}'")
        if self.abstention is Abstention.TAG and self.answer is not Reader.TAGS:
            raise ValueError("only answers read as 'tags' can contain the tag 'no_camouflage'")
        if unused := [key for key in _TAG_RULES if key in self.model_fields_set and self.answer is not Reader.TAGS]:
            raise ValueError(f"'{unused[0]}' is only for answers read as 'tags'")
        if ("points" in self.parts) is not ("labels" in self.parts) or not {"bbox", "points"} & {*self.parts}:
            raise ValueError("'parts' needs 'bbox', or both 'points' and 'labels', or all three")
        return self


def protocol_names() -> tuple[str, ...]:
    """The names of the protocols shipped with the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def find_protocol(given: str, *, policy: bool = True) -> Protocol:
    """Find a protocol by its name, a former name, or its file.

    Args:
        given: name or file.
        policy: whether the caller has a policy, which "auto" would go by; only then a message offers "auto".

    Raises:
        SettingsError: when there is none, or the file is not a protocol; the message names file and key.
    """
    if given == "auto":
        raise SettingsError(
            f"--protocol auto needs a policy to choose by: name one of {', '.join(protocol_names())}, or a YAML file."
        )
    name = ALIASES.get(given, given)
    if name in protocol_names():
        return _shipped(name)
    path = Path(given)
    if path.suffix in (".yaml", ".yml"):
        return read_protocol(path)
    choices = ", ".join((*(("auto",) if policy else ()), *protocol_names()))
    raise SettingsError(f"--protocol {given or 'is empty: it'} must be one of {choices}, or a YAML file.")


def native_protocol(model_type: str, source: str, given: str | None) -> Protocol:
    """The protocol that a policy uses by default.

    Args:
        model_type: that of its configuration; empty if unknown.
        source: the folder or hub id it was loaded from; published checkpoints are recognised by their name in it.
        given: the protocol named in its card; every policy trained by this project has one.

    Raises:
        SettingsError: when the card names a protocol that does not exist.
    """
    if given is not None:
        return find_protocol(given)
    name = _checkpoint_name(source)
    shipped = [_shipped(each) for each in protocol_names()]
    for protocol in shipped:
        if any(_names(name, checkpoint) for checkpoint in protocol.checkpoints):
            return protocol
    for protocol in shipped:
        if model_type in protocol.model_types:
            return protocol
    return _shipped(DEFAULT)


def read_protocol(path: Path) -> Protocol:
    """Read a protocol file.

    Raises:
        SettingsError: when it cannot be read or is not a protocol; the message names file and key.
    """
    try:
        if not path.is_file():
            raise SettingsError(f"There is no protocol file '{path}'.")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"The protocol file '{path}' cannot be read: {error.strerror}.") from error
    if len(content) > MAX_BYTES:
        raise SettingsError(f"The protocol file '{path}' is larger than {MAX_BYTES // 1024} KiB.")
    try:
        # The loader is a subclass of the safe loader.
        values = yaml.load(content.decode("utf-8"), _PlainLoader)
        if not isinstance(values, dict):
            raise SettingsError(f"The protocol file '{path}' does not map keys to values.")
        protocol = _protocol(str(path), _File.model_validate(values, strict=False))
    except ValidationError as error:
        raise SettingsError(_told(path, error)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError(f"The protocol file '{path}' cannot be read: {_reason(error)}.") from error
    _check_askings(path, protocol)
    return protocol


def _check_askings(path: Path, protocol: Protocol) -> None:
    """Refuse texts that would not pass on the question, and frames that no picture can have."""
    for (stage, task), asking in protocol.askings.items():
        key = f"tasks.{task.value}" if stage is Stage.INFERENCE else f"{stage.value}.tasks.{task.value}"
        for text, field, known in (
            (asking.user, f"{key}.user", {"instruction", "width", "height"}),
            (asking.system or "", "system", set[str]()),
        ):
            unknown = [name for name in _BLANK.findall(text) if name not in known]
            if "form" in unknown:
                raise SettingsError(f"The protocol file '{path}' lacks the key 'form', which '{field}' inserts.")
            if unknown and (known or unknown[0] in _BLANKS):
                instead = ", ".join(f"{{{name}}}" for name in _BLANKS) if known else "none"
                raise SettingsError(
                    f"The protocol file '{path}', key '{field}': {{{unknown[0]}}} stands for nothing here; what can "
                    f"be inserted: {instead}."
                )
        if task is not TaskKind.FOREGROUND and "{instruction}" not in asking.user:
            raise SettingsError(
                f"The protocol file '{path}', key '{key}.user': the text needs {{instruction}} where the question goes."
            )
        if not _is_possible(asking.frame, protocol.grid):
            raise SettingsError(
                f"The protocol file '{path}', key 'frame': no frame of '{key}' can have sides that are multiples of "
                f"'grid', {protocol.grid} pixels: choose larger areas or a smaller grid."
            )


def _is_possible(frame: Square | Kept, grid: int) -> bool:
    if isinstance(frame, Square):
        return frame.side >= grid
    largest = frame.at_most // grid**2 * grid**2
    return largest >= max(frame.enlarge_to, grid**2)


class _PlainLoader(yaml.SafeLoader):  # type: ignore[misc]
    """Loads YAML of plain values: no aliases, with which a small file could expand to a huge one, and no duplicate
    keys.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = [str(key.value) for key, _ in node.value]
        if twice := sorted({name for name in names if names.count(name) > 1})[:1]:
            raise yaml.YAMLError(f"the key '{twice[0]}' appears twice")
        return super().construct_mapping(node, deep)


@cache
def _shipped(name: str) -> Protocol:
    found = read_protocol(FOLDER / f"{name}.yaml")
    return Protocol(**{field: getattr(found, field) for field in Protocol.__slots__} | {"name": name})


def _protocol(name: str, file: _File) -> Protocol:
    rules = TagRules(
        file.parts,
        whole_numbers=file.whole_numbers,
        drop_unpaired=file.unpaired == "drop all",
        empty_abstains=file.abstention is Abstention.EMPTY,
        tag_abstains=file.abstention is Abstention.TAG,
    )
    stages = {Stage.INFERENCE: _StageWords(), Stage.TRAINING: file.training, Stage.PRE_RL: file.pre_rl}
    return Protocol(
        name,
        file.source.strip(),
        tuple(checkpoint.lower() for checkpoint in file.checkpoints),
        file.model_types,
        file.answer,
        rules,
        file.grid,
        file.segmenter,
        file.abstention,
        {(stage, task): _asking(file, task, words) for stage, words in stages.items() for task in TaskKind},
    )


def _asking(file: _File, task: TaskKind, stage: _StageWords) -> Asking:
    """The settings of a task at a stage: the last part that gives a setting decides."""
    settled: dict[str, Any] = {}
    for part in (file, file.tasks[task], stage, stage.tasks.get(task, _TaskWords())):
        said = {name: getattr(part, name) for name in part.model_fields_set if name in _TaskWords.model_fields}
        settled |= said
    without = settled.get("system_without")
    coordinates = settled["coordinates"]
    return Asking(
        user=settled["user"].replace("{form}", settled.get("form") or "{form}"),
        system=settled.get("system"),
        system_without=(tuple(word.lower() for word in without.words), without.text) if without else None,
        instruction=settled.get("instruction") or (),
        default=settled.get("default") or "",
        frame=settled["frame"].value,
        coordinates=coordinates if isinstance(coordinates, CoordinateFrame) else ImageSize(*coordinates),
        points=settled["points"],
        max_new_tokens=settled.get("max_new_tokens"),
    )


def _told(path: Path, error: ValidationError) -> str:
    """The first validation error of a file, as a sentence that names the key."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    # A misspelt key also makes one missing; naming the misspelling is more helpful.
    first = min(errors, key=lambda each: each["type"] != "extra_forbidden" and "[key]" not in each["loc"])
    key = ".".join(str(part) for part in first["loc"] if part != "[key]" and not str(part).startswith("tuple["))[:200]
    # YAML has lists only.
    reason = first["msg"].removeprefix("Value error, ").replace("Tuple", "List").replace("tuple", "list")
    if "coordinates" in first["loc"]:
        key = key.partition(".str-enum")[0]
        reason = "it is 'handed', 'seen', or a width and a height such as [1000, 1000], each from 1 to 100000"
    if first["type"] == "extra_forbidden":
        return f"The protocol file '{path}' has an unknown key '{key}'."
    if "[key]" in first["loc"]:
        return f"The protocol file '{path}' has an unknown key '{key}': {reason[:1].lower()}{reason[1:]}."
    if first["type"] == "missing":
        return f"The protocol file '{path}' lacks the key '{key}'."
    if first["type"] in ("model_type", "mapping_type"):
        return f"The protocol file '{path}', key '{key}': it must map keys to values."
    return f"The protocol file '{path}'{f', key {key!r}' if key else ''}: {reason[:1].lower()}{reason[1:]}."


def _reason(error: Exception) -> str:
    """Why a file cannot be read, without the full stop."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        said = " ".join(part for part in (error.context, error.problem) if part)
        return f"line {error.problem_mark.line + 1}: {said}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return one_line(str(error))[:300].rstrip(".")


def _checkpoint_name(source: str) -> str:
    """The name of a checkpoint in a path or hub id, in lower case; in the hub's cache it is in the name of the
    folder two levels up.
    """
    parts = source.replace("\\", "/").rstrip("/").split("/")
    if len(parts) > 2 and parts[-2] == "snapshots":
        parts = parts[-3].split("--")
    return parts[-1].lower()


def _names(name: str, checkpoint: str) -> bool:
    """Whether a checkpoint's name contains that of a family as a whole word: GenSeg-R1 does not belong to Seg-R1."""
    at = name.find(checkpoint)
    return at >= 0 and not (at > 0 and name[at - 1].isalnum())
