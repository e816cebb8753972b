"""Write the model card of a new policy (``README.md`` next to its weights) and the manifest of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from segr1_app.files.json_files import write_json
from train.data.rows import Plan
from train.finetune.run_folder import RunFolder
from train.finetune.setup import TrainingSetup

MANIFEST: Final = "manifest.json"


def write_manifest(folder: Path, plan: Plan, order: Sequence[int]) -> None:
    """Record which corrections are trained on, how often each is drawn, and which are held out.

    Args:
        folder: the run's folder.
        plan: the run's plan.
        order: indices into the training rows, in drawing order.
    """
    drawn = Counter(plan.train[index].content_hash for index in order)
    corrections = {
        row.content_hash: {
            "side": side,
            "image": row.image_id,
            "verdict": row.verdict,
            "draws": drawn[row.content_hash],
        }
        for side, rows in (("train", plan.train), ("held out", plan.held_out))
        for row in rows
        if row.is_feedback
    }
    sources = Counter(plan.train[index].source for index in order)
    write_json(folder / MANIFEST, {"draws": dict(sources), "corrections": corrections})


def write_card(folder: RunFolder, setup: TrainingSetup, plan: Plan, result: Mapping[str, Any], comparison: str) -> None:
    """Write the card of a run's new policy."""
    trained, held_out = (Counter(row.source for row in side) for side in (plan.train, plan.held_out))
    rows = [f"| {name} | {trained[name]} | {held_out[name]} |" for name in sorted({*trained, *held_out})]
    step = result["exported_step"]
    weights = f"after step {step}" if step else "of the supervised steps before them"
    text = "\n".join(
        [
            "---",
            "library_name: transformers",
            "pipeline_tag: image-text-to-text",
            "tags: [reasoning-segmentation, seg-r1]",
            "---",
            f"# {folder.path.name}",
            "",
            f"A policy that writes mask prompts, trained further from `{Path(setup.policy).name}` by Seg-R1 studio. "
            f"Masks are made by `{Path(setup.segmenter).name}`.",
            "",
            f"{result['steps']} optimiser steps; these are the weights {weights}, the best in validation.",
            "",
            "| rows | trained on | held out |",
            "|---|---|---|",
            *rows,
            "",
            "Before and after, on held-out rows:",
            "",
            "```",
            comparison,
            "```",
            "",
            "The licences of the original policy and of the pictures apply. The run's "
            "manifest.json lists the hashes of the corrections used.",
            "",
        ]
    )
    (folder.policy / "README.md").write_text(text, encoding="utf-8")
