"""SAM 3's tracker as the segmenter, with tiny random models of the real classes; the real weights never ran here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Sam3TrackerModel, Sam3TrackerProcessor, Sam3VideoModel
from transformers.models.sam3 import Sam3ImageProcessor

from segr1_app.domain import Box, ImageSize, ModelError, ObjectPrompt, Point
from segr1_app.images.pictures import picture_from_array
from segr1_app.models.embeddings import EmbeddingFolder
from segr1_app.models.hub import SAM3
from segr1_app.models.predictor import encoder_identity
from segr1_app.models.segmenter import Sam2Segmenter
from tests.hub import put_in_cache, serving, use_hub
from tests.sam3 import GRID, SIDE, tiny_sam3
from tests.scenes import ellipse_scene
from train import sam2

PICTURE, TRUTH = ellipse_scene(320, 240, (0.3, 0.6), (0.2, 0.25))
BOX, INSIDE, OUTSIDE = Box(32, 84, 160, 204), Point(96, 144, 1), Point(20, 20, 0)
PROMPTS = (
    ObjectPrompt(BOX),
    ObjectPrompt(None, (INSIDE, OUTSIDE)),
    ObjectPrompt(BOX, (INSIDE, OUTSIDE)),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sam3")
    tiny_sam3(made)
    return made


@pytest.fixture(scope="module")
def video(folder: Path) -> Sam3VideoModel:
    return tiny_sam3(folder)


@pytest.fixture(scope="module")
def segmenter(folder: Path) -> Sam2Segmenter:
    return Sam2Segmenter.load(folder, device="cpu")


def test_the_published_layout_brings_all_weights_of_the_tracker(
    video: Sam3VideoModel, segmenter: Sam2Segmenter
) -> None:
    named = dict(video.state_dict())
    for name, value in segmenter.model.state_dict().items():
        source = (
            f"detector_model.{name}"
            if name.startswith("vision_encoder.backbone.")
            else name.replace("vision_encoder.neck.", "tracker_neck.")
            if name.startswith("vision_encoder.neck.")
            else f"tracker_model.{name}"
        )
        assert torch.equal(value, named[source]), name
    assert segmenter.input_side == SIDE
    assert segmenter.zoom is None


def test_embeddings_are_those_of_the_model_for_videos(video: Sam3VideoModel, segmenter: Sam2Segmenter) -> None:
    """A separate implementation of the same encoder; why not `get_image_embeddings`, the predictor says."""
    pixels = Sam3ImageProcessor(size={"height": SIDE, "width": SIDE})([PICTURE.pixels.copy()], return_tensors="pt")
    with torch.inference_mode():
        features = video.get_vision_features_for_tracker(
            video.detector_model.get_vision_features(pixels["pixel_values"])
        )[0]
        lowest = features[-1] + video.tracker_model.no_memory_embedding
    embedding = segmenter.encode(PICTURE)
    assert embedding.image_embed.shape == (1, 32, GRID, GRID)
    assert torch.allclose(embedding.image_embed.flatten(2).permute(2, 0, 1), lowest, atol=1e-5)
    for level, expected in zip(embedding.high_res, features[:-1], strict=True):
        assert torch.allclose(level.flatten(2).permute(2, 0, 1), expected, atol=1e-5)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("start", [None, TRUTH], ids=["fresh", "refined"])
@pytest.mark.parametrize("best_of_three", [False, True])
def test_masks_are_those_of_the_bare_model(
    segmenter: Sam2Segmenter, prompt: ObjectPrompt, start: Any, best_of_three: bool
) -> None:
    embedding = segmenter.encode(PICTURE)
    starts = [] if start is None else [start]
    (found,) = segmenter.decode(embedding, [prompt], mask_inputs=starts, best_of_three=best_of_three)
    model = segmenter.model
    scale = torch.tensor([SIDE / 320, SIDE / 240])
    inputs: dict[str, Any] = {}
    if prompt.points:
        inputs["input_points"] = torch.tensor([[[[p.x, p.y] for p in prompt.points]]]) * scale
        inputs["input_labels"] = torch.tensor([[[p.label for p in prompt.points]]])
    if prompt.box:
        inputs["input_boxes"] = torch.tensor([[list(prompt.box.xyxy)]]) * scale.repeat(2)
    if start is not None:
        inputs["input_masks"] = torch.from_numpy(segmenter._mask_input(start))[None]
    with torch.inference_mode():
        expected = model(
            image_embeddings=[*embedding.high_res, embedding.image_embed], multimask_output=best_of_three, **inputs
        )
    best = int(expected.iou_scores.argmax())
    processor = Sam3TrackerProcessor(Sam3ImageProcessor(size={"height": SIDE, "width": SIDE}))
    mask = processor.post_process_masks(expected.pred_masks, [[240, 320]])[0][0][best]
    assert found.mask.shape == (240, 320)
    assert np.array_equal(found.mask, mask.numpy())
    assert found.confidence == pytest.approx(float(expected.iou_scores.flatten()[best]), abs=1e-6)


def test_a_mask_alone_can_be_refined_and_nothing_asked_is_nothing_found(segmenter: Sam2Segmenter) -> None:
    embedding = segmenter.encode(PICTURE)
    nothing = ObjectPrompt(None, ())
    started, empty = segmenter.decode(embedding, [nothing, nothing], mask_inputs=[TRUTH, None])
    assert started.confidence > 0
    assert not empty.mask.any()
    assert empty.confidence == 0


def test_a_mask_depends_on_nothing_that_was_asked_before(segmenter: Sam2Segmenter) -> None:
    embedding = segmenter.encode(PICTURE)
    alone = [segmenter.decode(embedding, [prompt])[0] for prompt in PROMPTS]
    together = segmenter.segment(PICTURE, PROMPTS[::-1])[::-1]
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(alone, together, strict=True))
    small = segmenter.segment(PICTURE, PROMPTS[:1], size=ImageSize(160, 120))
    assert small[0].mask.shape == (120, 160)


def test_embeddings_are_kept_apart_from_those_of_other_weights(segmenter: Sam2Segmenter, tmp_path: Path) -> None:
    tiny_sam3(tmp_path / "other", seed=1)
    other = Sam2Segmenter.load(tmp_path / "other", device="cpu", embeddings=EmbeddingFolder(tmp_path / "kept"))
    assert encoder_identity(other.predictor) != encoder_identity(segmenter.predictor)
    first = other.encode(PICTURE)
    again = Sam2Segmenter.load(tmp_path / "other", device="cpu", embeddings=EmbeddingFolder(tmp_path / "kept"))
    again.model.register_forward_pre_hook(lambda *_: pytest.fail("encoded again"))
    assert torch.equal(again.encode(PICTURE).image_embed, first.image_embed)


def test_a_tracker_saved_alone_is_the_same_segmenter(segmenter: Sam2Segmenter, tmp_path: Path) -> None:
    segmenter.model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "sam3_tracker"
    loaded = Sam2Segmenter.load(tmp_path, device="cpu")
    for name, value in segmenter.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value), name


def test_the_name_on_the_hub_is_downloaded_and_access_is_explained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
) -> None:
    with serving() as hub:
        hub.repositories[SAM3] = folder
        use_hub(monkeypatch, tmp_path / "cache", hub.address)
        hub.gated.add(SAM3)
        with pytest.raises(ModelError, match=r"ask for access to facebook/sam3 at http.*hf auth login"):
            Sam2Segmenter.load(SAM3, device="cpu")
        hub.gated.clear()
        assert Sam2Segmenter.load(SAM3, device="cpu").model_id == SAM3
    with pytest.raises(ModelError, match=r"give an existing model folder or one of .*facebook/sam3\."):
        Sam2Segmenter.load("facebook/sam4", device="cpu")


def test_in_the_cache_it_needs_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path) -> None:
    use_hub(monkeypatch, tmp_path, None)
    put_in_cache(tmp_path, SAM3, {file.name: file for file in folder.iterdir()})
    assert Sam2Segmenter.load(SAM3, device="cpu").input_side == SIDE


def test_the_training_of_a_sam2_refuses_it_in_words(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for source in (str(folder), SAM3):
        assert sam2.main(["--segmenter", source, "--home", str(tmp_path)]) == 1
        assert f"{source} is a SAM 3, and only SAM 2 is trained here" in caplog.text
    assert not list(tmp_path.iterdir())


def test_nothing_of_sam3_is_imported_unless_it_is_asked_for() -> None:
    code = (
        "import sys; from segr1_app import load_pipeline; load_pipeline(models='embedded', device='cpu');"
        "print([name for name in sys.modules if 'sam3' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class TestUntrusted:
    @pytest.fixture
    def own(self, folder: Path, tmp_path: Path) -> Path:
        made = tmp_path / "own"
        made.mkdir()
        for file in folder.iterdir():
            (made / file.name).write_bytes(file.read_bytes())
        return made

    @staticmethod
    def change(own: Path, place: str, value: Any) -> None:
        path = own / "config.json"
        config = json.loads(path.read_text())
        *parts, last = place.split(".")
        inner = config
        for part in parts:
            inner = inner[part]
        inner[last] = value
        path.write_text(json.dumps(config))

    @pytest.mark.parametrize(
        ("place", "value"),
        [
            ("auto_map", {"AutoModel": "code.Model"}),
            ("tracker_config", None),
            ("tracker_config.vision_config", 7),
            ("tracker_config.vision_config.model_type", "llama"),
            ("tracker_config.vision_config.backbone_config", None),
            ("tracker_config.vision_config.backbone_config.model_type", "vit"),
            ("tracker_config.vision_config.backbone_config.hidden_size", 10**9),
            ("tracker_config.vision_config.backbone_config.hidden_size", 33),
            ("tracker_config.vision_config.backbone_config.hidden_size", 64),
            ("tracker_config.vision_config.backbone_config.hidden_size", 32.5),
            ("tracker_config.vision_config.backbone_config.num_hidden_layers", 10**6),
            ("tracker_config.vision_config.backbone_config.num_hidden_layers", 3),
            ("tracker_config.vision_config.backbone_config.num_attention_heads", 5),
            ("tracker_config.vision_config.backbone_config.num_attention_heads", 0),
            ("tracker_config.vision_config.backbone_config.image_size", 10**6),
            ("tracker_config.vision_config.backbone_config.image_size", 113),
            ("tracker_config.vision_config.backbone_config.image_size", 224),
            ("tracker_config.vision_config.backbone_config.patch_size", 0),
            ("tracker_config.vision_config.backbone_config.window_size", -1),
            ("tracker_config.vision_config.backbone_config.hidden_act", "os.system"),
            (
                "tracker_config.vision_config.backbone_config.rope_parameters",
                {"rope_type": "dynamic", "rope_theta": 1e4},
            ),
            ("tracker_config.vision_config.backbone_feature_sizes", [[10**9, 10**9]]),
            ("tracker_config.vision_config.backbone_feature_sizes", [[64, 64], [32, 32], [16, 16]]),
            ("tracker_config.vision_config.scale_factors", [4.0] * 65),
            ("tracker_config.vision_config.scale_factors", [4.0, 2.0]),
            ("tracker_config.vision_config.scale_factors", [4.0, 3.0, 1.0, 0.5]),
            ("tracker_config.prompt_encoder_config.image_size", 56),
            ("tracker_config.prompt_encoder_config.hidden_size", 64),
            ("tracker_config.mask_decoder_config.num_multimask_outputs", 4),
            ("tracker_config.mask_decoder_config.iou_head_depth", 2.5),
            ("tracker_config.mask_decoder_config.num_attention_heads", True),
        ],
    )
    def test_a_configuration_that_is_none_of_a_sam3_is_refused(self, own: Path, place: str, value: Any) -> None:
        self.change(own, place, value)
        with pytest.raises(ModelError, match=r"config\.json"):
            Sam2Segmenter.load(own, device="cpu")

    def test_what_a_sam3_does_not_have_is_left_out(self, own: Path) -> None:
        for key, value in {
            "_attn_implementation": "someone/kernel",
            "attn_implementation": "someone/kernel",
            "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True},
            "dtype": "float64",
        }.items():
            self.change(own, key, value)
            self.change(own, f"tracker_config.vision_config.backbone_config.{key}", value)
        (own / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/else", "peft_type": "LORA"}')
        (own / "generation_config.json").write_text("broken")
        model = Sam2Segmenter.load(own, device="cpu").model
        assert isinstance(model, Sam3TrackerModel)
        assert model.config._attn_implementation in {"sdpa", "eager"}
        assert model.dtype == torch.float32

    def test_links_out_of_the_folder_are_refused(self, own: Path, tmp_path: Path) -> None:
        (own / "model.safetensors").rename(tmp_path / "elsewhere")
        (own / "model.safetensors").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(ModelError, match="link"):
            Sam2Segmenter.load(own, device="cpu")

    @pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\xff\xff\xff\xff\xff\xff\xff\x7f{}"])
    def test_damaged_weights_are_reported(self, own: Path, content: bytes) -> None:
        (own / "model.safetensors").write_bytes(content)
        with pytest.raises(ModelError, match="damaged"):
            Sam2Segmenter.load(own, device="cpu")

    def test_weights_that_lack_some_are_refused(self, own: Path) -> None:
        weights = load_file(own / "model.safetensors")
        del weights["tracker_model.mask_decoder.iou_token.weight"]
        save_file(weights, own / "model.safetensors")
        with pytest.raises(ModelError, match=r"mask_decoder\.iou_token\.weight is missing"):
            Sam2Segmenter.load(own, device="cpu")

    def test_no_weights_are_no_model(self, own: Path) -> None:
        (own / "model.safetensors").unlink()
        with pytest.raises(ModelError, match=r"no SAM 3: model\.safetensors is missing"):
            Sam2Segmenter.load(own, device="cpu")


def test_every_picture_becomes_a_square(segmenter: Sam2Segmenter) -> None:
    for shape in ((1, 1, 3), (3, 700, 3), (240, 320, 3)):
        picture = picture_from_array(np.full(shape, 200, dtype=np.uint8))
        (found,) = segmenter.segment(picture, [ObjectPrompt(Box(0, 0, shape[1], shape[0]))])
        assert found.mask.shape == shape[:2]
