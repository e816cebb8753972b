"""The entry point and the page's server side, without a browser."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

import app
from segr1_app.domain import ModelError, NotUnderstoodError
from segr1_app.models.host import LoadedModels, ModelHost
from segr1_app.models.pipeline import Pipeline
from segr1_app.models.policy import VlmPolicy
from segr1_app.settings.config import Settings
from segr1_app.studio.samples import find_samples
from segr1_app.studio.sessions import CanvasSessions
from segr1_app.ui.handlers.run import RunHandlers
from segr1_app.ui.views import canvas_value
from tests.hostile.pictures import tiff_with_a_fraction

ROOT = Path(app.__file__).parent
INSTRUCTION = "Identify and segment all the primary objects."


def hosted(pipeline: Pipeline) -> ModelHost:
    models = ModelHost(Settings(), lambda _: LoadedModels(pipeline, "cpu", "Two instructions."))
    models.start()
    return models


def upload(folder: Path) -> dict[str, Any]:
    """A photograph as gradio hands over an upload."""
    source = find_samples()[0].path
    file = folder / source.name
    file.write_bytes(source.read_bytes())
    return {"path": str(file), "meta": {"_type": "gradio.FileData"}}


def test_importing_app_loads_and_launches_nothing() -> None:
    heavy = "{'gradio', 'torch', 'transformers', 'sam2', 'cv2'}"
    code = f"import sys, app; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_importing_the_page_leaves_gradios_type_stubs_alone() -> None:
    code = (
        "import ast, sys; parsed = []; parse = ast.parse\n"
        "ast.parse = lambda source, *a, **k: (parsed.append(source), parse(source, *a, **k))[1]\n"
        "import segr1_app.ui, gradio\n"
        "assert gradio.Textbox(value='it works').value == 'it works'\n"
        "sys.exit(any('class Textbox' in str(source) for source in parsed))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or "gradio parsed its own components"


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        app.main(["--help"])
    text = capsys.readouterr().out
    for option in ("--host", "--port", "--home", "--policy", "--segmenter", "--share", "SEGR1_HOME"):
        assert option in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "70000"],
        ["--port", "0"],
        ["--port", "seven"],
        ["--home", "app.py"],
        ["--home", "app.py/home"],
        ["--home", "/proc/nope"],
    ],
)
def test_arguments_that_make_no_sense_end_with_a_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit, match="2"):
        app.main(arguments)
    printed = capsys.readouterr().err
    assert "app.py: error:" in printed
    assert arguments[0] in printed.splitlines()[-1]


def test_a_port_that_is_taken_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # what the app sets is undone after the test
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SystemExit, match="2"):
            app.main(["--port", str(taken.getsockname()[1]), "--home", str(tmp_path)])
    assert "choose another --port" in capsys.readouterr().err


def test_models_load_behind_the_page() -> None:
    gate = threading.Event()
    loaded = LoadedModels(Pipeline(policy=_Named("p"), segmenter=_Named("s")), "cpu", "")  # type: ignore[arg-type]

    def load(_: Settings) -> LoadedModels:
        assert gate.wait(10)
        return loaded

    models = ModelHost(Settings(policy="somebody/model"), load)
    models.start()
    assert models.status.state == "loading"
    assert models.status.policy == "somebody/model"
    assert not models.wait(seconds=0)
    gate.set()
    assert models.pipeline() is loaded.pipeline
    assert (models.status.state, models.status.policy, models.status.device) == ("ready", "p", "cpu")


def test_models_are_loaded_once_by_whoever_needs_them_first() -> None:
    loads: list[Settings] = []

    def load(settings: Settings) -> LoadedModels:
        loads.append(settings)
        return LoadedModels(Pipeline(policy=_Named("p"), segmenter=_Named("s")), "cpu", "")  # type: ignore[arg-type]

    models = ModelHost(Settings(), load)
    models.start(after=600)
    assert not models.wait(seconds=0.05)
    models.pipeline()
    models.start()
    models.pipeline()
    assert len(loads) == 1


def test_an_unforeseen_fault_while_loading_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", caught.append)

    def load(_: Settings) -> LoadedModels:
        raise ZeroDivisionError

    models = ModelHost(Settings(), load)
    models.start()
    with pytest.raises(ModelError, match="terminal"):
        models.pipeline()
    for thread in threading.enumerate():
        if thread.name == "load-models":
            thread.join()
    assert [fault.exc_type for fault in caught] == [ZeroDivisionError]


def test_a_run_through_the_handlers(pipeline: Pipeline, tmp_path: Path) -> None:
    models = hosted(pipeline)
    models.wait()
    handlers = RunHandlers(models, tmp_path, CanvasSessions())
    answers = [answer for _, answer, _, _ in handlers.run(upload(tmp_path), INSTRUCTION, "visit") if "phase" in answer]
    phases = [answer["phase"] for answer in answers]
    assert phases == sorted(phases, key=["looking", "writing", "done"].index)
    assert {"writing", "done"} <= set(phases)
    texts = [answer["text"] for answer in answers]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    files = {kind: Path(file["path"]) for kind, file in answers[-1]["files"].items()}
    assert set(files) == {"mask", "overlay", "record"}
    assert all(path.is_relative_to(tmp_path) for path in files.values())
    with Image.open(files["mask"]) as mask:
        assert np.asarray(mask).any()


def test_a_run_that_waits_ends_when_its_user_turns_to_another_picture(pipeline: Pipeline, tmp_path: Path) -> None:
    models = hosted(pipeline)
    handlers = RunHandlers(models, tmp_path, CanvasSessions())
    models.wait()
    with models.turn:
        run = handlers.run(upload(tmp_path), INSTRUCTION, "visit")
        assert [next(run)[1]["phase"] for _ in range(2)] == ["looking", "waiting"]
        handlers.show(None, "visit")
        assert list(run) == [(gr.skip(),) * 4]
    assert not models.turn.locked()


def test_a_run_goes_on_when_its_own_picture_or_somebody_elses_is_shown(pipeline: Pipeline, tmp_path: Path) -> None:
    handlers = RunHandlers(hosted(pipeline), tmp_path, CanvasSessions())
    picture = upload(tmp_path)
    run = handlers.run(picture, INSTRUCTION, "visit")
    next(run)
    assert handlers.show(picture, "visit") == (gr.skip(), gr.skip())
    handlers.show(None, "another visit")
    *_, (_, answer, _, _) = run
    assert answer["phase"] == "done"


def test_an_instruction_that_the_policy_was_not_taught_is_said_to_be_so(
    pipeline: Pipeline, policy: VlmPolicy, tmp_path: Path
) -> None:
    handlers = RunHandlers(hosted(pipeline), tmp_path, CanvasSessions())

    def answered(instruction: str) -> Any:
        *_, answer = (each for _, each, _, _ in handlers.run(upload(tmp_path), instruction, "visit") if "phase" in each)
        return answer

    refused = answered("Find the zebra that could outrun a car.")
    assert refused["phase"] == "failed"
    assert refused["failure"].startswith("This policy was never taught 'zebra', 'could', 'outrun', 'car'. This small ")
    with pytest.raises(NotUnderstoodError, match="never taught 'zebra'"):
        handlers.predict(upload(tmp_path), "Find the zebra.")
    assert answered("SEGMENT, please: a hidden black animal in the picture!")["phase"] == "done"
    # A policy that was trained further knows more than the card that it has from this one.
    further = VlmPolicy(policy.model, policy.processor, "runs/policy", policy.card)
    Pipeline(further, pipeline.segmenter).check_understood("Find the zebra.")


def test_predict_is_the_record_of_the_same_run(pipeline: Pipeline, tmp_path: Path) -> None:
    handlers = RunHandlers(hosted(pipeline), tmp_path, CanvasSessions())
    *_, last = (answer for _, answer, _, _ in handlers.run(upload(tmp_path), INSTRUCTION, "visit") if "phase" in answer)
    assert handlers.predict(upload(tmp_path), INSTRUCTION)["completion"] == last["text"]


def test_a_client_cannot_name_a_file_that_it_did_not_upload(pipeline: Pipeline, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    handlers = RunHandlers(hosted(pipeline), cache, CanvasSessions())
    outside = upload(tmp_path)
    for stranger in (outside, {"path": str(cache / ".." / Path(outside["path"]).name)}, {}):
        _, answer = handlers.show(stranger, "visit")
        assert answer["phase"] == "failed"
        assert "not an upload" in answer["failure"]


def test_a_hostile_picture_is_reported_in_a_sentence(pipeline: Pipeline, tmp_path: Path) -> None:
    handlers = RunHandlers(hosted(pipeline), tmp_path, CanvasSessions())
    file = tmp_path / "photo.tiff"
    file.write_bytes(tiff_with_a_fraction())
    picture = {"path": str(file), "meta": {"_type": "gradio.FileData"}}
    *_, ran = (answer for _, answer, _, _ in handlers.run(picture, INSTRUCTION, "visit"))
    _, shown = handlers.show(picture, "another visit")
    for answer in (ran, shown):
        assert answer["phase"] == "failed"
        assert "photo.tiff' is damaged" in answer["failure"]


def test_the_canvas_takes_prompts_without_masks(tmp_path: Path) -> None:
    from segr1_app.domain import Box, ImageSize, ObjectPrompt, Point

    prompts = (ObjectPrompt(Box(1, 2, 3, 4), (Point(5, 6, 0),)), ObjectPrompt())
    value = canvas_value("key", tmp_path / "photo.jpg", "A photo", ImageSize(10, 8), objects=prompts)
    assert [entry["mask"] for entry in value["objects"]] == [None, None]
    assert value["objects"][0]["box"] == [1, 2, 3, 4]
    assert value["objects"][0]["points"] == [{"x": 5, "y": 6, "label": 0}]


class _Named:
    """All that the host needs of a model."""

    def __init__(self, model_id: str) -> None:
        self.model_id = model_id
