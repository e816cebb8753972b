"""Pictures, tasks, ground truths and predictions."""

from __future__ import annotations

import numpy as np
import pytest

from segr1_app.domain import SegR1Error, StoreDamagedError, StoreError, UnknownRecordError
from segr1_app.store import AnnotationStore, SampledCompletion, Task
from tests.store.values import picture, prediction, rectangle


def test_a_picture_comes_back_pixel_for_pixel(store: AnnotationStore) -> None:
    made = picture(3)
    assert store.add_picture(made, "../../etc/passwd\x00<b>") == made.sha256
    assert np.array_equal(store.picture(made.sha256).pixels, made.pixels)
    info = store.picture_info(made.sha256)
    assert (info.name, info.size) == ("../../etc/passwd\x00<b>", (40, 30))
    assert store.picture_path(made.sha256).name == f"{made.sha256}.png"


def test_the_same_picture_is_kept_once_under_its_first_name(store: AnnotationStore) -> None:
    store.add_picture(picture(), "first.png")
    sha256 = store.add_picture(picture(), "second.png")
    assert store.picture_info(sha256).name == "first.png"
    assert len(list(store.picture_path(sha256).parent.iterdir())) == 1


def test_a_changed_picture_file_is_noticed(store: AnnotationStore, task: Task) -> None:
    other = store.add_picture(picture(1), "other.png")
    store.picture_path(task.sha256).write_bytes(store.picture_path(other).read_bytes())
    with pytest.raises(StoreDamagedError, match="not the one that was stored"):
        store.picture(task.sha256)


@pytest.mark.parametrize("digest", ["../segr1", "a" * 64, ""])
def test_what_is_not_there_is_an_unknown_record(store: AnnotationStore, digest: str) -> None:
    with pytest.raises(UnknownRecordError, match="There is no picture"):
        store.picture(digest)
    with pytest.raises(UnknownRecordError, match="There is no task 7 "):
        store.task(7)


def test_a_task_is_a_picture_and_an_instruction(store: AnnotationStore, task: Task) -> None:
    assert task.open
    assert task.picture_name == "photo.jpg"
    assert store.add_task(task.sha256, "  the \n cat ") == task
    second = store.add_task(task.sha256, "the dog")
    assert [found.id for found in store.tasks_of(task.sha256)] == [task.id, second.id]
    with pytest.raises(SegR1Error, match="instruction is empty"):
        store.add_task(task.sha256, " ")


def test_an_edited_instruction_leaves_ground_truth_and_prediction_behind(store: AnnotationStore, task: Task) -> None:
    truth = rectangle(0, 0, 9, 9)
    store.add_task(task.sha256, "the cat", truth)
    store.add_prediction(task.id, prediction(), "hash")
    edited = store.set_instruction(task.id, "the cat's tail")
    assert edited.instruction == "the cat's tail"
    assert edited.prediction_id is None
    assert store.ground_truth(task.sha256, edited.instruction) is None
    back = store.set_instruction(task.id, "the cat")
    found = store.ground_truth(task.sha256, back.instruction)
    assert found is not None
    assert np.array_equal(found, truth)


def test_an_instruction_cannot_become_another_tasks(store: AnnotationStore, task: Task) -> None:
    second = store.add_task(task.sha256, "the dog")
    with pytest.raises(StoreError, match="has a task with that instruction"):
        store.set_instruction(second.id, "the cat")


def test_a_ground_truth_of_another_size_is_refused_whole(store: AnnotationStore, task: Task) -> None:
    with pytest.raises(StoreError, match="40 x 30"):
        store.add_task(task.sha256, "the bird", np.zeros((40, 30), bool))
    assert len(store.tasks_of(task.sha256)) == 1


def test_a_prediction_comes_back_whole(store: AnnotationStore, task: Task) -> None:
    made = prediction()
    samples = [
        SampledCompletion("a", rectangle(0, 0, 10, 10), 1.5),
        SampledCompletion("b", rectangle(0, 0, 10, 20), 0.5),
    ]
    number = store.add_prediction(task.id, made, "c0ffee", samples)
    stored = store.prediction(number)
    assert stored.checkpoint_hash == "c0ffee"
    for name in ("objects", "completion", "reasoning", "problems", "policy_size", "policy_id", "seconds"):
        assert getattr(stored.prediction, name) == getattr(made, name)
    assert np.array_equal(stored.prediction.mask, made.mask)
    assert np.array_equal(stored.prediction.masks[0].mask, made.mask)
    assert stored.confidence == 0.9
    # IoU .5, rewards one apart.
    assert stored.disagreement == pytest.approx(0.5 + 0.5)
    assert store.samples(number)[1].reward == 0.5
    assert store.task(task.id).prediction_id == number


def test_a_prediction_for_former_words_does_not_become_the_tasks(store: AnnotationStore, task: Task) -> None:
    store.set_instruction(task.id, "the dog")
    store.add_prediction(task.id, prediction(), "hash")
    assert store.task(task.id).prediction_id is None


def test_half_a_character_does_not_lose_a_prediction(store: AnnotationStore, task: Task) -> None:
    made = prediction(instruction="the cat")
    object.__setattr__(made, "completion", "half \ud83d \x00 <script>")
    number = store.add_prediction(task.id, made, "hash")
    assert store.prediction(number).prediction.completion == "half ? \x00 <script>"
    assert list(store.verify()) == []


def test_tasks_are_listed_in_pages(store: AnnotationStore, task: Task) -> None:
    numbers = [task.id, *(store.add_task(task.sha256, f"thing {number}").id for number in range(600))]
    assert [found.id for found in store.tasks()] == numbers
    assert [found.id for found in store.tasks(after=numbers[-3], open_only=True)] == numbers[-2:]
