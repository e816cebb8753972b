"""SAM 3's concept model with tiny random models of the real classes; the real weights never ran here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Sam3ImageProcessor, Sam3VideoModel

from segr1_app.domain import Box, ModelError
from segr1_app.models import sam3_concepts
from segr1_app.models.concepts import ConceptHost, Instance
from segr1_app.models.sam3_concepts import Sam3Concepts
from segr1_app.models.sam3_files import load_tokenizer
from tests.sam3 import SIDE, VOCABULARY, tiny_sam3
from tests.scenes import ellipse_scene

PICTURE, _ = ellipse_scene(320, 240, (0.3, 0.6), (0.2, 0.25))
EXAMPLE = Box(32, 84, 160, 204)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sam3")
    tiny_sam3(made)
    return made


@pytest.fixture
def found_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random models are sure of nothing: whatever they say counts."""
    monkeypatch.setattr(sam3_concepts, "LEAST_SCORE", 0.0)


@pytest.mark.usefixtures("found_all")
@pytest.mark.parametrize(("words", "example"), [("cat", None), ("", EXAMPLE), ("a dog", EXAMPLE)])
def test_instances_are_those_of_the_bare_model(folder: Path, words: str, example: Box | None) -> None:
    concepts = Sam3Concepts.load(folder, CPU)
    found = concepts.find(PICTURE, words, example)
    processor = concepts._processor
    inputs = processor(
        images=[PICTURE.pixels.copy()],
        text=words or None,
        input_boxes=None if example is None else [[list(example.xyxy)]],
        return_tensors="pt",
    )
    sizes = inputs.pop("original_sizes").tolist()
    video: Sam3VideoModel = tiny_sam3(folder)
    with torch.inference_mode():
        bare = video.detector_model(**inputs)
    (expected,) = Sam3ImageProcessor().post_process_object_detection(bare, threshold=0.0, target_sizes=sizes)
    order = expected["scores"].argsort(descending=True)
    assert len(found) == len(order) == 8
    assert [each.score for each in found] == pytest.approx(expected["scores"][order].tolist(), abs=1e-5)
    for each, index in zip(found, order.tolist(), strict=True):
        assert np.allclose(each.box.xyxy, expected["boxes"][index].clamp(min=0).numpy(), atol=0.01)
        assert np.array_equal(each.mask, (bare.pred_masks[0, index] > 0).numpy())
        assert each.mask.shape == (4 * SIDE // 14, 4 * SIDE // 14)


@pytest.mark.usefixtures("found_all")
def test_a_picture_is_encoded_once_for_several_questions(folder: Path) -> None:
    concepts = Sam3Concepts.load(folder, CPU)
    encoded: list[int] = []
    concepts._model.vision_encoder.register_forward_hook(lambda *_: encoded.append(1))
    first = concepts.find(PICTURE, "cat", None)
    concepts.find(PICTURE, "dog", None)
    assert len(encoded) == 1
    other, _ = ellipse_scene(100, 200, (0.5, 0.5), (0.2, 0.2))
    concepts.find(other, "cat", None)
    assert len(encoded) == 2
    again = concepts.find(PICTURE, "cat", None)
    assert all(np.array_equal(one.mask, two.mask) for one, two in zip(first, again, strict=True))


def test_words_are_split_as_the_folder_s_tokenizer_does(folder: Path) -> None:
    tokenizer = load_tokenizer(folder, len(VOCABULARY))
    beginning, end = VOCABULARY["<|startoftext|>"], VOCABULARY["<|endoftext|>"]
    assert tokenizer("Cat")["input_ids"] == [beginning, VOCABULARY["ca"], VOCABULARY["t</w>"], end]


def test_what_the_model_is_not_sure_of_is_not_proposed(folder: Path) -> None:
    assert Sam3Concepts.load(folder, CPU).find(PICTURE, "cat", None) == []


def test_the_host_says_what_is_missing(folder: Path, tmp_path: Path) -> None:
    nobody = ConceptHost(None, "cpu")
    assert not nobody.offered
    with pytest.raises(ModelError, match="start the app with --concepts facebook/sam3"):
        nobody.find(PICTURE, "cat")
    host = ConceptHost(str(folder), "cpu")
    assert host.offered
    with pytest.raises(ModelError, match="Say what to find"):
        host.find(PICTURE, "  ")
    found: list[Instance] = host.find(PICTURE, "cat")
    assert found == []
    with pytest.raises(ModelError, match=r"These words are \d+ tokens, and 32 fit"):
        host.find(PICTURE, "cat " * 40)
    with pytest.raises(ModelError, match="There is no folder"):
        ConceptHost("/nowhere", "cpu").find(PICTURE, "cat")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no SAM 3: config\.json is missing"):
        ConceptHost(str(tmp_path / "empty"), "cpu").find(PICTURE, "cat")


class TestUntrusted:
    @pytest.fixture
    def own(self, folder: Path, tmp_path: Path) -> Path:
        return shutil.copytree(folder, tmp_path / "own")

    @pytest.mark.parametrize(
        ("place", "value"),
        [
            ("detector_config", None),
            ("detector_config.text_config.model_type", "llama"),
            ("detector_config.text_config.vocab_size", 10**9),
            ("detector_config.text_config.num_hidden_layers", 2),
            ("detector_config.text_config.hidden_size", 64),
            ("detector_config.geometry_encoder_config", None),
            ("detector_config.detr_encoder_config.hidden_size", 64),
            ("detector_config.detr_decoder_config.num_queries", 10**6),
            ("detector_config.detr_decoder_config.num_queries", 9),
            ("detector_config.detr_decoder_config.num_attention_heads", 5),
            ("detector_config.mask_decoder_config.num_upsampling_stages", 10**6),
            ("detector_config.vision_config.backbone_config.hidden_size", 10**9),
        ],
    )
    def test_a_configuration_that_is_none_of_a_sam3_is_refused(self, own: Path, place: str, value: Any) -> None:
        path = own / "config.json"
        config = json.loads(path.read_text())
        *parts, last = place.split(".")
        inner = config
        for part in parts:
            inner = inner[part]
        inner[last] = value
        path.write_text(json.dumps(config))
        with pytest.raises(ModelError, match=r"config\.json"):
            Sam3Concepts.load(own, CPU)

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (b"", "cannot be used"),
            (b"[" * 50_000, "cannot be used"),
            (b"[]", "no tokens with merges"),
            (b'{"model": {"type": "WordLevel", "vocab": {"a": 1}}}', "no tokens with merges"),
            (b'{"model": {"vocab": {"a": 100000}, "merges": []}}', "tokens that the concept model does not know"),
            (b'{"model": {"vocab": {"a": -1}, "merges": []}}', "tokens that the concept model does not know"),
            (b'{"model": {"vocab": {"a": true}, "merges": []}}', "tokens that the concept model does not know"),
            (b'{"model": {"vocab": {"a": 1}, "merges": ["a b"]}}', "merges what are no tokens"),
            (b'{"model": {"vocab": {"a": 1}, "merges": ["a"]}}', "merges what are no tokens"),
        ],
    )
    def test_a_tokenizer_of_something_else_is_refused(self, own: Path, content: bytes, sentence: str) -> None:
        (own / "tokenizer.json").write_bytes(content)
        with pytest.raises(ModelError, match=sentence):
            Sam3Concepts.load(own, CPU)

    def test_without_a_tokenizer_it_says_so(self, own: Path) -> None:
        (own / "tokenizer.json").unlink()
        with pytest.raises(ModelError, match=r"tokenizer\.json' cannot be read"):
            Sam3Concepts.load(own, CPU)
