"""Untrusted model folders: no code is run, no local files are read, no size exhausts the machine."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from segr1_app.domain import ModelError
from segr1_app.models.chat_templates import check_template
from segr1_app.models.foreign_folder import check_policy_files
from segr1_app.models.policy import VlmPolicy
from segr1_app.models.policy_files import policy_folder
from segr1_app.models.segmenter_files import load_segmenter_files
from segr1_app.settings.config import DEFAULT_POLICY, DEFAULT_SEGMENTER

CPU = torch.device("cpu")


@pytest.fixture
def segmenter(tmp_path: Path) -> Path:
    return shutil.copytree(DEFAULT_SEGMENTER, tmp_path / "segmenter")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return shutil.copytree(DEFAULT_POLICY, tmp_path / "policy")


def changed(folder: Path, place: str, value: Any) -> None:
    """Change one value of a segmenter's configuration."""
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    *parts, last = place.split(".")
    inner = config
    for part in parts:
        inner = inner[part]
    inner[last] = value
    path.write_text(yaml.safe_dump(config))


def test_the_embedded_segmenter_loads(segmenter: Path) -> None:
    assert load_segmenter_files(segmenter, CPU).zoom == 1.25


@pytest.mark.parametrize(
    "target",
    ["torch.load", "numpy.load", "torch.hub.load", "os.system", "builtins.eval", "hydra.utils.get_method", "sam2.x", 7],
)
@pytest.mark.parametrize("place", ["model", "model.memory_encoder", "model.image_encoder.trunk", "model.x"])
def test_only_the_classes_of_a_sam2_are_made(segmenter: Path, place: str, target: Any) -> None:
    changed(segmenter, place, {"_target_": target, "f": "/etc/passwd"})
    with pytest.raises(ModelError, match=r"config\.yaml' is not an acceptable SAM 2 configuration"):
        load_segmenter_files(segmenter, CPU)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("model.image_encoder.trunk.weights_path", "/etc/passwd"),
        ("model._partial_", True),
        ("model._args_", [1]),
        ("model.image_size", 10**9),
        ("model.image_encoder.trunk.embed_dim", 10**6),
        ("model.image_encoder.trunk.embed_dim", 1024),
        ("model.image_encoder.trunk.stages", [64, 64, 64, 64]),
        ("model.image_encoder.trunk.stages", [10**9]),
        ("model.image_encoder.neck.d_model", "${oc.env:HOME}"),
        ("model.image_encoder.neck.fpn_interp_model", "${oc.env:HOME}"),
        ("model.compile_image_encoder", True),
        ("model.num_maskmem", float("inf")),
        ("model.sam_mask_decoder_extra_args", {"x": [[1]]}),
        ("model.unknown_argument", 1),
        ("model.image_encoder", None),
        ("zoom", float("nan")),
        ("zoom", "big"),
        ("zoom", 10**6),
        ("model", None),
        ("model", [1]),
    ],
)
def test_values_are_those_of_a_sam2(segmenter: Path, place: str, value: Any) -> None:
    changed(segmenter, place, value)
    with pytest.raises(ModelError):
        load_segmenter_files(segmenter, CPU)


BOMB = "a: &a [x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB.encode(),
        b"model: " + b"[" * 5000,
        b"model: " + b"[" * 30 + b"]" * 30,
        b"x" * 10**6,
        b"\x80\x00\xff",
        b"",
        b"model: !!python/object/apply:os.system ['true']",
        b"model: &x {y: *x}",
        b"model: {? [1]: 2}",
        b"model: " + b"9" * 5000,
        b"- 1",
    ],
)
def test_an_invalid_configuration_is_refused_at_once(segmenter: Path, text: bytes) -> None:
    (segmenter / "config.yaml").write_bytes(text)
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"config\.yaml"):
        load_segmenter_files(segmenter, CPU)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 100, b"\xff\xff\xff\xff\xff\xff\xff\x7f{}", b"\x02" + b"\0" * 7 + b"{}"]
)
def test_invalid_weights_are_refused(segmenter: Path, content: bytes) -> None:
    (segmenter / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"damaged|belong to another"):
        load_segmenter_files(segmenter, CPU)


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.", b"PK\x03\x04", b"\x80\x04\x95"]
)
def test_pickles_of_sam2_bring_no_code(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sam2.1_hiera_tiny.pt").write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        load_segmenter_files(tmp_path, CPU)


def test_links_out_of_a_folder_are_refused(segmenter: Path, policy: Path, tmp_path: Path) -> None:
    for folder, name in ((segmenter, "config.yaml"), (policy, "tokenizer.json")):
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(ModelError, match="link"):
        load_segmenter_files(segmenter, CPU)
    with pytest.raises(ModelError, match="link"):
        policy_folder(str(policy))


def test_the_hubs_cache_is_made_of_links(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "c0ffee"
    shutil.copytree(DEFAULT_POLICY, blobs)
    snapshot.mkdir(parents=True)
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    assert policy_folder(str(snapshot)) == snapshot


@pytest.mark.parametrize(
    ("file", "place", "value"),
    [
        ("config.json", "auto_map", {"AutoModel": "code.Model"}),
        ("config.json", "text_config.hidden_size", 10**9),
        ("config.json", "text_config.num_hidden_layers", 10**9),
        ("config.json", "text_config.vocab_size", -1),
        ("config.json", "text_config.hidden_size", 10**400),
        ("processor_config.json", "image_processor.max_pixels", 10**12),
        ("processor_config.json", "image_processor.size", {"longest_edge": 10**12, "shortest_edge": 1}),
        ("processor_config.json", "image_processor.patch_size", 0),
        ("generation_config.json", "max_new_tokens", 10**12),
        ("tokenizer_config.json", "auto_map", {}),
        ("tokenizer_config.json", "chat_template", "{{ 'x' * 10**10 }}"),
        ("tokenizer_config.json", "chat_template", [7]),
    ],
)
def test_configurations_have_the_sizes_of_a_model(policy: Path, file: str, place: str, value: Any) -> None:
    path = policy / file
    config = json.loads(path.read_text())
    *parts, last = place.split(".")
    inner = config
    for part in parts:
        inner = inner.setdefault(part, {})
    inner[last] = value
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"\.json"):
        policy_folder(str(policy))


@pytest.mark.parametrize(
    "content", [b"[" * 50_000, b"{" + b'"a":{' * 100, b'{"a": NaN}', b"\xff\xfe{\0}\0", b"[]", b""]
)
def test_invalid_json_is_refused(policy: Path, content: bytes) -> None:
    (policy / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"config\.json"):
        policy_folder(str(policy))


def test_a_configuration_of_another_model_takes_no_memory(policy: Path) -> None:
    path = policy / "config.json"
    config = json.loads(path.read_text())
    config["text_config"] |= {"intermediate_size": 65_536, "vocab_size": 4_000_000}
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError, match="do not belong together"):
        VlmPolicy.load(policy, device="cpu")


HOSTILE_TEMPLATES = [
    "{{ 'x' * 10**10 }}",
    "{{ 10 ** 100 }}",
    "{% for i in range(1000000000) %}x{% endfor %}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}",
    "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:>10000000000}'.format(1) }}",
    "{{ 'x'.center(10000000000) }}",
    "{{ 'x' | center(999999999) }}",
    "{% for a in x %}" * 5 + "{% endfor %}" * 5,
    "{% for a in",
    "x" * 300_000,
    "{{ " + "(" * 3000 + ")" * 3000 + " }}",
]


@pytest.mark.parametrize("template", HOSTILE_TEMPLATES, ids=range(len(HOSTILE_TEMPLATES)))
def test_templates_that_take_all_there_is_are_refused(template: str) -> None:
    with pytest.raises(ModelError, match="The template"):
        check_template(template, "The template")


def test_the_embedded_policies_pass() -> None:
    for folder in (DEFAULT_POLICY, DEFAULT_POLICY.with_name("cold-start")):
        check_policy_files(folder)
        assert policy_folder(str(folder)) == folder
