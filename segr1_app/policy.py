"""The policy: a multimodal model that looks at a picture, reasons, and writes mask prompts as text.

Seg-R1 (arXiv 2506.22624) uses Qwen2.5-VL. Everything here works through transformers' auto classes, so that the
small embedded model and Seg-R1-7B take the same path. The text is the model's own: generated from pixels, without
constrained decoding and without rewriting.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    PreTrainedModel,
    ProcessorMixin,
    StoppingCriteria,
    StoppingCriteriaList,
    TextIteratorStreamer,
)
from transformers.utils.import_utils import is_flash_attn_2_available
from transformers.utils.logging import disable_progress_bar

from segr1_app.codec import Grammar, chat_messages
from segr1_app.domain import ImageSize, ModelError, RgbPixels
from segr1_app.geometry import policy_frame
from segr1_app.images import Picture
from segr1_app.loading import model_name, resolve_device, resolve_dtype

CARD_FILE = "segr1.json"
MAX_PIXELS = 840 * 840
"""Upper bound of a policy's picture in pixels, where its processor would take more (Qwen2.5-VL: 12.8 million)."""
MAX_NEW_TOKENS = 512
"""Length of a completion where the model's own generation config names none; the paper trains with 400."""


@dataclass(frozen=True, slots=True)
class PolicyCard:
    """What a small policy says of itself in ``segr1.json``.

    Attributes:
        instructions: the instructions it was trained on.
        understands: one plain sentence for the page about what it can be asked.
    """

    instructions: tuple[str, ...]
    understands: str


class Policy(Protocol):
    """What the pipeline asks of a policy."""

    @property
    def model_id(self) -> str: ...

    def frame(self, image_wh: ImageSize) -> ImageSize:
        """The frame in which the policy speaks of a picture of size ``image_wh``."""
        ...

    def stream(self, picture: Picture, instruction: str) -> Iterator[str]:
        """The greedy completion, piece by piece; the pieces joined are the completion."""
        ...


class VlmPolicy:
    """A transformers image-text-to-text model that answers with mask prompts.

    Args:
        model: the model, on its device, in eval mode.
        processor: its processor; its image processor names the patch grid and the range of picture areas.
        model_id: the name shown to the user.
        card: what a small model says of itself, or None for one that takes any instruction.
    """

    def __init__(
        self, model: PreTrainedModel, processor: ProcessorMixin, model_id: str, card: PolicyCard | None = None
    ) -> None:
        # Any, because both are callable in ways their annotations do not tell.
        self._model: Any = model
        self._processor: Any = processor
        self._model_id = model_id
        self.card = card
        # Generation keeps the position offsets of the current picture in the model: one caller at a time. A plain lock,
        # because a streaming generator may be finished by another thread than the one that started it.
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls, source: str | Path, *, device: str = "auto", dtype: str = "auto", attention: str = "auto"
    ) -> VlmPolicy:
        """Load a model folder or a hub id; no remote code, safetensors only.

        Args:
            source: an existing folder, or the id of a repository on the model hub.
            device: a torch device, or "auto" for the GPU when there is one.
            dtype: "float32", "bfloat16", "float16", or "auto" for bfloat16 on a GPU and float32 elsewhere.
            attention: an attention of transformers, or "auto" for flash-attention when installed, else SDPA.

        Raises:
            ModelError: when there is no such model, it is of another kind, or it does not fit into memory.
        """
        target = resolve_device(device)
        folder = Path(source)
        # A bar per file read tells nobody anything; downloads have bars of their own, which stay.
        disable_progress_bar()
        if attention == "auto":
            attention = "flash_attention_2" if target.type == "cuda" and is_flash_attn_2_available() else "sdpa"
        try:
            processor = AutoProcessor.from_pretrained(str(source))
            model = AutoModelForImageTextToText.from_pretrained(
                str(source),
                dtype=resolve_dtype(dtype, target),
                attn_implementation=attention,
                device_map=str(target),
                use_safetensors=True,
            )
        except torch.OutOfMemoryError as error:
            raise ModelError(f"{source} does not fit into the memory of {target}: use a smaller --policy.") from error
        except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
            raise ModelError(_load_failure(str(source), error)) from error
        name = model_name(folder) if folder.is_dir() else str(source)
        return cls(model.eval(), processor, name, read_card(folder))

    @property
    def model_id(self) -> str:
        return self._model_id

    @property
    def model(self) -> PreTrainedModel:
        """The transformers model itself, for training and measuring."""
        model: PreTrainedModel = self._model
        return model

    @property
    def processor(self) -> ProcessorMixin:
        """The model's processor: tokenizer, chat template and image processor."""
        processor: ProcessorMixin = self._processor
        return processor

    @property
    def device(self) -> torch.device:
        device: torch.device = self._model.device
        return device

    def frame(self, image_wh: ImageSize) -> ImageSize:
        """The size to which a picture of size ``image_wh`` is resized, in whose pixels the completion speaks."""
        return policy_frame(image_wh, **self.frame_bounds)

    @property
    def frame_bounds(self) -> dict[str, int]:
        """What `policy_frame` is called with: the grid in pixels, and the bounds of the area."""
        images = self._processor.image_processor
        return {
            "grid": images.patch_size * images.merge_size,
            "min_pixels": images.size["shortest_edge"],
            "max_pixels": min(images.size["longest_edge"], MAX_PIXELS),
        }

    @property
    def max_new_tokens(self) -> int:
        """Tokens after which a completion is cut off."""
        length: int = self._model.generation_config.max_new_tokens or MAX_NEW_TOKENS
        return length

    def stream(self, picture: Picture, instruction: str) -> Iterator[str]:
        """Generate greedily and yield the text as it comes; closing the iterator stops the generation.

        Raises:
            ModelError: when the device runs out of memory.
        """
        with self._lock:
            streamer = TextIteratorStreamer(
                self._processor.tokenizer,
                skip_prompt=True,
                skip_special_tokens=True,
                clean_up_tokenization_spaces=False,
            )
            stopped = threading.Event()
            failures: list[Exception] = []
            inputs = self.model_inputs(picture, instruction)

            def generate() -> None:
                try:
                    with _inference():
                        self._model.generate(
                            **inputs,
                            **self._generation(temperature=0.0),
                            streamer=streamer,
                            stopping_criteria=StoppingCriteriaList([_StopWhen(stopped)]),
                        )
                except (RuntimeError, ValueError, ModelError) as error:
                    failures.append(error)  # raised again below, in the thread of whoever reads the text
                finally:
                    streamer.on_finalized_text("", stream_end=True)

            worker = threading.Thread(target=generate, name="policy-generate", daemon=True)
            worker.start()
            try:
                yield from (piece for piece in streamer if piece)
            finally:
                stopped.set()
                worker.join()
            if failures:
                raise failures[0]

    def sample(
        self,
        picture: Picture,
        instruction: str,
        n: int,
        *,
        temperature: float = 1.0,
        seed: int | None = None,
        grammar: Grammar = Grammar.FULL,
    ) -> list[str]:
        """Draw ``n`` completions from one prefill of picture and instruction.

        Args:
            picture: what to look at.
            instruction: what to look for.
            n: number of completions, at least 1.
            temperature: of the softmax; 0 is greedy.
            seed: makes the draw repeatable; the caller's random state is left as it was.
            grammar: the form of answer that is asked for.

        Raises:
            ModelError: when the device runs out of memory.
        """
        if n < 1:
            raise ValueError(f"sample() draws at least one completion, not {n}")
        seeded = torch.random.fork_rng() if seed is not None else nullcontext()
        with self._lock, seeded, _inference():
            if seed is not None:
                torch.manual_seed(seed)
            inputs = self.model_inputs(picture, instruction, grammar)
            prompt, attention_mask = inputs["input_ids"], inputs["attention_mask"]
            # All but the last token goes through the model once; the last one starts each completion's own path.
            per_token = {name: value[:, :-1] for name, value in inputs.items() if value.shape[:2] == prompt.shape}
            cache = self._model(**{**inputs, **per_token}, use_cache=True, logits_to_keep=1).cache
            cache.batch_repeat_interleave(n)
            sequences = self._model.generate(
                input_ids=prompt.repeat(n, 1),
                attention_mask=attention_mask.repeat(n, 1),
                cache=cache,
                **self._generation(temperature=temperature),
            )
            completions: list[str] = self._processor.batch_decode(
                sequences[:, prompt.shape[1] :], skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
            return completions

    def model_inputs(self, picture: Picture, instruction: str, grammar: Grammar = Grammar.FULL) -> Any:
        """The model's inputs, on its device.

        The picture is resized here and not by the processor, because the frame in which the model speaks must be known.
        """
        frame = self.frame(picture.size)
        pixels = resize_to_frame(picture.pixels, frame)
        text = self._processor.apply_chat_template(
            chat_messages(instruction, frame, grammar), tokenize=False, add_generation_prompt=True
        )
        return self._processor(images=[pixels], text=[text], do_resize=False, return_tensors="pt").to(self.device)

    def _generation(self, temperature: float) -> dict[str, Any]:
        """Arguments of ``generate``; sampling is from the whole distribution, as in GRPO, without top-k or top-p."""
        length = {"max_new_tokens": self.max_new_tokens}
        if temperature == 0:
            return {**length, "do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        return {**length, "do_sample": True, "temperature": temperature, "top_p": 1.0, "top_k": 0}


class _StopWhen(StoppingCriteria):
    """Ends the generation at the next token once the event is set."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> Any:  # noqa: ARG002
        return torch.full((input_ids.shape[0],), self._event.is_set(), device=input_ids.device, dtype=torch.bool)


def resize_to_frame(pixels: RgbPixels, policy_wh: ImageSize) -> RgbPixels:
    """``pixels`` at the size ``policy_wh``: area averaging where it shrinks, cubic where it grows."""
    height, width = pixels.shape[:2]
    shrinks = policy_wh.width * policy_wh.height < width * height
    resized = cv2.resize(pixels, policy_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.ascontiguousarray(resized, dtype=np.uint8)


@contextmanager
def _inference() -> Iterator[None]:
    """Inference mode, and memory errors in words."""
    try:
        with torch.inference_mode():
            yield
    except torch.OutOfMemoryError as error:
        raise ModelError("The policy ran out of GPU memory: use a smaller --policy or --device cpu.") from error


def read_card(folder: Path) -> PolicyCard | None:
    """The card in a policy's folder; None where there is none, as for every large model.

    Raises:
        ModelError: when there is one that cannot be read.
    """
    path = folder / CARD_FILE
    if not path.is_file():
        return None
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        return PolicyCard(tuple(card["instructions"]), str(card["understands"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"'{path}' is not a policy card: it needs 'instructions' and 'understands'.") from error


def _load_failure(source: str, error: Exception) -> str:
    """One sentence that names what to change when ``source`` cannot be loaded."""
    folder = Path(source)
    if folder.is_dir() and not (folder / "config.json").is_file():
        return f"'{source}' holds no policy: config.json is missing. Give --policy a folder saved by transformers."
    if folder.is_dir():
        return f"The policy in '{source}' cannot be loaded: {error}"
    if folder.is_absolute() or source.startswith(".") or source.count("/") != 1:
        return f"There is no folder '{source}': give --policy an existing folder or a hub id such as geshang/Seg-R1-3B."
    return (
        f"The policy '{source}' is neither a folder here nor could it be fetched from the model hub: check the name "
        f"and the network. ({type(error).__name__})"
    )
