"""The policy: a multimodal model that looks at a picture, reasons, and writes mask prompts as text.

Seg-R1 (arXiv 2506.22624) uses Qwen2.5-VL. Everything here works through transformers' auto classes, so that the small
embedded model and Seg-R1-7B use the same code. The text is entirely the model's: generated from pixels, without
constrained decoding or rewriting.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    PreTrainedModel,
    ProcessorMixin,
    StoppingCriteriaList,
)
from transformers.utils.logging import disable_progress_bar

from segr1_app.domain import ImageSize, ModelError
from segr1_app.images.pictures import Picture
from segr1_app.language.codec import Grammar
from segr1_app.language.protocol import Bounds, CoordinateFrame, Protocol, Request, Stage, TaskKind
from segr1_app.language.protocol_files import DEFAULT, find_protocol, native_protocol
from segr1_app.models.frames import resize_to_frame
from segr1_app.models.loading import (
    check_description,
    check_memory,
    fastest_attention,
    model_name,
    resolve_device,
    resolve_dtype,
)
from segr1_app.models.policy_files import PolicyCard, load_failure, policy_folder, read_card
from segr1_app.models.streaming import PacedStreamer, StopWhen
from segr1_app.settings.space import has_zero_gpu

MAX_NEW_TOKENS = 512
"""Limit on a completion's tokens if neither the protocol nor the model's generation config sets one."""


class Policy(Interface):
    """What the pipeline needs from a policy."""

    @property
    def model_id(self) -> str: ...

    def request(
        self, image_wh: ImageSize, instruction: str, task: TaskKind = TaskKind.FREE, stage: Stage = Stage.INFERENCE
    ) -> Request:
        """The request to the policy about a picture of this size; it also reads the completion."""
        ...

    def stream(self, picture: Picture, instruction: str, task: TaskKind = TaskKind.FREE) -> Iterator[str]:
        """The greedy completion, in chunks."""
        ...

    def complete(self, asked: Sequence[tuple[Picture, str]]) -> list[str]:
        """The greedy completions for pictures and their free instructions, generated together."""
        ...


class VlmPolicy:
    """A transformers image-text-to-text model that answers with mask prompts.

    Args:
        model: the model, on its device, in eval mode.
        processor: its processor; its image processor defines the patch grid and the range of picture areas.
        model_id: the name shown to the user.
        card: the model's description of itself, or None.
        protocol: how it is asked and how its completions are read.
        reading: which of its protocol's two coordinate ranges it uses; None for the protocol's default.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        processor: ProcessorMixin,
        model_id: str,
        card: PolicyCard | None = None,
        protocol: Protocol | None = None,
        *,
        reading: CoordinateFrame | None = None,
    ) -> None:
        # Any, because their annotations do not show that both are callable.
        self._model: Any = model
        self._processor: Any = processor
        self._model_id = model_id
        self.card = card
        self.protocol = protocol or find_protocol(DEFAULT)
        self.reading = reading
        if model.device.type == "cuda":
            # cuDNN's attention builds a new plan for every length and caches plans per thread: a stream, which has its
            # own thread, would wait for a plan at every token. Torch's other kernels need none.
            torch.backends.cuda.enable_cudnn_sdp(enabled=False)
        # Generation keeps the position offsets of the current picture in the model: one caller at a time. A plain lock,
        # because a streaming generator may be finished by another thread than the one that started it.
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
        attention: str = "auto",
        protocol: str = "auto",
    ) -> VlmPolicy:
        """Load a model folder or a hub id, which is downloaded if missing; no remote code, safetensors only.

        Args:
            source: an existing folder, or the id of a repository on the model hub.
            device: a torch device, or "auto" for the GPU if there is one.
            dtype: "float32", "bfloat16", "float16", or "auto" for bfloat16 on a GPU and float32 elsewhere.
            attention: an attention of transformers, or "auto" for flash-attention when installed, else SDPA.
            protocol: the name or file of a protocol, or "auto" for the one the model was trained with.

        Raises:
            SettingsError: when there is no such protocol, or its file is invalid.
            ModelError: when there is no such model, it is of another kind, or it does not fit into memory.
        """
        folder = policy_folder(str(source))
        model, processor = _load_model(folder, str(source), device, dtype, attention)
        name = model_name(folder) if Path(source).is_dir() else str(source)
        card = read_card(folder)
        given = protocol if protocol != "auto" else card.protocol_in(folder) if card else None
        spoken = native_protocol(model.config.model_type, str(source), given)
        return cls(model, processor, name, card, spoken, reading=card.reading if card else None)

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

    def request(
        self, image_wh: ImageSize, instruction: str, task: TaskKind = TaskKind.FREE, stage: Stage = Stage.INFERENCE
    ) -> Request:
        """The request to the policy about a picture of this size; it also reads the completion.

        Raises:
            SegR1Error: when the instruction is empty or too long.
        """
        if self.card:
            instruction = self.card.in_its_words(instruction)
        return self.protocol.request(image_wh, instruction, task, stage, bounds=self.frame_bounds, reading=self.reading)

    def frame(self, image_wh: ImageSize) -> ImageSize:
        """The size at which the policy sees a picture of size ``image_wh`` in a free request."""
        return self.request(image_wh, "-").frame

    @property
    def frame_bounds(self) -> Bounds:
        """The bounds that the model's image processor sets."""
        images = self._processor.image_processor
        return Bounds(images.patch_size * images.merge_size, images.size["shortest_edge"], images.size["longest_edge"])

    @property
    def max_new_tokens(self) -> int:
        """Tokens after which a completion is cut off if the protocol sets no limit."""
        length: int = self._model.generation_config.max_new_tokens or MAX_NEW_TOKENS
        return length

    def stream(self, picture: Picture, instruction: str, task: TaskKind = TaskKind.FREE) -> Iterator[str]:
        """Generate greedily and yield the text as it is generated; closing the iterator stops the generation.

        Raises:
            ModelError: when the device runs out of memory.
        """
        with self._lock:
            streamer = PacedStreamer(
                self._processor.tokenizer,
                skip_prompt=True,
                skip_special_tokens=True,
                clean_up_tokenization_spaces=False,
            )
            stopped = threading.Event()
            failures: list[Exception] = []
            request = self.request(picture.size, instruction, task)
            inputs = self._batch([(picture, request)])

            def generate() -> None:
                try:
                    with _inference():
                        self._model.generate(
                            **inputs,
                            **self._generation(request, temperature=0.0),
                            streamer=streamer,
                            stopping_criteria=StoppingCriteriaList([StopWhen(stopped)]),
                        )
                except Exception as error:  # noqa: BLE001 - raised again below, for whoever reads the text
                    failures.append(error)
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

    def complete(self, asked: Sequence[tuple[Picture, str]]) -> list[str]:
        """The greedy completions for pictures and their instructions, generated as one batch, which keeps a GPU busy.

        Raises:
            ModelError: when the device runs out of memory.
        """
        with self._lock, _inference("fewer pictures at once (--batch), a smaller --policy or --device cpu"):
            requests = [self.request(picture.size, instruction) for picture, instruction in asked]
            inputs = self._batch([(picture, request) for (picture, _), request in zip(asked, requests, strict=True)])
            sequences = self._model.generate(**inputs, **self._generation(requests[0], temperature=0.0))
            return self._decoded(sequences[:, inputs["input_ids"].shape[1] :])

    def sample(
        self,
        picture: Picture,
        instruction: str,
        n: int,
        *,
        temperature: float = 1.0,
        seed: int | None = None,
        task: TaskKind = TaskKind.FREE,
        stage: Stage = Stage.INFERENCE,
        max_new_tokens: int | None = None,
        stopped: threading.Event | None = None,
    ) -> list[str]:
        """Sample ``n`` completions from one prefill of picture and instruction.

        No repetition penalty is applied, whatever the checkpoint's generation config says, also at temperature 0.

        Args:
            picture: the picture.
            instruction: the free instruction.
            n: number of completions, at least 1.
            temperature: softmax temperature; 0 is greedy.
            seed: makes the samples repeatable; the caller's random state is restored.
            task, stage: the kind of request, and training or inference.
            max_new_tokens: tokens after which a completion is cut off; by default those of the protocol or the model.
            stopped: once it is set, the completions end as they are.

        Raises:
            ModelError: when the device runs out of memory.
        """
        if n < 1:
            raise ValueError(f"sample() needs n >= 1, not {n}")
        shorter = {"max_new_tokens": max_new_tokens} if max_new_tokens else {}
        # For this GPU only: forking the state of all GPUs would initialise each of them.
        gpus = [self.device] if self.device.type == "cuda" else []
        seeded = torch.random.fork_rng(gpus) if seed is not None else nullcontext()
        with self._lock, seeded, _inference():
            if seed is not None:
                torch.manual_seed(seed)
            request = self.request(picture.size, instruction, task, stage)
            inputs = self._batch([(picture, request)])
            prompt, attention_mask = inputs["input_ids"], inputs["attention_mask"]
            # All but the last token go through the model once; from the last one on, each completion takes its own
            # path.
            per_token = {name: value[:, :-1] for name, value in inputs.items() if value.shape[:2] == prompt.shape}
            cache = self._model(**{**inputs, **per_token}, use_cache=True, logits_to_keep=1).cache
            # Copy the single entry; caches of linear attention cannot be repeated in any other way.
            cache.reorder_cache(torch.zeros(n, dtype=torch.long, device=self.device))
            sequences = self._model.generate(
                input_ids=prompt.repeat(n, 1),
                attention_mask=attention_mask.repeat(n, 1),
                cache=cache,
                # Training knows no repetition penalty, and what is drawn here is compared with it.
                **{**self._generation(request, temperature=temperature), "repetition_penalty": 1.0, **shorter},
                stopping_criteria=StoppingCriteriaList([StopWhen(stopped)] if stopped else []),
            )
            return self._decoded(sequences[:, prompt.shape[1] :])

    def model_inputs(self, picture: Picture, instruction: str, grammar: Grammar = Grammar.FULL) -> Any:
        """The model's inputs for a free request, on its device.

        The picture is resized here and not by the processor, because the frame of the model's coordinates must be
        known.
        """
        stage = Stage.PRE_RL if grammar is Grammar.PRE_RL else Stage.INFERENCE
        return self._batch([(picture, self.request(picture.size, instruction, stage=stage))])

    def _batch(self, asked: Sequence[tuple[Picture, Request]]) -> Any:
        """`model_inputs` of several requests, left-padded to the longest."""
        texts = [
            self._processor.apply_chat_template(request.messages, tokenize=False, add_generation_prompt=True)
            for _, request in asked
        ]
        pixels = [resize_to_frame(picture.pixels, request.frame) for picture, request in asked]
        options = {"padding": True, "padding_side": "left", "do_resize": False, "return_tensors": "pt"}
        return self._processor(images=pixels, text=texts, **options).to(self.device)

    def _decoded(self, tokens: torch.Tensor) -> list[str]:
        """Decode the tokens of completions, int (N, L)."""
        texts: list[str] = self._processor.batch_decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return texts

    def _generation(self, request: Request, temperature: float) -> dict[str, Any]:
        """Arguments of ``generate``; sampling is from the whole distribution, as in GRPO, without top-k or top-p.

        For greedy decoding, the rest of the checkpoint's generation config applies, as its authors intended.
        """
        length = {"max_new_tokens": request.max_new_tokens or self.max_new_tokens}
        if temperature == 0:
            return {**length, "do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        return {**length, "do_sample": True, "temperature": temperature, "top_p": 1.0, "top_k": 0}


def _load_model(
    folder: Path, source: str, device: str, dtype: str, attention: str
) -> tuple[PreTrainedModel, ProcessorMixin]:
    """The model in a folder, on its device and in eval mode, and its processor; see `VlmPolicy.load`."""
    target, number = resolve_device(device), resolve_dtype(dtype, resolve_device(device))
    # A progress bar per file read is of no use; downloads keep their own bars.
    disable_progress_bar()
    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        check_memory(folder, number, target, f"{source} does not fit: use a smaller --policy.")
        check_description(folder)
        processor = AutoProcessor.from_pretrained(str(folder), **options)
        # Any, because the annotation omits that the loading report is returned too.
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            str(folder),
            dtype=number,
            attn_implementation=fastest_attention(target, number) if attention == "auto" else attention,
            # ZeroGPU emulates a GPU only for the thread that imported it, and transformers reads weights in others.
            device_map="cpu" if has_zero_gpu() else str(target),
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
        model, found = loaded
        model = model.to(target).eval()
    except torch.OutOfMemoryError as error:
        raise ModelError(f"{source} does not fit into the memory of {target}: use a smaller --policy.") from error
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        raise ModelError(load_failure(source, error)) from error
    if found["missing_keys"]:
        # transformers would replace them with randomly initialised weights.
        lacking = sorted(found["missing_keys"])
        raise ModelError(
            f"The policy in '{source}' lacks {len(lacking)} weights, such as {lacking[0]}: download it again."
        )
    if not hasattr(getattr(processor, "image_processor", None), "merge_size"):
        raise ModelError(
            f"{source} resizes pictures to a fixed size instead of their own, unlike the Qwen-VL models: choose "
            "another --policy."
        )
    return model, processor


@contextmanager
def _inference(instead: str = "a smaller --policy or --device cpu") -> Iterator[None]:
    """Inference mode, with memory errors turned into messages that recommend ``instead``."""
    try:
        with torch.inference_mode():
            yield
    except torch.OutOfMemoryError as error:
        raise ModelError(f"The policy ran out of GPU memory: use {instead}.") from error
