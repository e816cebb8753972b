"""The list of classes: its rules, its command, and its way through imports and exports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from PIL import Image

from segr1_app.cli import main
from segr1_app.domain import ObjectPrompt, SegR1Error
from segr1_app.store import AnnotationStore, Task
from segr1_app.store.class_list import MAX_CLASSES
from segr1_app.store.classes import (
    AttributeKind,
    ClassAttribute,
    ClassListError,
    ObjectClass,
    class_value,
    read_class,
)
from segr1_app.store.exchange.formats import FORMATS
from segr1_app.store.exchange.importing import import_paths
from tests.store.values import corrected, picture, rectangle

CAT = ObjectClass("cat", colour="#12ab9f", key=1, parent="animal", description="Tame ones.")
SIZE = ClassAttribute("size", AttributeKind.CHOICE, ("small", "large"))


def named(*names: str) -> Any:
    masks = [rectangle(3 * place, 0, 3 * place + 3, 9) for place in range(len(names))]
    return corrected(*masks, prompts=[ObjectPrompt(name=name) for name in names])


def exported(store: AnnotationStore, form: str, out: Path) -> Path:
    FORMATS[form](store, out)
    return out


def test_a_class_keeps_its_number(store: AnnotationStore) -> None:
    store.add_class(replace(CAT, attributes=(SIZE,)))
    store.add_class(ObjectClass("dog"))
    store.edit_class("dog", ObjectClass("hound", key=9))
    assert store.classes() == [replace(CAT, number=1, attributes=(SIZE,)), ObjectClass("hound", 2, key=9)]
    store.remove_class("hound")
    store.add_class(ObjectClass("fox"))
    store.add_class(ObjectClass("hound"))
    # Off the list, a class keeps its number.
    assert [(each.name, each.number) for each in store.classes()] == [("cat", 1), ("hound", 2), ("fox", 3)]
    assert list(store.verify()) == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"name": ""}, "visible characters"),
        ({"name": " \u202e\t"}, "visible characters"),
        ({"name": "x" * 201}, "1 to 200"),
        ({"name": 7}, "visible characters"),
        ({"name": "x", "colour": "red"}, "#12ab9f"),
        ({"name": "x", "colour": "#12345\n"}, "#12ab9f"),
        ({"name": "x", "key": 0}, "digit from 1 to 9"),
        ({"name": "x", "key": True}, "digit from 1 to 9"),
        ({"name": "x", "key": "1"}, "digit from 1 to 9"),
        ({"name": "x", "number": 0}, "whole number from 1"),
        ({"name": "x", "number": 1e300}, "whole number from 1"),
        ({"name": "x", "parent": ["y"]}, "parent of 'x'"),
        ({"name": "x", "description": "y" * 1001}, "at most 1000"),
        ({"name": "x", "color": "#ffffff"}, "unknown field 'color'"),
        ({"name": "x", "attributes": "size"}, "must be a list"),
        ({"name": "x", "attributes": [{"name": "size", "kind": "choice"}]}, "needs choices"),
        ({"name": "x", "attributes": [{"name": "size", "kind": "colour"}]}, "choice or flag or number or text"),
        ({"name": "x", "attributes": [{"name": "s", "kind": "choice", "choices": ["a", "a"]}]}, "each of them once"),
        ({"name": "x", "attributes": [{"name": "s", "kind": "choice", "choices": [{}]}]}, "A choice of 's'"),
        ({"name": "x", "attributes": [{"name": "s", "kind": "flag"}] * 2}, "only once"),
        ({"name": "x", "attributes": [{"name": str(n), "kind": "flag"} for n in range(33)]}, "at most 32"),
        ({"name": "x", "attributes": [{"name": "instruction", "kind": "text"}]}, "instruction"),
        (["cat"], "must be a name"),
        (None, "must be a name"),
    ],
)
def test_what_a_class_cannot_be_is_refused(value: Any, said: str) -> None:
    with pytest.raises(ClassListError, match=said):
        read_class(value)


def test_names_keys_and_circles_are_refused(store: AnnotationStore) -> None:
    store.add_class(CAT)
    store.add_class(ObjectClass("animal", parent="thing"))
    for wrong, said in (
        (read_class("  cat\u200b "), "a class 'cat' already"),
        (ObjectClass("dog", key=1), "The key 1 is that of 'cat'"),
        (ObjectClass("thing", parent="cat"), "itself below 'thing'"),
        (ObjectClass("dog", number=1), "The number 1 is that of 'cat'"),
    ):
        with pytest.raises(ClassListError, match=said):
            store.add_class(wrong)
    with pytest.raises(ClassListError, match="itself below"):
        store.edit_class("animal", ObjectClass("animal", parent="cat"))
    with pytest.raises(ClassListError, match="parent of 'cat'"):
        store.remove_class("animal")
    assert [each.name for each in store.classes()] == ["cat", "animal"]


def test_a_class_in_use_is_not_renamed_or_removed_silently(store: AnnotationStore, task: Task) -> None:
    store.add_class(ObjectClass('a "cat"'))
    store.save(task.id, "ann", named('a "cat"'))
    with pytest.raises(ClassListError, match="objects in 1 task"):
        store.remove_class('a "cat"')
    with pytest.raises(ClassListError, match="another class"):
        store.edit_class('a "cat"', ObjectClass("cat"))
    store.remove_class('a "cat"', in_use=True)
    assert store.classes() == []


def test_the_list_has_an_end(store: AnnotationStore) -> None:
    problems = store.merge_classes(ObjectClass(f"class {n}") for n in range(MAX_CLASSES + 2))
    assert len(problems) == 2
    assert "no room for 'class 10001'" in problems[1]
    assert [each.key for each in store.classes()][:11] == [*range(1, 10), None, None]


def test_what_came_is_merged_with_what_was_entered(store: AnnotationStore) -> None:
    store.add_class(CAT)
    found = [
        ObjectClass("cat", number=7, colour="#000000", key=2, parent="pet", attributes=(SIZE,)),
        ObjectClass("dog", number=1, key=1, parent="dog"),
        ObjectClass("animal", number=7, parent="cat"),
    ]
    assert store.merge_classes(found) == []
    cat, dog, animal = store.classes()
    assert cat == replace(CAT, number=1, attributes=(SIZE,))
    # Its number and key are taken, and nothing is above itself.
    assert dog == ObjectClass("dog", 2, key=2)
    assert animal == ObjectClass("animal", 7, key=3)


def test_verify_names_a_class_that_another_program_wrote(store: AnnotationStore) -> None:
    store.add_class(CAT)
    store.add_class(ObjectClass("animal"))
    with store._connection.write() as db:
        db.execute("UPDATE classes SET parent = 'cat' WHERE name = 'animal'")
        db.execute("INSERT INTO classes (name, listed, colour) VALUES ('dog', 1, 'red')")
    assert [sentence.split(":")[0] for sentence in store.verify()] == [
        "Class 3 cannot be used",
        "Class 1 is among its own parents",
        "Class 2 is among its own parents",
    ]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_the_command_edits_the_list(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def classes(*arguments: str) -> int:
        return main(["classes", *arguments, "--home", str(home)])

    assert classes("add", "balloon", "--colour", "#FF0000", "--attribute", "size:choice:small,large") == 0
    assert classes("add", "basket", "--parent", "balloon", "--number", "12") == 0
    assert classes("edit", "basket", "--key", "9", "--rename", "gondola", "--parent", "") == 0
    assert classes("add", "rope", "--key", "9") == 1
    assert "The key 9 is that of 'gondola'" in capsys.readouterr().err
    assert classes("edit", "nothing", "--key", "1") == 1
    assert classes("add", "rope", "--attribute", "long") == 1
    assert "NAME:choice:ONE,ANOTHER" in capsys.readouterr().err
    assert classes("list") == 0
    assert capsys.readouterr().out.splitlines() == [
        "    1  1  #ff0000  balloon  size (small, large)",
        "   12  9  #400080  gondola",
    ]
    assert classes("list", "--json") == 0
    listed = tmp_path / "list.json"
    listed.write_text(capsys.readouterr().out)
    assert classes("remove", "gondola") == 0
    other = str(tmp_path / "other")
    assert main(["classes", "import", str(listed), "--home", other]) == 0
    with AnnotationStore.open(other) as store:
        assert [class_value(each) for each in store.classes()] == json.loads(listed.read_text())


@pytest.mark.parametrize(
    ("name", "text", "numbers"),
    [
        ("labels.txt", "cat\r\n\n dog \n", {"cat": 1, "dog": 2}),
        ("list.json", '{"classes": ["cat", {"name": "dog", "key": 3}]}', {"cat": 1, "dog": 2}),
        ("coco.json", '{"categories": [{"id": 18, "name": "dog", "supercategory": "animal"}]}', {"dog": 18}),
        ("data.yaml", "names: {0: cat, 4: dog}", {"cat": 1, "dog": 5}),
        ("list.yml", "- cat\n- name: dog\n", {"cat": 1, "dog": 2}),
    ],
)
def test_files_of_classes(home: Path, tmp_path: Path, name: str, text: str, numbers: dict[str, int]) -> None:
    (tmp_path / name).write_text(text)
    assert main(["classes", "import", str(tmp_path / name), "--home", str(home)]) == 0
    with AnnotationStore.open(home) as store:
        assert {each.name: each.number for each in store.classes()} == numbers


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("list.json", b'["cat", "cat"]', "class 2: 'cat' is there twice"),
        ("list.json", b'["cat"', "not valid JSON"),
        ("list.json", b"[" * 100_000, "not valid JSON"),
        ("list.json", b"7", "no list of classes"),
        ("list.json", b"[]", "must list 1 to 10000"),
        ("list.yaml", b"a: &a [x]\nb: *a\n", "aliases"),
        ("list.yaml", b"names: {0: [x]}", "class 1"),
        ("labels.txt", b"\xff\xfecat", "UTF-8"),
        ("labels.txt", b"x" * (4 * 2**20 + 1), "MiB"),
        ("labels.md", b"cat", "must end in"),
        ("missing.txt", None, "cannot be read"),
    ],
)
def test_bad_files_of_classes_change_nothing(  # noqa: PLR0917 - cases and fixtures
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["classes", "import", str(tmp_path / name), "--home", str(home)]) == 1
    assert said in capsys.readouterr().err
    assert not home.exists()


def coco(folder: Path, categories: list[dict[str, Any]]) -> Path:
    """A COCO data set of one picture, with a box of each category."""
    folder.mkdir()
    Image.fromarray(picture().pixels).save(folder / "a.png")
    boxes = [
        {"id": place, "image_id": 1, "category_id": each["id"], "bbox": [place, 1, 8, 9]}
        for place, each in enumerate(categories, start=1)
    ]
    images = [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}]
    (folder / "a.json").write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))
    return folder


def test_the_classes_of_coco_go_through_every_format(store: AnnotationStore, tmp_path: Path) -> None:
    given = [
        {"id": 18, "name": "dog", "supercategory": "animal", "color": [1, 2, 255]},
        {"id": 3, "name": "person", "supercategory": "person"},
        {"id": 9_000_000, "name": "kite", "supercategory": 7, "color": [1, 2, 256]},
        {"id": 5, "name": "x" * 201},
    ]
    outcomes = list(import_paths(store, [coco(tmp_path / "given", given)], "it"))
    assert any("a class is not added to the list" in each.message for each in outcomes)
    dog, person, kite = sorted(store.classes(), key=lambda each: each.number != 18)
    assert dog == ObjectClass("dog", 18, "#0102ff", key=1, parent="animal")
    assert (person, kite) == (ObjectClass("person", 3, key=2), ObjectClass("kite", 19, key=3))
    task = next(each for each in store.tasks() if "dog" in each.instruction)
    store.save(task.id, "ann", named("dog", "balloon"))

    for form in ("coco", "coco-panoptic"):
        (made,) = (exported(store, form, tmp_path / form) / "annotations").glob("*.json")
        content = json.loads(made.read_text())
        found = {each["name"]: each for each in content["categories"]}
        assert found["dog"]["id"] == 18
        assert found["dog"]["supercategory"] == "animal"
        assert found["dog"]["color"] == [1, 2, 255]
        # Names that are on no list get the next number, and keep it.
        assert {name: each["id"] for name, each in found.items()} == {"dog": 18, "person": 3, "kite": 19, "balloon": 20}
    names = yaml.safe_load((exported(store, "yolo", tmp_path / "yolo") / "data.yaml").read_text())["names"]
    assert list(names) == list(range(20))
    assert (names[17], names[2], names[0]) == ("dog", "person", "no class 1")
    cvat = ElementTree.parse(exported(store, "cvat", tmp_path / "cvat") / "annotations.xml")
    assert {each.findtext("name"): each.findtext("color") for each in cvat.iterfind("meta//label")}["dog"] == "#0102ff"
    labels = ElementTree.parse(exported(store, "label-studio", tmp_path / "ls") / "config.xml")
    assert {each.get("value"): each.get("background") for each in labels.iterfind("BrushLabels/Label")}[
        "dog"
    ] == "#0102ff"

    # Another data folder has the same numbers and colours afterwards, whichever format brings them.
    for form in ("coco", "coco-panoptic", "yolo"):
        with AnnotationStore.open(tmp_path / f"from {form}") as other:
            list(import_paths(other, [tmp_path / form], "it"))
            here = {each.name: each for each in other.classes()}
            assert {name: each.number for name, each in here.items()} == other.class_numbers()
            assert (here["dog"].number, here["person"].number, here["balloon"].number) == (18, 3, 20)
            assert here["dog"].colour == ("#0102ff" if form != "yolo" else None)
            assert "no class 1" not in here


def test_classes_and_attributes_of_cvat_are_taken(store: AnnotationStore, tmp_path: Path) -> None:
    Image.fromarray(picture().pixels).save(tmp_path / "a.png")
    attributes = "".join(
        f"<attribute><name>{name}</name><input_type>{kind}</input_type><values>{values}</values></attribute>"
        for name, kind, values in (
            ("size", "select", "small\nlarge"),
            ("occluded", "checkbox", "false"),
            ("count", "number", "0;9;1"),
            ("instruction", "text", ""),
            ("strange", "sound", ""),
        )
    )
    labels = f"<label><name>cat</name><color>#FA3253</color><attributes>{attributes}</attributes></label>"
    (tmp_path / "a.xml").write_text(
        f"<annotations><meta><task><labels>{labels}</labels></task></meta>"
        '<image id="0" name="a.png" width="40" height="30"><box label="cat" xtl="1" ytl="1" xbr="9" ybr="9"/></image>'
        "</annotations>"
    )
    list(import_paths(store, [tmp_path / "a.xml", tmp_path / "a.png"], "it"))
    assert store.classes() == [
        ObjectClass(
            "cat",
            1,
            "#fa3253",
            key=1,
            attributes=(
                SIZE,
                ClassAttribute("occluded", AttributeKind.FLAG),
                ClassAttribute("count", AttributeKind.NUMBER),
            ),
        )
    ]


def test_names_that_only_occur_are_listed_too(store: AnnotationStore, tmp_path: Path) -> None:
    Image.fromarray(picture().pixels).save(tmp_path / "a.png")
    shapes = [
        {"label": name, "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}
        for name in ("dog", "cat", "x" * 300)
    ]
    (tmp_path / "a.json").write_text(
        json.dumps({"shapes": shapes, "imagePath": "a.png", "imageHeight": 30, "imageWidth": 40})
    )
    for _ in range(2):
        list(import_paths(store, [tmp_path / "a.json", tmp_path / "a.png"], "it"))
    assert [(each.name, each.number, each.key) for each in store.classes()] == [("dog", 1, 1), ("cat", 2, 2)]


def test_voc_says_which_number_it_has_no_room_for(store: AnnotationStore, task: Task, tmp_path: Path) -> None:
    store.add_class(ObjectClass("cat", number=300))
    store.save(task.id, "ann", named("cat"))
    with pytest.raises(SegR1Error, match="'cat' has a higher one"):
        exported(store, "voc", tmp_path / "voc")


def test_a_backup_holds_the_list(store: AnnotationStore, tmp_path: Path) -> None:
    store.add_class(CAT)
    store.backup(tmp_path / "backup")
    with AnnotationStore.open(tmp_path / "backup") as copy:
        assert copy.classes() == store.classes()
