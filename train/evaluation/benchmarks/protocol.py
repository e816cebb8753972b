"""The protocol of a run: every choice that affects a number, so that others can reproduce the table or see why it
differs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.file_download import repo_folder_name

from segr1_app.domain import ImageSize
from segr1_app.language.protocol import Output, Request, Square, TaskKind
from segr1_app.models.checkpoint import checkpoint_hash
from segr1_app.models.pipeline import AnyPolicy
from segr1_app.models.policy_server import ServerPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.models.zoom import SQUARE, WORTHWHILE
from train.evaluation.benchmarks.catalogue import BLANK, Benchmark
from train.evaluation.benchmarks.question import Question

METRIC_LIBRARIES = ("pysodmetrics", "pycocotools", "numpy")
EXAMPLE = ImageSize(640, 480)


def describe_protocol(
    benchmark: Benchmark,
    split: str,
    questions: Sequence[Question],
    *,
    template: str,
    limit: int | None,
    seed: int,
    policy: AnyPolicy | None,
    policy_source: str,
    segmenter: Sam2Segmenter,
    segmenter_source: str,
    tasks: Sequence[TaskKind] = (),
    given: bool = False,
) -> dict[str, Any]:
    """The protocol as JSON values; two runs with equal protocols ask the same models the same questions.

    Args:
        benchmark, split: the benchmark and its split.
        questions: all questions.
        template: the prompt template.
        limit, seed: how the questions were drawn from the split; None for all of them.
        policy: None for prompts from the ground truth.
        segmenter: makes the masks.
        policy_source, segmenter_source: the folders or hub ids from which they were loaded.
        tasks: kinds of questions asked with the policy's own protocol instead of the template.
        given: whether the template is one that was given, and not this project's.

    Raises:
        ModelError: when a model's weights cannot be read.
    """
    digest = hashlib.sha256()
    for question in questions:
        digest.update(repr((question.id, question.image.name, question.text)).encode())
    return {
        "benchmark": benchmark.name,
        "split": split,
        "questions": {
            "count": len(questions),
            "sha256": digest.hexdigest(),
            "drawn": None if limit is None else {"limit": limit, "seed": seed},
        },
        **describe_models(policy, policy_source, segmenter, segmenter_source, template, tasks=tasks, given=given),
        "truth": benchmark.truth,
        "metrics": dict(benchmark.measures.definitions),
        "metric_libraries": library_versions(),
    }


def describe_models(
    policy: AnyPolicy | None,
    policy_source: str,
    segmenter: Sam2Segmenter,
    segmenter_source: str,
    template: str,
    *,
    tasks: Sequence[TaskKind] = (),
    given: bool = False,
) -> dict[str, Any]:
    """How a question becomes a mask, as JSON values; arguments as for `describe_protocol`; ``tasks`` are given if the
    policy's own protocol is used instead of the template.

    Raises:
        ModelError: when a model's weights cannot be read.
    """
    best = policy is not None and policy.protocol.output is Output.BEST
    output = "the most confident of three" if best else "single-mask output"
    return {
        "prompts": "by the policy" if policy else "from the ground truth: its box and deepest point, one object",
        "policy": _describe_policy(policy, policy_source, template, tasks, given=given) if policy else None,
        "segmenter": {
            **identify(segmenter_source, segmenter.model_id),
            "specks and holes removed below": f"{segmenter.clean:g} of a mask's area",
            "input": f"{_shown(segmenter.zoom)} squashed to {segmenter.input_side} x {segmenter.input_side} pixels",
            "masks": f"one per object, {output}, scaled to the picture's size, then cut",
            "mask_threshold": segmenter.mask_threshold,
            "precision": "bfloat16 autocast" if segmenter.device.type == "cuda" else "float32",
        },
        "prediction": "union of all objects' masks at the picture's own size; a malformed completion counts as the "
        "mask of what could be read, an unreadable one as the empty mask; nothing is left out",
    }


def _shown(zoom: float | None) -> str:
    """The segmenter's view of a picture."""
    if zoom is None:
        return "the whole picture"
    return (
        f"the foreground marked by a prompt with a box, its sides {zoom} times as long, the shorter at least {SQUARE} "
        f"of the longer (the whole picture where that is {WORTHWHILE} of it or more, and without a box),"
    )


def name_models(policy: AnyPolicy | None, policy_source: str, segmenter: Sam2Segmenter, segmenter_source: str) -> str:
    """A sentence that names the scored models; arguments as for `describe_protocol`."""
    prompts = f"policy {policy.model_id} from '{policy_source}'" if policy else "prompts from the ground truth"
    return f"Scored: {prompts}; segmenter {segmenter.model_id} from '{segmenter_source}'."


def library_versions() -> dict[str, str]:
    """Versions of the libraries that compute the metrics."""
    return {name: version(name) for name in METRIC_LIBRARIES}


def flat(name: str, value: Any) -> dict[str, Any]:
    """A nested value, flattened to names joined by underscores; lists become text."""
    if isinstance(value, dict):
        return {key: leaf for inner in value for key, leaf in flat(f"{name}_{inner}", value[inner]).items()}
    return {name: " x ".join(map(str, value)) if isinstance(value, list) else value}


def identify(source: str, name: str) -> dict[str, str | None]:
    """Identifies a model's weights: for a folder their digest, for a hub id the commit in the cache."""
    if Path(source).is_dir():
        return {"name": name, "weights_sha256": checkpoint_hash(source)}
    newest = Path(HF_HUB_CACHE) / repo_folder_name(repo_id=source, repo_type="model") / "refs" / "main"
    return {"name": name, "hub_commit": newest.read_text(encoding="utf-8").strip() if newest.is_file() else None}


def _describe_frame(policy: AnyPolicy, request: Request) -> dict[str, Any]:
    """How a picture is shown to the policy, and how its coordinates are read."""
    frame, bounds = policy.protocol.askings[request.stage, request.task].frame, policy.frame_bounds
    if isinstance(frame, Square):
        least = most = request.frame.width * request.frame.height
        shown = f"squashed to a square of {request.frame.width} pixels: {frame.side}, rounded to the grid"
        if request.frame.width + bounds.grid <= frame.side:
            shown += ", but no larger than the image processor allows"
    else:
        least, most = max(frame.enlarge_to, bounds.least), min(frame.at_most, bounds.most)
        shown = (
            "sides are multiples of the grid, the area lies within the bounds, the aspect ratio is kept as nearly as "
            "they allow"
        )
    numbers = "are pixels of this frame" if request.coordinates == request.frame else "run over 'coordinates'"
    return {
        "grid": bounds.grid,
        "min_pixels": least,
        "max_pixels": most,
        "rule": f"{shown}; coordinates {numbers}",
    }


def _describe_runtime(policy: AnyPolicy) -> dict[str, Any]:
    """The device, number format and libraries with which the policy is run."""
    if isinstance(policy, ServerPolicy):
        return {"server": policy.url}
    return {
        "precision": str(policy.model.dtype).removeprefix("torch."),
        "attention": policy.model.config._attn_implementation,
        "chat_template_sha256": hashlib.sha256(str(policy.processor.chat_template).encode()).hexdigest(),
    }


def _describe_task(policy: AnyPolicy, task: TaskKind) -> dict[str, Any]:
    """How a kind of question is asked and its answer read by the policy's own protocol, shown by an example."""
    request = policy.request(EXAMPLE, BLANK, task)
    return {
        "system_prompt": request.system,
        "user_prompt": request.text,
        "frame": _describe_frame(policy, request),
        "example": {"picture": list(EXAMPLE), "frame": list(request.frame)},
        "coordinates": list(request.coordinates),
        "points": request.points.value,
        "max_new_tokens": request.max_new_tokens or policy.max_new_tokens,
    }


def _describe_policy(
    policy: AnyPolicy, source: str, template: str, tasks: Sequence[TaskKind], *, given: bool
) -> dict[str, Any]:
    request = policy.request(EXAMPLE, template)
    known = {
        **identify(source, policy.model_id),
        **_describe_runtime(policy),
        "protocol": policy.protocol.name,
        "protocol_source": policy.protocol.source,
        "reading": policy.reading.value if policy.reading else "the protocol's own",
        "decoding": "greedy",
    }
    if tasks:
        followed = f"the protocol {policy.protocol.name}, strictly"
        return {**known, "words": followed, "tasks": {task.value: _describe_task(policy, task) for task in tasks}}
    return {
        **known,
        "words": f"the instruction given, as a free request of the protocol {policy.protocol.name}"
        if given
        else "this project's template",
        "instruction": template,
        "system_prompt": request.system,
        "frame": _describe_frame(policy, request),
        "example": {
            "picture": list(EXAMPLE),
            "frame": list(request.frame),
            "coordinates": list(request.coordinates),
            "user_prompt": request.text,
        },
        "max_new_tokens": request.max_new_tokens or policy.max_new_tokens,
    }
