"""What a GRPO training is set up with: a YAML file of ``train/configs``, under the arguments of the command line.

Hyperparameters of the optimiser are trl's own and go to its `GRPOConfig` under their own names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml
from peft import LoraConfig
from trl.trainer.grpo_config import GRPOConfig

from segr1_app.codec import FORMAT_PROMPTS, Grammar
from segr1_app.config import ATTENTIONS, DEFAULT_POLICY, DEFAULT_SEGMENTER, DTYPES
from segr1_app.domain import SettingsError
from segr1_app.loading import resolve_device
from segr1_app.rewards import RewardOptions
from train.mixing import Mixing

CONFIGS = Path(__file__).resolve().parent / "configs"
DEFAULT_CONFIG = CONFIGS / "embedded.yaml"
FEEDBACK_REWARD = RewardOptions(abstention=1.0, rejection=1.0)
"""With these, rejects and "no object" are rows that can be scored; other rows get what Seg-R1 gives them."""
OWN = frozenset(
    {"output_dir", "seed", "max_steps", "save_steps", "save_strategy", "shuffle_dataset", "use_cpu", "bf16"}
)
"""What this project decides itself, because resuming and mixing depend on it."""


@dataclass(frozen=True, kw_only=True)
class GrpoSetup:
    """A training.

    Attributes:
        policy, segmenter: folders or hub ids.
        data: data sets of pairs in any layout of `train.layouts`; none stands for generated scenes.
        grammar: what the policy is asked to write.
        max_steps: optimiser steps; None for ``epochs``.
        epochs: passes over as many rows as are trained on.
        save_steps: steps between checkpoints, rounded up to where a generation's completions are used up.
        held_out_share: the share of pictures held out.
        held_out_rows: how many of them are scored, of pairs and of corrections each.
        mixing: how corrections are mixed in.
        reward: what is added to the reward of Seg-R1.
        lora: arguments of peft's ``LoraConfig``; None trains all weights.
        trainer: arguments of trl's ``GRPOConfig``.
        dtype, attention: of the policy.
    """

    policy: str = str(DEFAULT_POLICY)
    segmenter: str = str(DEFAULT_SEGMENTER)
    data: tuple[Path, ...] = ()
    grammar: Grammar = Grammar.FULL
    max_steps: int | None = None
    epochs: float = 1.0
    save_steps: int = 50
    held_out_share: float = 0.1
    held_out_rows: int = 24
    mixing: Mixing = field(default_factory=Mixing)
    reward: RewardOptions = FEEDBACK_REWARD
    lora: Mapping[str, Any] | None = None
    trainer: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "auto"
    attention: str = "auto"

    def __post_init__(self) -> None:
        if self.max_steps is not None and self.max_steps < 1:
            raise SettingsError("--max-steps is at least 1.")
        if self.epochs <= 0 or self.save_steps < 1 or self.held_out_rows < 1:
            raise SettingsError("Epochs, steps between checkpoints and held-out rows are all above 0.")
        if not 0 < self.held_out_share < 1:
            raise SettingsError("The share of pictures that is held out lies between 0 and 1.")
        if self.grammar not in FORMAT_PROMPTS:
            raise SettingsError(f"A policy cannot be asked for the {self.grammar.value} grammar.")
        if self.dtype not in DTYPES or self.attention not in ATTENTIONS:
            raise SettingsError(f"dtype is one of {', '.join(DTYPES)}; attention of {', '.join(ATTENTIONS)}.")
        taken = sorted(OWN & self.trainer.keys())
        if taken:
            raise SettingsError(f"{', '.join(taken)} cannot be set under 'trainer': use this file's own settings.")
        _checked(LoraConfig, self.lora or {}, "lora")
        _checked(GRPOConfig, self.trainer, "trainer")

    @classmethod
    def read(cls, path: Path) -> GrpoSetup:
        """The setup in a YAML file; what it leaves out keeps its default.

        Raises:
            SettingsError: when it cannot be read, or names something that there is not.
        """
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise SettingsError(f"--config {path} cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise SettingsError(f"--config {path} is no mapping of settings to values.")
        _checked(cls, content, str(path))
        try:
            return cls(**{name: _value(name, value) for name, value in content.items()})
        except (TypeError, ValueError) as error:
            raise SettingsError(f"--config {path}: {error}") from error

    def record(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        record = asdict(self)
        return record | {"data": [str(folder) for folder in self.data], "grammar": self.grammar.value}

    def lora_config(self) -> LoraConfig | None:
        """What peft wraps the policy with, if anything."""
        return LoraConfig(**self.lora) if self.lora is not None else None

    def trainer_config(self, output: Path, *, rows: int, seed: int, device: str, report_to: str) -> GRPOConfig:
        """trl's own configuration, with the length of the training worked out.

        Args:
            output: folder for checkpoints.
            rows: how many rows there are to train on.
            seed: source of all chance.
            device: as `resolve_device` understands it.
            report_to: a reporter that trl knows, or "none".

        Raises:
            SettingsError: when trl refuses an argument.
        """
        on_gpu = resolve_device(device).type == "cuda"
        given = {
            "logging_steps": 1,
            "gradient_checkpointing": False,
            "disable_tqdm": True,
            **self.trainer,
            "output_dir": str(output),
            "seed": seed,
            "report_to": report_to,
            # The order of rows is made by `draw_order`, which a resumed training makes again.
            "shuffle_dataset": False,
            "save_strategy": "steps",
            # trl's default; most CPUs only imitate bfloat16, twenty times as slowly.
            "bf16": on_gpu and not self.trainer.get("fp16", False),
            "use_cpu": not on_gpu,
        }
        try:
            config = GRPOConfig(**given)
        except ValueError as error:
            raise SettingsError(f"trl refuses this training: {error}") from error
        period = generation_period(config)
        steps = self.max_steps or max(1, math.ceil(self.epochs * rows / prompts_per_step(config)))
        config.max_steps = steps
        config.save_steps = math.ceil(self.save_steps / period) * period
        return config

    def with_arguments(self, **given: Any) -> GrpoSetup:
        """This setup, but for those arguments that are not None."""
        return replace(self, **{name: value for name, value in given.items() if value is not None})


def generation_period(config: GRPOConfig) -> int:
    """Optimiser steps after which all completions are used up: a training can be resumed at its multiples."""
    passes = _passes(config)
    return passes // math.gcd(passes, config.gradient_accumulation_steps)


def prompts_per_step(config: GRPOConfig) -> float:
    """How many rows an optimiser step uses up, on average."""
    return _prompts(config) * config.gradient_accumulation_steps / _passes(config)


def prompts_needed(config: GRPOConfig) -> int:
    """How many rows the whole training draws: whole generations, the last of which may not be used up."""
    return math.ceil(config.max_steps * config.gradient_accumulation_steps / _passes(config)) * _prompts(config)


def _passes(config: GRPOConfig) -> int:
    """Forward passes that the completions of one generation serve."""
    assert config.steps_per_generation is not None
    return config.steps_per_generation * config.num_iterations


def _prompts(config: GRPOConfig) -> int:
    """Rows of one generation."""
    assert config.generation_batch_size is not None
    assert config.num_generations is not None
    return config.generation_batch_size // config.num_generations


def _value(name: str, value: Any) -> Any:
    if name == "data":
        return tuple(Path(folder) for folder in value)
    if name == "grammar":
        return Grammar(value)
    if name == "mixing":
        return Mixing(**value)
    if name == "reward":
        if "soft_length" in value:
            value = value | {"soft_length": tuple(value["soft_length"])}
        return replace(FEEDBACK_REWARD, **value)
    return value


def _checked(kind: Any, given: Mapping[str, Any], where: str) -> None:
    unknown = sorted(given.keys() - {entry.name for entry in fields(kind)})
    if unknown:
        raise SettingsError(f"{where}: there is no setting {', '.join(map(repr, unknown))}.")
