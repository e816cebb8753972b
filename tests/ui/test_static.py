"""The page's own JavaScript without a browser: its logic under node, and node's RLE against COCO's own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from segr1_app.domain import Mask
from segr1_app.geometry import decode_rle, encode_rle

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(0)
MASKS = {
    "noise": RNG.random((61, 83)) < 0.5,
    "sparse": RNG.random((300, 200)) < 0.0005,
    "full": np.ones((7, 5), dtype=bool),
    "empty": np.zeros((7, 5), dtype=bool),
    "one pixel": np.arange(35).reshape(7, 5) == 0,
}


def run(*command: str, code: str = "") -> str:
    done = subprocess.run(command, cwd=ROOT, input=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_logic_of_the_canvas(node: str) -> None:
    run(node, "--test", *(str(file) for file in sorted((ROOT / "tests" / "js").glob("*.test.js"))))


@pytest.mark.parametrize("kind", MASKS)
def test_a_mask_is_written_as_coco_writes_it(node: str, kind: str) -> None:
    mask: Mask = MASKS[kind]
    height, width = mask.shape
    code = (
        "import { encodeRle } from './segr1_app/ui/static/shared/rle.js';"
        f"const mask = Uint8Array.from({json.dumps(mask.astype(int).ravel().tolist())});"
        f"console.log(JSON.stringify(encodeRle(mask, {width}, {height})));"
    )
    written = json.loads(run(node, "--input-type=module", "-", code=code))
    assert written == encode_rle(mask)
    assert np.array_equal(decode_rle(written), mask)
