"""Print how an app on ZeroGPU uses its models, as one line of JSON; a separate process, because it forks."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sys
from dataclasses import replace
from importlib import import_module
from itertools import islice
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from segr1_app.domain import Prediction, SegR1Error
from segr1_app.models.host import load
from segr1_app.models.pipeline import Pipeline, TextDelta, load_models
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.segmenter_files import CONFIG_FILE
from segr1_app.models.selection import embedded_pair
from segr1_app.models.zerogpu import ZeroPipeline
from segr1_app.settings.config import Settings
from tests.scenes import ellipse_scene

ASKED = "Identify and segment all the primary objects."


def main() -> None:
    import_module("spaces")
    home = Path(sys.argv[1])
    # In float32, so that the answers are those of the CPU, which hardly computes in bfloat16.
    settings = embedded_pair(Settings(home=home, dtype="float32"))
    # As the large segmenters are, which do not zoom: what that takes would be encoded here.
    segmenter = Path(shutil.copytree(settings.segmenter, home / "segmenter"))
    config = OmegaConf.load(segmenter / CONFIG_FILE)
    del config["zoom"]
    OmegaConf.save(config, segmenter / CONFIG_FILE)
    settings = replace(settings, segmenter=str(segmenter))
    pipeline = load(settings).pipeline
    assert isinstance(pipeline, ZeroPipeline)
    policy = pipeline.policy
    assert isinstance(policy, VlmPolicy)
    ran_here: list[str] = []
    policy.model.register_forward_hook(lambda *_: ran_here.append("policy"))
    pipeline.segmenter.model.image_encoder.register_forward_hook(lambda *_: ran_here.append("encoder"))
    picture, _ = ellipse_scene(320, 240, (0.3, 0.6), (0.2, 0.25))

    events = list(pipeline.stream(picture, ASKED))
    prediction = events[-1]
    assert isinstance(prediction, Prediction)
    # A click: prompts on the embedding that came back.
    clicked = pipeline.segmenter.segment(picture, prediction.objects)
    try:
        pipeline.run(picture, "x" * 100_000)
        refusal = ""
    except SegR1Error as error:
        refusal = str(error)
    try:
        # Something breaks on the other side, and only its name comes back.
        pipeline.run(None, ASKED)  # type: ignore[arg-type]
        no_gpu = ""
    except SegR1Error as error:
        no_gpu = str(error)
    left = pipeline.stream(picture, ASKED)
    begun = len(list(islice(left, 2)))
    left.close()  # type: ignore[attr-defined]
    again = pipeline.run(picture, ASKED)
    # Other models come to a process that has computed before it forks again.
    changed = load(settings).pipeline.run(picture, ASKED)
    plain = Pipeline(*load_models(replace(settings, device="cpu"))).run(picture, ASKED)
    report = {
        "pieces": sum(isinstance(event, TextDelta) for event in events),
        "same_text": prediction.completion == plain.completion == again.completion,
        "same_mask": bool(np.array_equal(prediction.mask, plain.mask)) and bool(plain.mask.any()),
        "same_click": bool(np.array_equal(clicked[0].mask, prediction.masks[0].mask)),
        "stages": sorted(prediction.seconds),
        "same_after_a_change": changed.completion == plain.completion,
        "ran_here": ran_here,
        "refusal": refusal,
        "no_gpu": no_gpu,
        "begun": begun,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
    for worker in multiprocessing.active_children():
        # They wait for the next call, and would keep this process's output open.
        worker.kill()
        worker.join()
