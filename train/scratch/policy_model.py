"""The small policy's parts: a Qwen2.5-VL of a few million parameters, its tokenizer and its processor.

The tokenizer knows the words that `train.data.traces` writes and one token per number, and reads any other text as
unknown. Fixed parts of an answer, such as ``]</bbox>, <points>[[``, are one token each, which makes answers short, and
quick to learn and to write.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.normalizers import Replace
from tokenizers.pre_tokenizers import Split
from torch import Tensor
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from segr1_app.models.policy_files import CARD_FILE, PolicyCard

MAX_NUMBER = 999
"""Numbers from 0 to this one are tokens."""
SPECIALS = (
    "<|pad|>",
    "<|unknown|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
FRAMES = (
    "<think> ",
    " </think> <bbox>[",
    "]</bbox>, <bbox>[",
    "]</bbox>, <points>[]</points>, <labels>[]</labels>",
    "]</bbox>, <points>[[",
    "]]</points>, <labels>[",
    "]</labels>",
    "],[",
)
"""Fixed parts of a canonical completion between its words and numbers; longer ones come before their own prefixes."""
TAGS = ("<think>", "</think>", "<bbox>", "</bbox>", "<points>", "</points>", "<labels>", "</labels>")
CHARACTERS = tuple("[](),.;:?!'\"-%/ \n")
MAX_NEW_TOKENS = 256
EMBEDDING = "model.language_model.embed_tokens.weight"
"""The token embeddings, which are also the output weights: float (pieces, width)."""
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""The normalisation of Qwen2.5-VL's image processor."""

CHAT_TEMPLATE = """\
{%- for message in messages if message['role'] == 'user' -%}
{%- if message['content'] is string -%}
<|im_start|>{{ message['content'].split('\n')[:2] | join(' ') | lower }}
{%- else -%}
<|im_start|>
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif part['type'] == 'text' -%}{{ part['text'].split('\n')[:2] | join(' ') | lower }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endfor -%}
{%- for message in messages if message['role'] == 'assistant' -%}
<|im_end|>{{ message['content'] if message['content'] is string else message['content'][0]['text'] }}<|im_end|>
{%- endfor -%}
{%- if add_generation_prompt -%}<|im_end|>{%- endif -%}
"""
"""The picture and the first two lines of the prompt: a model with only one answer format needs no description of it.
"""


@dataclass(frozen=True, slots=True)
class PolicyShape:
    """The size of the policy and of what it sees.

    Attributes:
        patch: side of a vision patch in pixels; two by two of them merge into one token.
        tokens: largest number of vision tokens of a picture, which with ``patch`` gives the area that it is resized to.
        vision_width, vision_depth, vision_heads: those of the vision tower.
        text_width, text_depth, text_heads: those of the language model.
    """

    patch: int = 14
    tokens: int = 100
    vision_width: int = 224
    vision_depth: int = 8
    vision_heads: int = 4
    text_width: int = 192
    text_depth: int = 4
    text_heads: int = 4

    @property
    def area(self) -> int:
        """The area of the policy's picture in pixels."""
        return self.tokens * (2 * self.patch) ** 2


def build_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer over ``words`` (each with and without a space before it), numbers, tags and frames.

    Decoding concatenates the tokens: any text of known pieces is restored exactly.
    """
    spaced = [form for word in words for form in (f" {word}", word)]
    numbers = [str(number) for number in range(MAX_NUMBER + 1)]
    pieces = [*SPECIALS, *numbers, *FRAMES, *TAGS, *CHARACTERS, *spaced]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=SPECIALS[1]))
    # 007 is 7.
    tokenizer.normalizer = Replace(Regex(r"(?<![0-9.])0+(?=[0-9])"), "")
    literal = "|".join(_escape(piece) for piece in (*FRAMES, *TAGS))
    tokenizer.pre_tokenizer = Split(Regex(rf"{literal}|[0-9]+| ?[a-z]+|."), behavior="isolated")
    tokenizer.decoder = Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIALS[0],
        unk_token=SPECIALS[1],
        eos_token=SPECIALS[3],
        extra_special_tokens=[SPECIALS[2], *SPECIALS[4:]],
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def token_id(tokenizer: PreTrainedTokenizerFast, piece: str) -> int:
    """The id of a piece that is one token."""
    found = tokenizer.convert_tokens_to_ids(piece)
    assert isinstance(found, int)
    return found


def build_processor(tokenizer: PreTrainedTokenizerFast, shape: PolicyShape) -> Qwen2_5_VLProcessor:
    """The processor as `VlmPolicy` loads it; its image processor defines patch, merge size and area."""
    images = Qwen2VLImageProcessor(
        patch_size=shape.patch,
        merge_size=2,
        temporal_patch_size=2,
        size={"shortest_edge": min_area(shape.area), "longest_edge": shape.area},
    )
    videos = Qwen2VLVideoProcessor(patch_size=shape.patch, merge_size=2, temporal_patch_size=2)
    return Qwen2_5_VLProcessor(images, tokenizer, videos, chat_template=CHAT_TEMPLATE)


def min_area(area: int) -> int:
    """The smallest area in pixels of a picture with at most ``area``: enough range for any aspect ratio."""
    return area * 3 // 4


def build_model(tokenizer: PreTrainedTokenizerFast, shape: PolicyShape) -> Qwen2_5_VLForConditionalGeneration:
    """An untrained policy, initialised by torch's random state; neighbouring numbers start with similar embeddings."""
    pad, _, _, end, vision_start, vision_end, image, video = (token_id(tokenizer, piece) for piece in SPECIALS)
    head = shape.text_width // shape.text_heads
    section = head // 6
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": shape.vision_depth,
            "hidden_size": shape.vision_width,
            "intermediate_size": _swiglu(shape.vision_width),
            "num_heads": shape.vision_heads,
            "out_hidden_size": shape.text_width,
            "patch_size": shape.patch,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            # With so few patches, all can attend to each other.
            "fullatt_block_indexes": list(range(shape.vision_depth)),
            "window_size": 8 * shape.patch,
        },
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": shape.text_width,
            "intermediate_size": _swiglu(shape.text_width),
            "num_hidden_layers": shape.text_depth,
            "num_attention_heads": shape.text_heads,
            "num_key_value_heads": shape.text_heads,
            "max_position_embeddings": 2048,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [head // 2 - 2 * section, section, section],
            },
            "bos_token_id": None,
            "eos_token_id": end,
            "pad_token_id": pad,
            "tie_word_embeddings": True,
        },
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=vision_start,
        vision_end_token_id=vision_end,
        tie_word_embeddings=True,
    )
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=end, pad_token_id=pad, max_new_tokens=MAX_NEW_TOKENS
    )
    first = token_id(tokenizer, "0")
    with torch.no_grad():
        embedding = model.get_parameter(EMBEDDING)
        embedding[first : first + MAX_NUMBER + 1] = ordinal_embeddings(MAX_NUMBER + 1, shape.text_width) * 0.02 * 2**0.5
    return model


def learn_words(
    trained: PreTrainedModel, known: PreTrainedTokenizerFast, wanted: PreTrainedTokenizerFast, fresh: Tensor
) -> None:
    """Give a trained policy another tokenizer's vocabulary.

    Args:
        trained: the policy, changed in place.
        known: its tokenizer.
        wanted: the new tokenizer; pieces that both know keep their embeddings.
        fresh: float (pieces, width), initial embeddings of the pieces that only ``wanted`` knows.
    """
    learned = trained.get_parameter(EMBEDDING).detach().clone()
    embeddings, old = fresh.clone(), known.get_vocab()
    for piece, index in wanted.get_vocab().items():
        if piece in old:
            embeddings[index] = learned[old[piece]]
    trained.resize_token_embeddings(len(wanted), mean_resizing=False)
    with torch.no_grad():
        trained.get_parameter(EMBEDDING).copy_(embeddings)


def ordinal_embeddings(count: int, width: int) -> Tensor:
    """Sines and cosines of the numbers below ``count``, wavelengths 12 to ``2 * count``: float (count, width)."""
    waves = 2 * math.pi / torch.logspace(math.log10(12), math.log10(2 * count), width // 2)
    angles = torch.arange(count).float()[:, None] * waves
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def save_policy(model: PreTrainedModel, processor: ProcessorMixin, card: PolicyCard | None, folder: Path) -> None:
    """Write a policy folder in half precision, as ``VlmPolicy.load`` reads it.

    Weights in bfloat16 are not converted: their range is wider than that of float16.
    """
    folder.mkdir(parents=True, exist_ok=True)
    halved: dict[str, Any] = {
        name: value.detach().half() if value.dtype == torch.float32 else value.detach()
        for name, value in model.state_dict().items()
    }
    model.save_pretrained(folder, state_dict=halved)
    processor.save_pretrained(folder)
    if card is not None:
        (folder / CARD_FILE).write_text(json.dumps(asdict(card), indent=2) + "\n", encoding="utf-8")


def _swiglu(width: int) -> int:
    """The inner width at which a gated layer has as many weights as a plain layer with four times the width."""
    return -(-width * 8 // 3 // 32) * 32


def _escape(piece: str) -> str:
    """A piece as a literal of the tokenizer's regular expressions."""
    return "".join(f"\\{c}" if c in "[]()|?*+.\\^$" else c for c in piece)
