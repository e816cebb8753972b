"""The embedded policy through `VlmPolicy`: streaming, sampling, locking, loading."""

from __future__ import annotations

import json
import threading
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from segr1_app.domain import ImageSize, ModelError
from segr1_app.language.codec import parse_completion
from segr1_app.models import streaming
from segr1_app.models.frames import resize_to_frame
from segr1_app.models.loading import fastest_attention, resolve_device
from segr1_app.models.policy import VlmPolicy
from segr1_app.settings.config import DEFAULT_POLICY
from tests.scenes import ellipse_scene
from train.finetune.checkpoints import export_policy

INSTRUCTION = "Identify and segment all the primary objects."
PICTURE, _ = ellipse_scene(320, 240, (0.3, 0.6), (0.2, 0.25))


@pytest.mark.parametrize(("apart", "fewest", "most"), [(0.0, 20, 60), (3600.0, 2, 3)])
def test_the_pieces_joined_are_the_greedy_completion(
    policy: VlmPolicy, monkeypatch: pytest.MonkeyPatch, apart: float, fewest: int, most: int
) -> None:
    """Token by token, or grouped by the pace: the first token, and those that arrive before the next chunk is due."""
    monkeypatch.setattr(streaming, "READER_SECONDS", apart)
    pieces = list(policy.stream(PICTURE, INSTRUCTION))
    assert fewest <= len(pieces) <= most
    assert "".join(pieces) == policy.sample(PICTURE, INSTRUCTION, 1, temperature=0)[0]


def test_the_stream_is_what_a_bare_generate_says(policy: VlmPolicy) -> None:
    inputs = policy.model_inputs(PICTURE, INSTRUCTION)
    with torch.inference_mode():
        tokens = policy.model.generate(**inputs, do_sample=False)
    said = policy.processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert "".join(policy.stream(PICTURE, INSTRUCTION)) == said


def test_all_samples_share_one_prefill_of_the_picture(policy: VlmPolicy) -> None:
    calls = []
    hook = policy.model.model.visual.register_forward_hook(lambda *_: calls.append(1))
    try:
        assert len(policy.sample(PICTURE, INSTRUCTION, 4)) == 4
    finally:
        hook.remove()
    assert calls == [1]


def test_greedy_samples_are_alike_and_drawn_ones_differ(policy: VlmPolicy) -> None:
    assert len(set(policy.sample(PICTURE, INSTRUCTION, 3, temperature=0))) == 1
    assert len(set(policy.sample(PICTURE, INSTRUCTION, 4, temperature=1.5, seed=0))) > 1


def test_held_out_answers_know_no_repetition_penalty_and_neither_does_a_trained_policy(tmp_path: Path) -> None:
    """Qwen2.5-VL asks for 1.05, which changes coordinates; a policy trained without it is scored without it."""
    options = {"device": "cpu", "dtype": "float32"}
    policy = VlmPolicy.load(DEFAULT_POLICY, **options)
    plain = policy.sample(PICTURE, INSTRUCTION, 1, temperature=0)
    policy.model.generation_config.repetition_penalty = 1.3
    assert policy.sample(PICTURE, INSTRUCTION, 1, temperature=0) == plain
    assert ["".join(policy.stream(PICTURE, INSTRUCTION))] != plain, "the app uses a checkpoint as its authors do"
    export_policy(policy, tmp_path / "policy")
    trained = VlmPolicy.load(tmp_path / "policy", **options)
    assert ["".join(trained.stream(PICTURE, INSTRUCTION))] == trained.sample(PICTURE, INSTRUCTION, 1, temperature=0)


def test_a_seed_repeats_the_draw_and_leaves_the_callers_random_state_alone(policy: VlmPolicy) -> None:
    before = torch.random.get_rng_state()
    first = policy.sample(PICTURE, INSTRUCTION, 2, seed=7)
    assert torch.equal(before, torch.random.get_rng_state())
    assert first == policy.sample(PICTURE, INSTRUCTION, 2, seed=7)


def test_callers_at_once_get_what_each_gets_alone(policy: VlmPolicy) -> None:
    pictures = [ellipse_scene(*size, (0.4, 0.5), (0.2, 0.3), seed=size[0])[0] for size in [(320, 160), (160, 320)]]
    alone = ["".join(policy.stream(picture, INSTRUCTION)) for picture in pictures]
    together = ["", ""]

    def ask(i: int) -> None:
        together[i] = "".join(policy.stream(pictures[i], INSTRUCTION))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_closing_a_stream_stops_it_and_frees_the_policy(policy: VlmPolicy) -> None:
    stream = policy.stream(PICTURE, INSTRUCTION)
    begun = list(islice(stream, 2))
    stream.close()
    assert not any(thread.name == "policy-generate" for thread in threading.enumerate())
    assert "".join(policy.stream(PICTURE, INSTRUCTION)).startswith("".join(begun))


def test_an_error_inside_the_model_is_raised_and_is_not_an_empty_answer(
    policy: VlmPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def generate(**_: object) -> None:
        raise IndexError("index out of range in self")  # torch's words for a token that the model does not know

    monkeypatch.setattr(policy._model, "generate", generate)
    with pytest.raises(IndexError, match="out of range"):
        list(policy.stream(PICTURE, INSTRUCTION))


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (1600, 200), (200, 1600), (28, 28), (1000, 1000)])
def test_the_model_sees_the_frame_it_speaks_in(policy: VlmPolicy, size: tuple[int, int]) -> None:
    picture, _ = ellipse_scene(*size, (0.5, 0.5), (0.2, 0.2))
    inputs = policy.model_inputs(picture, INSTRUCTION)
    _, rows, columns = inputs["image_grid_thw"][0].tolist()
    patch = policy.processor.image_processor.patch_size
    assert (columns * patch, rows * patch) == policy.frame(picture.size)
    # Whatever the shape, what is said can be read.
    parsed = parse_completion("".join(policy.stream(picture, INSTRUCTION)), policy.frame(picture.size))
    assert parsed.reasoning


def test_resizing_keeps_channels_in_order() -> None:
    red = np.zeros((100, 50, 3), np.uint8)
    red[..., 0] = 255
    for size in (ImageSize(28, 56), ImageSize(280, 560)):
        resized = resize_to_frame(red, size)
        assert resized.shape == (size.height, size.width, 3)
        assert (resized == (255, 0, 0)).all()


def test_a_small_policy_says_what_it_understands(policy: VlmPolicy) -> None:
    assert policy.card is not None
    assert INSTRUCTION in policy.card.instructions
    assert policy.card.understands


@pytest.mark.parametrize("source", ["./nowhere", "/nowhere/at/all", "nobody/no-such-model"])
def test_a_missing_policy_is_named_in_one_sentence(source: str) -> None:
    with pytest.raises(ModelError, match=source):
        VlmPolicy.load(source, device="cpu")


def test_folders_that_are_not_a_policy_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        VlmPolicy.load(tmp_path, device="cpu")
    copy_of_policy(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelError, match="cannot be loaded"):
        VlmPolicy.load(tmp_path, device="cpu")


def test_half_a_policy_is_refused(tmp_path: Path) -> None:
    weights = load_file(copy_of_policy(tmp_path) / "model.safetensors")
    lost = weights.popitem()[0]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights, such as .*" + lost.rpartition(".")[2]):
        VlmPolicy.load(tmp_path, device="cpu")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="weight files are missing"):
        VlmPolicy.load(tmp_path, device="cpu")
    (tmp_path / "adapter_config.json").touch()
    with pytest.raises(ModelError, match="an adapter without its policy"):
        VlmPolicy.load(tmp_path, device="cpu")


def copy_of_policy(folder: Path) -> Path:
    for file in DEFAULT_POLICY.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_a_damaged_policy_is_refused(tmp_path: Path) -> None:
    copy_of_policy(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(ModelError, match="cannot be loaded"):
        VlmPolicy.load(tmp_path, device="cpu")


def test_a_gpu_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ModelError, match="--device cpu"):
        VlmPolicy.load(DEFAULT_POLICY, device="cuda")
    with pytest.raises(ModelError, match="not a torch device"):
        VlmPolicy.load(DEFAULT_POLICY, device="toaster")


@pytest.mark.parametrize(
    ("device", "number", "installed", "capability", "attention"),
    [
        ("cuda", torch.bfloat16, True, (8, 0), "flash_attention_2"),
        ("cuda", torch.float16, True, (9, 0), "flash_attention_2"),
        ("cuda", torch.bfloat16, False, (8, 0), "sdpa"),
        ("cuda", torch.float32, True, (8, 0), "sdpa"),
        ("cuda", torch.bfloat16, True, (7, 5), "sdpa"),
        ("cpu", torch.bfloat16, True, (8, 0), "sdpa"),
    ],
)
def test_flash_attention_is_used_where_it_runs(
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    number: torch.dtype,
    *,
    installed: bool,
    capability: tuple[int, int],
    attention: str,
) -> None:
    monkeypatch.setattr("segr1_app.models.loading.is_flash_attn_2_available", lambda: installed)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: capability)
    assert fastest_attention(torch.device(device), number) == attention


def test_one_gpu_is_not_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert resolve_device("cuda:1").index == 1
    with pytest.raises(ModelError, match="--device cuda:2 was requested, but the last GPU here is cuda:1"):
        resolve_device("cuda:2")


def test_too_many_pictures_at_once_are_reported(policy: VlmPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(**_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(policy.model, "generate", too_much)
    picture, _ = ellipse_scene(160, 120, (0.5, 0.5), (0.2, 0.2))
    with pytest.raises(ModelError, match=r"ran out of GPU memory: use fewer pictures at once \(--batch\)"):
        policy.complete([(picture, "the ellipse")])


def test_a_model_that_squeezes_pictures_is_refused(policy: VlmPolicy, tmp_path: Path) -> None:
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokenizer = policy.processor.tokenizer
    image = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    text = LlamaConfig(**small, vocab_size=len(tokenizer))
    vision = CLIPVisionConfig(**small, image_size=28, patch_size=14)
    LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=text, image_token_id=image)
    ).save_pretrained(tmp_path)
    LlavaProcessor(CLIPImageProcessor(), tokenizer, patch_size=14, image_token="<|image_pad|>").save_pretrained(
        tmp_path
    )
    with pytest.raises(ModelError, match="resizes pictures to a fixed size"):
        VlmPolicy.load(tmp_path, device="cpu")
