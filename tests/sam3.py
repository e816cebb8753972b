"""Tiny random SAM 3s of the real classes, in folders laid out like the published one: detector and tracker together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import CLIPTokenizer, Sam3VideoConfig, Sam3VideoModel

GRID = 8
SIDE = 14 * GRID
WIDTH = 32
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
ENDED = [f"{letter}</w>" for letter in LETTERS]
VOCABULARY = {token: index for index, token in enumerate(["<|startoftext|>", "<|endoftext|>", *LETTERS, *ENDED, "ca"])}

MERGES: Any = [("c", "a")]


def _vision() -> dict[str, Any]:
    backbone = {
        "model_type": "sam3_vit_model",
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 14,
        "window_size": 4,
        "global_attn_indexes": [1],
        "pretrain_image_size": 56,
    }
    return {
        "model_type": "sam3_vision_model",
        "backbone_config": backbone,
        "fpn_hidden_size": WIDTH,
        "backbone_feature_sizes": [[side, side] for side in (4 * GRID, 2 * GRID, GRID)],
    }


def tiny_sam3(folder: Path, seed: int = 0) -> Sam3VideoModel:
    """Write a folder as the hub has it, and return the model in it, in eval mode."""
    heads = {"hidden_size": WIDTH, "num_attention_heads": 2}
    layers = heads | {"num_layers": 1, "intermediate_size": 64}
    tracker = {
        "vision_config": _vision(),
        "prompt_encoder_config": {"hidden_size": WIDTH, "image_size": SIDE, "patch_size": 14},
        "mask_decoder_config": heads | {"mlp_dim": 64, "iou_head_hidden_dim": WIDTH},
        "image_size": SIDE,
        "memory_attention_hidden_size": WIDTH,
        "memory_attention_feed_forward_hidden_size": 64,
        "memory_attention_num_layers": 1,
        "memory_attention_num_attention_heads": 1,
        "memory_attention_rope_feat_sizes": [GRID, GRID],
        "memory_encoder_hidden_size": WIDTH,
        "memory_encoder_output_channels": 16,
        "mask_downsampler_embed_dim": WIDTH,
        "memory_fuser_embed_dim": WIDTH,
        "memory_fuser_intermediate_dim": 64,
    }
    text = heads | {
        "model_type": "clip_text_model",
        "vocab_size": len(VOCABULARY),
        "intermediate_size": 64,
        "projection_dim": WIDTH,
        "num_hidden_layers": 1,
        "max_position_embeddings": 32,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    }
    detector = {
        "vision_config": _vision(),
        "text_config": text,
        "geometry_encoder_config": layers,
        "detr_encoder_config": layers,
        "detr_decoder_config": layers | {"num_queries": 8},
        "mask_decoder_config": heads,
    }
    torch.manual_seed(seed)
    model = Sam3VideoModel(Sam3VideoConfig(detector_config=detector, tracker_config=tracker)).eval()
    with torch.no_grad():
        # Zero in a fresh model, where it would not matter whether it is added.
        model.tracker_model.no_memory_embedding.normal_()
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    CLIPTokenizer(vocab=VOCABULARY, merges=MERGES).backend_tokenizer.save(str(folder / "tokenizer.json"))
    return model
