"""Replace each value of every endpoint, record and small file by each hostile value of one table."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from segr1_app.domain import ModelRole, SegR1Error, StoreDamagedError
from segr1_app.language.protocol_files import FOLDER, read_protocol
from segr1_app.models.policy_files import read_bounds, read_card
from segr1_app.models.segmenter_config import read_segmenter_config
from segr1_app.people.accounts import People
from segr1_app.settings.config import DEFAULT_POLICY
from segr1_app.settings.promotion import PROMOTED_FILES, go_back, promote, promoted
from segr1_app.settings.roles import Role
from segr1_app.store import AnnotationStore
from segr1_app.store.exchange.formats import FORMATS
from segr1_app.store.exchange.importing import import_paths
from segr1_app.store.record_schema import JSON_COLUMNS
from segr1_app.store.revisions import revision_hash
from segr1_app.store.rows import content_hash, to_json, truth_hash
from segr1_app.studio.trainings import BEFORE, CONFIG, METRICS, PROCESS, RESULT, Trainings
from segr1_app.sync import FolderRemote, Synchroniser
from tests.hostile.parsers import CORPUS
from tests.hostile.test_other_pages import WIRE
from tests.hostile.test_sync import fill
from tests.served import Served

VALUES: Final[tuple[Any, ...]] = (
    *(-1, 0, 2**31, 2**53, 2**63 - 36, 2**63, -(2**63) - 1, 2**64, 10**400, 0.5, -0.0, 1e-320, 1e308, -1e308),
    *(float("nan"), float("inf"), float("-inf"), True, False, None),
    *("", "7", "1e5", "true", "NaN", "x" * 200_000, "\ud800", "a\0b", "\u202eada", "a\nb", "%00", "٣"),
    *("../../etc/passwd", "/etc/passwd", "C:\\x", "A" * 64, "aB" * 32, "0" * 64, "f" * 63, f"{'f' * 64}.png"),
    *([], {}, [[]], [None], [1], [1e308] * 4, {"path": "/etc/passwd"}, {"a": "\ud800"}, {"": None}),
)
"""What stands in for a number, a name, a text, a hash, a path or a time."""
FEW: Final[tuple[Any, ...]] = (None, True, -1, 0.5, 2**63, 10**400, float("nan"), float("inf"), "", "\ud800", [], {})
"""The same for files with many keys."""
GIVEN: Final = {
    **{"annotator": "Ada", "reviewer": "Eve", "task": 1, "revision": 1, "first": "revision 1", "second": "revision 1"},
    **{"instruction": "the cat", "verdict": "skip", "objects": [], "content": {}, "picture": "x", "form": "coco"},
    **{"files": [], "run": "20260101-000000", "order": "imported", "key": "x"},
}
"""A value for each argument that has no default."""
BEYOND: Final = frozenset(
    {"start_training", "resume_training", "training_plan", "download_models", "download_size", "add_dataset"}
    | {"open_second_policy"}
)
"""Endpoints that would start a process, or use the network."""


def replaced(document: Any, values: tuple[Any, ...] = VALUES) -> Iterator[Any]:
    """Copies of a JSON document, in each of which one value, at any depth, is another."""
    places: list[tuple[Any, ...]] = [()]
    while places:
        place = places.pop()
        inner = document
        for part in place:
            inner = inner[part]
        if isinstance(inner, dict | list):
            places += [(*place, part) for part in (inner if isinstance(inner, dict) else range(len(inner)))]
        for value in values if place else ():
            made = copy.deepcopy(document)
            holder = made
            for part in place[:-1]:
                holder = holder[part]
            holder[place[-1]] = value
            yield made


def in_words(read: Callable[[], object]) -> None:
    """Whatever is read is accepted, or rejected with a printable sentence."""
    said = "nothing"
    try:
        read()
    except SegR1Error as error:
        said = str(error)
    assert 0 < len(said.encode()) < 2000


@pytest.mark.slow
def test_every_argument_of_every_endpoint(
    serve: Callable[..., Served], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    served = serve()
    named = served.page.get_api_info()["named_endpoints"]
    for endpoint, described in named.items():
        if endpoint.strip("/") in BEYOND:
            continue
        names = [each["parameter_name"] for each in described["parameters"]]
        usual = [GIVEN.get(each["parameter_name"], each["parameter_default"]) for each in described["parameters"]]
        for index, name in enumerate(names):
            for value in VALUES:
                sent = json.dumps({"data": [*usual[:index], value, *usual[index + 1 :]], "session_hash": "s"})
                headers = {"content-type": "application/json"}
                answer = WIRE.post(f"{served.url}gradio_api/run{endpoint}", content=sent, headers=headers)
                assert answer.status_code in (200, 422), (endpoint, name, value, answer.text)
                assert answer.json(), (endpoint, name, value)
    assert "Traceback" not in capfd.readouterr().err
    assert WIRE.get(f"{served.url}gradio_api/queue/status").status_code == 200
    assert_whole(served.store, tmp_path)


def assert_whole(store: AnnotationStore, folder: Path) -> None:
    """Everything that reads a whole store still works."""
    assert list(store.verify()) == []
    store.statistics()
    assert list(store.backup(folder / "copy")) == []
    for form in FORMATS:
        FORMATS[form](store, folder / "exports" / form)


def made_again(record: dict[str, Any]) -> dict[str, Any]:
    """A record with a digest that matches its content, as an attacker makes it; unchanged if that is impossible."""
    try:
        row = {**record, **{name: to_json(record[name]) for name in JSON_COLUMNS[record["table"]]}}
        if record["table"] == "ground_truths":
            return {**record, "content_hash": truth_hash(row["picture"], row["instruction"], row["mask"])}
        if record["table"] == "predictions":
            left_out = {"table", "at", "picture", "asked", "content_hash", "id", "task"}
            own = {name: value for name, value in row.items() if name not in left_out}
            return {**record, "content_hash": content_hash({**own, "picture": row["picture"]})}
        if record["table"] == "revisions":
            return {**record, "content_hash": revision_hash(row, row["picture"])}
    except (ValueError, TypeError, KeyError, AttributeError):
        return record
    return record


def hostile_lines(records: list[dict[str, Any]]) -> Iterator[bytes]:
    for record in records:
        for changed in replaced(record):
            yield json.dumps(changed).encode() + b"\n"
            yield json.dumps(made_again(changed)).encode() + b"\n"


@pytest.mark.slow
def test_every_value_of_a_synced_record(tmp_path: Path) -> None:
    remote = FolderRemote(tmp_path / "remote")
    with AnnotationStore.open(tmp_path / "first") as first:
        fill(first, 1)
        first.choose_current(1, 1, "Eve")
        Synchroniser(first, remote, tmp_path).sync()
    (file,) = (tmp_path / "remote" / "records").iterdir()
    whole = file.read_bytes()
    with (tmp_path / "remote" / "records" / "hostile.jsonl").open("wb") as hostile:
        hostile.writelines(hostile_lines([json.loads(line) for line in whole.splitlines()]))
    with AnnotationStore.open(tmp_path / "second") as second:
        fill(second, 2)
        synchroniser = Synchroniser(second, remote, tmp_path)
        with pytest.raises(StoreDamagedError, match="but no file of it"):
            synchroniser.sync()
        assert synchroniser.state.waiting == 0
        assert second.statistics().tasks >= 2
        assert_whole(second, tmp_path)


@pytest.mark.slow
def test_every_value_of_an_imported_record(tmp_path: Path) -> None:
    with AnnotationStore.open(tmp_path / "first") as first:
        fill(first, 1)
        first.choose_current(1, 1, "Eve")
        FORMATS["jsonl"](first, tmp_path / "export")
    file = tmp_path / "export" / "store.jsonl"
    whole = file.read_bytes()
    with file.open("ab") as hostile:
        hostile.writelines(hostile_lines([json.loads(line) for line in whole.splitlines()]))
    with AnnotationStore.open(tmp_path / "second") as second:
        reported = [each.message for each in import_paths(second, [tmp_path / "export"], "the cat") if each.message]
        assert len(reported) > 100
        assert max(map(len, reported)) < 2000
        assert_whole(second, tmp_path)


def test_every_value_of_a_people_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segr1_app.people.accounts.COST", 2)
    file = tmp_path / "people.json"
    People(file).put("Ada", Role.ADMIN, "correct horse battery")
    written = json.loads(file.read_text())
    names = [{name: written["Ada"]} for name in ("", "a\0b", "../../etc/passwd", "\ud800", "x" * 200_000)]
    for changed in (*replaced(written), *names):
        file.write_text(json.dumps(changed))
        people = People(file)
        in_words(lambda people=people: (people.accounts(), people.check("Ada", "correct horse battery")))


def test_every_value_of_a_protocol(tmp_path: Path) -> None:
    written = yaml.safe_load((FOLDER / "seg-r1.yaml").read_text())
    path = tmp_path / "protocol.yaml"
    for changed in replaced(written, FEW):
        path.write_text(json.dumps(changed))
        in_words(lambda: read_protocol(path))


def test_every_value_of_a_model_folder(tmp_path: Path) -> None:
    for file in DEFAULT_POLICY.glob("*.json"):
        written = json.loads(file.read_text())
        if file.stat().st_size > 20_000:
            continue
        for changed in replaced(written, FEW):
            (tmp_path / file.name).write_text(json.dumps(changed))
            in_words(lambda: (card := read_card(tmp_path)) and card.unknown_words("the cat"))
            in_words(lambda: read_bounds(tmp_path))
        (tmp_path / file.name).write_text(json.dumps(written))


def test_every_value_of_a_run_folder(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "20260101-000000"
    folder.mkdir(parents=True)
    written = json.loads(next((CORPUS / "run_files").glob("valid")).read_bytes().splitlines()[0])
    for changed in replaced(written):
        for file in (CONFIG, METRICS, BEFORE, RESULT, PROCESS):
            (folder / file).write_text(json.dumps(changed))
        trainings = Trainings(tmp_path)
        in_words(trainings.running)
        in_words(lambda trainings=trainings: trainings.read(folder.name))


@pytest.mark.parametrize("role", PROMOTED_FILES)
def test_every_value_of_what_was_promoted(tmp_path: Path, role: ModelRole) -> None:
    promote(tmp_path, role, "somewhere")
    (file,) = (each for each in tmp_path.iterdir() if each.suffix == ".json")
    written = json.loads(file.read_text())
    for changed in (*replaced(written), *VALUES):
        file.write_text(json.dumps(changed))
        in_words(lambda: promoted(tmp_path, role))
        in_words(lambda: go_back(tmp_path, role))


def test_every_value_of_a_segmenter_config(tmp_path: Path) -> None:
    written = yaml.safe_load((CORPUS / "segmenter_config" / "valid").read_text())
    for changed in replaced(written, FEW[::5]):
        (tmp_path / "config.yaml").write_text(json.dumps(changed))
        in_words(lambda: read_segmenter_config(tmp_path / "config.yaml"))
