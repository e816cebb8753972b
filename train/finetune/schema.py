"""The schema of training settings: they are checked against it before anything is loaded, and documented from it.

The settings of this project are fields of `train.finetune.setup.TrainingSetup`; those of the optimiser and of adapters
are trl's and peft's own, with their types, and with bounds and choices where theirs would be checked only after the
models are loaded.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union

import yaml
from annotated_types import Ge, Gt, Le, Lt
from peft import LoraConfig, TaskType
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from transformers.generation.configuration_utils import ALL_CACHE_IMPLEMENTATIONS
from transformers.trainer_utils import SchedulerType
from transformers.training_args import OptimizerNames

from segr1_app.domain import SettingsError
from segr1_app.language.typed_text import one_line

_VALIDATION: Final = (
    "eval_strategy",
    "eval_steps",
    "eval_delay",
    "eval_on_start",
    "eval_accumulation_steps",
    "eval_do_concat_batches",
    "eval_packing",
    "eval_use_gather_object",
    "batch_eval_metrics",
    "bf16_full_eval",
    "fp16_full_eval",
    "include_for_metrics",
    "num_generations_eval",
    "per_device_eval_batch_size",
    "prediction_loss_only",
    "do_eval",
    "do_predict",
)
_BEST: Final = ("load_best_model_at_end", "metric_for_best_model", "greater_is_better")
_HUB: Final = (
    "push_to_hub",
    "hub_always_push",
    "hub_model_id",
    "hub_private_repo",
    "hub_revision",
    "hub_strategy",
    "hub_token",
    "log_completions_hub_repo",
)
_SAMPLING: Final = ("top_p", "top_k", "min_p", "generation_kwargs")
_MODEL: Final = ("model_init_kwargs", "trust_remote_code", "chat_template_path", "eos_token", "pad_token")
_ROWS: Final = (
    "dataset_kwargs",
    "dataset_num_proc",
    "dataset_text_field",
    "packing_strategy",
    "padding_free",
    "train_sampling_strategy",
    "truncation_mode",
    "remove_unused_columns",
)
SECTIONS: Final = ("trainer", "lora", "mixing", "reward")
"""Settings that are sections of other settings."""
INSTEAD: Final[Mapping[str, str]] = {
    "output_dir": "it is --output-dir",
    "seed": "it is --seed",
    "max_steps": "it is max_steps at the top of the file, or --max-steps",
    "num_train_epochs": "it is epochs at the top of the file",
    "save_steps": "it is save_steps at the top of the file",
    "save_strategy": "checkpoints are written every save_steps steps",
    "save_total_limit": "the newest checkpoints and the best one are kept",
    "save_only_model": "a training could not be resumed",
    **dict.fromkeys(_VALIDATION, "it is validate_every and validation_rows at the top of the file"),
    **dict.fromkeys(_BEST, "the checkpoint with the best validation is always the one that is exported"),
    "report_to": "it is --report-to",
    "do_train": "a training always trains",
    "use_cpu": "it is --device",
    "local_rank": "it is the launcher's",
    "bf16": "it follows from --device",
    "resume_from_checkpoint": "it is --resume",
    "ignore_data_skip": "a resumed training continues with the rows that come next",
    **dict.fromkeys(_HUB, "nothing is published by itself"),
    "auto_find_batch_size": "a group of completions must not be split",
    **dict.fromkeys(_ROWS, "the order of rows is drawn in advance, and each is made whole when it is read"),
    "data_seed": "it is --seed",
    **dict.fromkeys(_SAMPLING, "sampling is from the whole distribution, or the policy's likelihoods would be wrong"),
    **dict.fromkeys(_MODEL, "the policy is loaded as dtype and attention at the top of the file say"),
    "reward_weights": "there is one reward, and the weights of its terms are under 'reward'",
    "repetition_penalty": "completions are trained as they are sampled, without a penalty",
}
"""Settings of trl that this project controls, and what controls them."""
_Share = Annotated[float, Ge(0), Le(1)]
_Positive = Annotated[float, Gt(0)]
_Count = Annotated[int, Ge(1)]
NARROWED: Final[Mapping[str, Any]] = {
    "learning_rate": _Positive,
    "temperature": _Positive,
    "adam_beta1": Annotated[float, Ge(0), Lt(1)],
    "adam_beta2": Annotated[float, Ge(0), Lt(1)],
    "adam_epsilon": _Positive,
    "label_smoothing_factor": Annotated[float, Ge(0), Lt(1)],
    "neftune_noise_alpha": Annotated[float, Ge(0)] | None,
    "dataloader_num_workers": Annotated[int, Ge(0)],
    "ddp_timeout": _Count,
    "beta": Annotated[float, Ge(0)],
    "epsilon": Annotated[float, Gt(0), Lt(1)],
    "epsilon_high": Annotated[float, Gt(0)] | None,
    "delta": _Positive | None,
    "top_entropy_quantile": _Share,
    "ref_model_mixup_alpha": _Share,
    "ref_model_sync_steps": _Count,
    "vllm_gpu_memory_utilization": _Share,
    "weight_decay": Annotated[float, Ge(0)],
    "warmup_steps": Annotated[float, Ge(0)],
    "max_grad_norm": Annotated[float, Ge(0)],
    "num_generations": Annotated[int, Ge(2)] | None,
    "num_iterations": _Count,
    "steps_per_generation": _Count | None,
    "per_device_train_batch_size": _Count,
    "gradient_accumulation_steps": _Count,
    "generation_batch_size": _Count | None,
    "max_completion_length": _Count,
    "cache_implementation": Literal[ALL_CACHE_IMPLEMENTATIONS] | None,
    "logging_steps": _Positive,
    "optim": Literal[tuple(kind.value for kind in OptimizerNames)],
    "lr_scheduler_type": Literal[tuple(kind.value for kind in SchedulerType)],
    "scale_rewards": Literal["group", "batch", "none"] | bool,
    "importance_sampling_level": Literal["token", "sequence"],
    "vllm_mode": Literal["server", "colocate"],
    "r": _Count,
    "task_type": Literal[tuple(kind.value for kind in TaskType)] | None,
    "lora_alpha": _Positive,
    "lora_dropout": _Share,
    "bias": Literal["none", "all", "lora_only"],
    "target_modules": list[str] | str | None,
}
"""Narrower types than the libraries' own, by setting."""
_LOSSES: Final[Mapping[str, Any]] = {
    "GRPOConfig": Literal["grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"],
    "SFTConfig": Literal["nll", "dft"],
}
"""Losses by the configuration whose trainer knows them."""
_SAID: Final[Mapping[str, str]] = {
    "int_parsing": "a whole number is needed",
    "int_from_float": "a whole number is needed",
    "int_type": "a whole number is needed",
    "float_parsing": "a number is needed",
    "float_type": "a number is needed",
    "finite_number": "a finite number is needed",
    "bool_parsing": "true or false is needed",
    "bool_type": "true or false is needed",
    "string_type": "a string is needed",
    "path_type": "a path is needed",
    "tuple_type": "a list is needed, as in [first, second]",
    "list_type": "a list is needed, as in [first, second]",
    "model_type": "settings with their values are needed, or null",
    "model_attributes_type": "settings with their values are needed, or null",
    "dict_type": "settings with their values are needed, or null",
    "mapping_type": "settings with their values are needed, or null",
    "dataclass_type": "settings with their values are needed",
    "missing": "more values are needed",
    "too_long": "fewer values are needed",
}

_BOUNDS: Final[Mapping[str, str]] = {
    "greater_than_equal": "at least {ge} is needed",
    "greater_than": "it must be greater than {gt}",
    "less_than_equal": "it must be at most {le}",
    "less_than": "it must be less than {lt}",
    "literal_error": "it is one of {expected}",
    "enum": "it is one of {expected}",
    "value_error": "{error}",
}


@cache
def library_schema(config: type, taken: frozenset[str] = frozenset()) -> type[BaseModel]:
    """The settings of a library's configuration dataclass, without those that are ``taken`` or decided elsewhere."""
    hints = typing.get_type_hints(config)
    fields: dict[str, Any] = {}
    for entry in dataclasses.fields(config):
        if entry.init and entry.name not in taken and entry.name not in INSTEAD:
            default = None if entry.default is dataclasses.MISSING else entry.default
            kind = narrowed(config, entry.name) or hints[entry.name]
            fields[entry.name] = (kind, Field(default, description=str(entry.metadata.get("help", ""))))
    settings = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=(), allow_inf_nan=False)
    return create_model(config.__name__, __config__=settings, **fields)


def narrowed(config: type, name: str) -> Any:
    """A type with the bounds or choices of a library's setting; None if its own type says all that is known."""
    if name == "loss_type":
        return _LOSSES[config.__name__]
    if name in NARROWED:
        return NARROWED[name]
    (entry,) = (entry for entry in dataclasses.fields(config) if entry.name == name)
    choices = entry.metadata.get("choices")
    return Literal[(*choices, *([] if entry.default in choices else [entry.default]))] if choices else None


def check_library(config: type, given: Any, taken: frozenset[str], section: str) -> dict[str, Any]:
    """Convert settings of a library's configuration to its types: YAML's "1e-5" becomes a number.

    Args:
        config: the dataclass.
        given: the settings in the file.
        taken: settings that the method decides.
        section: the name of their section.

    Raises:
        SettingsError: with a message that names each invalid setting, its value and what is allowed.
    """
    schema = library_schema(config, taken)
    if isinstance(given, Mapping):
        refuse_flags({name: known.annotation for name, known in schema.model_fields.items()}, given, section)
    try:
        return schema.model_validate(given).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise SettingsError(_explained(error, schema.model_fields, taken, section)) from error


def check_section(kind: type, given: Mapping[Any, Any], section: str) -> Any:
    """Convert a section to the dataclass of this project that represents it.

    Raises:
        SettingsError: as for `check_library`.
    """
    names = [entry.name for entry in dataclasses.fields(kind)]
    unknown = [str(key) for key in given if key not in names]
    if unknown:
        raise SettingsError("; ".join(_unknown(key, names, frozenset(), section) for key in unknown) + ".")
    refuse_flags(typing.get_type_hints(kind), given, section)
    try:
        return TypeAdapter(kind).validate_python(dict(given))
    except ValidationError as error:
        raise SettingsError(_explained(error, names, frozenset(), section)) from error


def refuse_flags(kinds: Mapping[str, Any], given: Mapping[Any, Any], section: str = "") -> None:
    """Refuse true and false where a number is needed: pydantic would read them as 1 and 0.

    Args:
        kinds: the types of the settings.
        given: settings with their values.
        section: the section they are in; empty for the top of the file.

    Raises:
        SettingsError: naming each such setting.
    """
    faults = [
        f"{f'{section}.' if section else ''}{name} is {value!r}: a {'number' if float in kinds_of else 'whole number'} "
        "is needed"
        for name, value in given.items()
        if isinstance(value, bool) and name in kinds
        if (kinds_of := _alternatives(kinds[name])) & {int, float} and not kinds_of & {bool, str, Any}
    ]
    if faults:
        raise SettingsError("; ".join(faults) + ".")


def _alternatives(kind: Any) -> set[Any]:
    """The types of which a value may be any one."""
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is Annotated:
        return _alternatives(arguments[0])
    if typing.get_origin(kind) is Union or isinstance(kind, UnionType):
        return set().union(*map(_alternatives, arguments))
    return {kind}


def explained(error: ValidationError, names: Iterable[str], trainer: type) -> str:
    """Describe the invalid settings at the top level of a file: key, value and what is allowed."""
    inside = [f"{section}.{name}" for section, found in sections(trainer).items() for name in found]
    return _explained(error, [*names, *inside], frozenset(), "")


def _explained(error: ValidationError, names: Iterable[str], taken: frozenset[str], section: str) -> str:
    faults: dict[str, str] = {}
    for fault in error.errors():
        # The part after the setting's own name is the alternative of its type that was tried.
        path = [str(part) for part in fault["loc"][:1]]
        name = ".".join([*([section] if section else []), *path])
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            faults[name] = _unknown(path[0], names, taken, section)
        else:
            said = _said(fault)
            before = faults.get(name, "")
            if not before:
                faults[name] = f"{name} is {fault['input']!r}: {said}"
            elif said not in before:
                faults[name] = f"{before}, or {said}"
    text = "; ".join(faults.values())
    return text if text.endswith("?") else f"{text}."


def _unknown(key: str, names: Iterable[str], taken: frozenset[str], section: str) -> str:
    if section == "trainer" and key in INSTEAD:
        return f"{key} cannot be set under 'trainer': {INSTEAD[key]}"
    if key in taken:
        return f"{key} cannot be set under '{section}': the method depends on it"
    # A setting without its section is close to a name after the section's prefix.
    known = {name.rpartition(".")[2]: name for name in reversed([*names])}
    near = difflib.get_close_matches(key, [*known], 1)
    advice = f": did you mean '{known[near[0]]}'?" if near else ""
    return f"there is no setting '{key}'{f' under {section!r}' if section else ''}{advice}"


def _said(fault: Any) -> str:
    """A description of what is allowed."""
    kind, limits = fault["type"], fault.get("ctx", {})
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**limits)
    return _SAID.get(kind, str(fault["msg"]))


def overridden(
    content: Mapping[str, Any], assignments: Sequence[str], own: Iterable[str], trainer: type
) -> dict[str, Any]:
    """Settings overridden by those of ``--set key=value``.

    Args:
        content: the settings of a file.
        assignments: ``key=value`` each; the value is read as YAML, the key may name its section, as in ``lora.r``.
        own: names of this project's settings.
        trainer: the dataclass of trl's.

    Raises:
        SettingsError: when one has no value, or names no setting.
    """
    changed: dict[str, Any] = dict(content)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise SettingsError(f"--set {assignment}: write key=value, as in --set learning_rate=1e-5.")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            reason = one_line(str(error))
            raise SettingsError(f"--set {assignment}: the value cannot be read: {reason}") from error
        section, _, name = key.strip().rpartition(".")
        section = section or _section_of(name, own, trainer)
        if not section:
            changed[name] = value
        elif section not in SECTIONS:
            raise SettingsError(
                f"--set {assignment}: '{section}' is not a section; the sections are {', '.join(SECTIONS)}."
            )
        else:
            inside = changed.get(section) or {}
            if not isinstance(inside, Mapping):
                raise SettingsError(f"{section} is {inside!r}: settings with their values are needed, or null.")
            changed[section] = {**inside, name: value}
    return changed


def _section_of(name: str, own: Iterable[str], trainer: type) -> str:
    """The section of a setting that was named without it; empty for this project's own."""
    if name in own:
        return ""
    inside = sections(trainer)
    return next(
        (section for section, names in inside.items() if name in names), "" if name not in INSTEAD else "trainer"
    )


def sections(trainer: type) -> dict[str, list[str]]:
    """The names of the settings in each section."""
    from segr1_app.rewards import RewardOptions  # noqa: PLC0415
    from train.data.mixing import Mixing  # noqa: PLC0415

    return {
        section: [entry.name for entry in dataclasses.fields(kind)]
        for section, kind in (("trainer", trainer), ("mixing", Mixing), ("reward", RewardOptions), ("lora", LoraConfig))
    }


def type_name(kind: Any) -> str:
    """A type as shown in the table of settings."""
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin is Annotated:
        bounds = [
            f"{sign} {getattr(bound, name)}" for bound in arguments[1:] for name, sign in _SIGNS if hasattr(bound, name)
        ]
        return " ".join([type_name(arguments[0]), *bounds])
    if origin is Literal:
        return " / ".join(str(choice) for choice in arguments)
    if origin is Union or (arguments and origin is not None and "|" in str(kind)):
        return ", ".join(type_name(part) for part in arguments if part is not type(None))
    return str(getattr(kind, "__name__", kind)).replace("typing.", "")


_SIGNS: Final = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))


def check_value(kind: Any, value: Any, name: str) -> Any:
    """Convert a value of the command line to its type.

    Raises:
        SettingsError: with a message that names it and what is allowed.
    """
    try:
        return TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False)).validate_python(value)
    except ValidationError as error:
        raise SettingsError(f"{name} {value}: {_said(error.errors()[0])}.") from error
