"""The setup of a training run with any method: a YAML file in ``train/configs``, overridden by command-line arguments.

Hyperparameters of the optimiser are trl's own and are passed to its configuration under their own names.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, get_type_hints

import yaml
from annotated_types import Ge, Gt, Lt
from peft import LoraConfig
from pydantic import ConfigDict, ValidationError, field_validator
from pydantic.dataclasses import dataclass

from segr1_app.domain import SettingsError
from segr1_app.language.codec import Grammar
from segr1_app.language.protocol_files import find_protocol
from segr1_app.language.typed_text import one_line
from segr1_app.models.loading import resolve_device
from segr1_app.rewards import RewardOptions
from segr1_app.settings.config import ATTENTIONS, AUTO, DEFAULT_POLICY, DEFAULT_SEGMENTER, DTYPES
from train.data.mixing import Mixing
from train.finetune.launching import check_installed
from train.finetune.optimiser import check_optimiser
from train.finetune.schema import check_library, check_section, explained, overridden, refuse_flags

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
FEEDBACK_REWARD = RewardOptions(abstention=1.0, rejection=1.0)
"""With these, rejects and "no object" are rows that can be scored; other rows get Seg-R1's own reward."""
SCHEMA = ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)
"""For every kind of setup: an unknown setting is an error."""
_Count = Annotated[int, Ge(1)]


@dataclass(frozen=True, kw_only=True, config=SCHEMA)
class TrainingSetup(ABC):
    """A training run.

    Attributes:
        policy, segmenter: folders or hub ids.
        data: data sets of pairs in any layout of `train.data.layouts`.
        scenes: whether generated scenes replace missing data; None for small policies only.
        grammar: the form that the policy is asked to write.
        protocol: the name or file of the protocol for prompts and rewards; "auto" for the policy's own, or, for a
            stock model, this project's.
        max_steps: optimiser steps; None for ``epochs``.
        epochs: passes over as many rows as there are for training.
        save_steps: steps between checkpoints.
        held_out_share: the fraction of pictures held out.
        held_out_rows: how many of them are scored, of pairs and of corrections each; up to as many photographs without
            ground truth are answered for visual inspection.
        validate_every: steps between validations, a multiple of ``save_steps``; 0 for none, None for every checkpoint.
        validation_rows: how many held-out rows of each kind are answered then; other rows than those scored before and
            after. The checkpoint with the best mean reward on them becomes the new policy.
        patience: consecutive validations without improvement after which a run ends early; 0 for never.
        mixing: how corrections are mixed in.
        reward: reward terms for held-out rows, in addition to the reward of Seg-R1.
        lora: arguments of peft's ``LoraConfig``; None trains all weights.
        trainer: arguments of trl's configuration.
        dtype, attention: number format and attention of the policy; see `trained_dtype`.
        embedding_cache: a folder that caches the segmenter's embeddings, in half precision, for this and other runs;
            None keeps those of recent pictures in memory.
    """

    policy: str = str(DEFAULT_POLICY)
    segmenter: str = str(DEFAULT_SEGMENTER)
    data: tuple[Path, ...] = ()
    scenes: bool | None = None
    grammar: Grammar = Grammar.FULL
    protocol: str = AUTO
    max_steps: _Count | None = None
    epochs: Annotated[float, Gt(0)] = 1.0
    save_steps: _Count = 50
    held_out_share: Annotated[float, Gt(0), Lt(1)] = 0.1
    held_out_rows: _Count = 24
    validate_every: Annotated[int, Ge(0)] | None = None
    validation_rows: _Count = 16
    patience: Annotated[int, Ge(0)] = 5
    mixing: Mixing = field(default_factory=Mixing)
    reward: RewardOptions = FEEDBACK_REWARD
    lora: dict[str, Any] | None = None
    trainer: dict[str, Any] = field(default_factory=dict)
    dtype: str = "auto"
    attention: str = "auto"
    embedding_cache: Path | None = None

    TRAINER: ClassVar[Any]
    """trl's configuration of the method."""
    FIXED: ClassVar[Mapping[str, Any]] = {}
    """Its arguments on which the method depends, and which a file must not change."""

    def __post_init__(self) -> None:
        if self.grammar is Grammar.ABSTENTION:
            raise SettingsError(f"A policy cannot be asked for the {self.grammar.value} grammar.")
        for name, value, allowed in (("dtype", self.dtype, DTYPES), ("attention", self.attention, ATTENTIONS)):
            if value not in allowed:
                raise SettingsError(f"{name} is {value!r}: it is one of {', '.join(map(repr, allowed))}.")
        if self.protocol != AUTO:
            find_protocol(self.protocol)
        if self.validate_every and self.validate_every % self.save_steps:
            raise SettingsError(
                f"validate_every is {self.validate_every}: it must be a multiple of save_steps, {self.save_steps}, "
                "because checkpoints are what is validated."
            )
        if self.lora is not None:
            self.lora_config()

    @field_validator("trainer", mode="before")
    @classmethod
    def _check_trainer(cls, given: Any) -> dict[str, Any]:
        return check_library(cls.TRAINER, {} if given is None else given, frozenset(cls.FIXED), "trainer")

    @field_validator("lora", mode="before")
    @classmethod
    def _check_lora(cls, given: Any) -> dict[str, Any] | None:
        return None if given is None else check_library(LoraConfig, given, frozenset(), "lora")

    @field_validator("reward", mode="before")
    @classmethod
    def _over_the_default(cls, given: Any) -> Any:
        """Terms not named in a file keep their default weights."""
        if not isinstance(given, Mapping):
            return given
        return check_section(RewardOptions, asdict(FEEDBACK_REWARD) | dict(given), "reward")

    @field_validator("mixing", mode="before")
    @classmethod
    def _check_mixing(cls, given: Any) -> Any:
        return check_section(Mixing, given, "mixing") if isinstance(given, Mapping) else given

    @classmethod
    def read(cls, path: Path, assignments: Sequence[str] = ()) -> Self:
        """The setup in a YAML file; missing settings keep their defaults.

        Args:
            path: the file.
            assignments: ``key=value`` each, which override the file.

        Raises:
            SettingsError: when it cannot be read, or a setting is unknown or has an invalid value.
        """
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise SettingsError(f"--config {path} cannot be read: {one_line(str(error))}") from error
        if not isinstance(content, dict):
            raise SettingsError(f"--config {path} is not a mapping of settings to values.")
        names = [entry.name for entry in fields(cls)]
        where = f"--config {path}{' with the options given' if assignments else ''}"
        try:
            given = overridden({str(key): value for key, value in content.items()}, assignments, names, cls.TRAINER)
            refuse_flags(get_type_hints(cls), given)
            return cls(**given)
        except ValidationError as error:
            raise SettingsError(f"{where}: {explained(error, names, cls.TRAINER)}") from error
        except SettingsError as error:
            raise SettingsError(f"{where}: {error}") from error

    @property
    def trained_dtype(self) -> str:
        """The number format of the policy while it is trained.

        "auto" is float32 if all weights are trained, as in trl: in bfloat16, the neighbours of a weight of .02 are 6e-5
        away, so a step of 1e-6 would not change it. On a GPU, computations still use bfloat16. Adapters are always in
        float32.
        """
        return "float32" if self.dtype == "auto" and self.lora is None else self.dtype

    def record(self) -> dict[str, Any]:
        """The setup after a round trip through JSON, for comparison with that of an earlier start."""
        record = asdict(self) | {"grammar": self.grammar.value}
        written: dict[str, Any] = json.loads(json.dumps(record, default=str))
        return written

    def lora_config(self) -> LoraConfig | None:
        """peft's configuration of the adapters, if any.

        Raises:
            SettingsError: when peft rejects it.
        """
        try:
            return LoraConfig(**self.lora) if self.lora is not None else None
        except (ValueError, TypeError, ImportError) as error:
            raise SettingsError(f"peft rejects the settings under 'lora': {error}") from error

    def trainer_config(self, output: Path, *, rows: int | None = None, seed: int, device: str, report_to: str) -> Any:
        """trl's configuration.

        Args:
            output: folder for checkpoints.
            rows: number of training rows; None while unknown, if `set_length` is called later.
            seed: the only source of randomness.
            device: as for `resolve_device`.
            report_to: a reporter that trl knows, or "none".

        Raises:
            SettingsError: when trl rejects an argument, or a required package is not installed.
        """
        on_gpu = resolve_device(device).type == "cuda"
        given = {
            "logging_steps": 1,
            "gradient_checkpointing": False,
            "disable_tqdm": True,
            **self.trainer,
            **self.FIXED,
            "output_dir": str(output),
            "seed": seed,
            "report_to": report_to,
            "save_strategy": "steps",
            # trl's default; most CPUs only emulate bfloat16, twenty times as slowly.
            "bf16": on_gpu and not self.trainer.get("fp16", False),
            "use_cpu": not on_gpu,
        }
        check_installed(self.trainer)
        try:
            config = self.TRAINER(**given)
        except (ValueError, TypeError, ImportError) as error:
            raise SettingsError(f"trl rejects these settings: {error}") from error
        check_optimiser(config)
        if rows is not None:
            self.set_length(config, rows)
        return config

    def set_length(self, config: Any, rows: int) -> None:
        """Set the length of a run on this many rows, and its checkpoint interval."""
        config.max_steps, config.save_steps = self._length(config, rows)

    def with_arguments(self, **given: Any) -> Self:
        """This setup with the arguments that are not None."""
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    @abstractmethod
    def _length(self, config: Any, rows: int) -> tuple[int, int]:
        """Optimiser steps of the whole run, and between checkpoints."""
