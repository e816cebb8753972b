"""Rows come from every source, are split by picture, and are drawn as often as they should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segr1_app.domain import (
    Box,
    DatasetError,
    ImageSize,
    Mask,
    ObjectMask,
    ObjectPrompt,
    Point,
    Prediction,
    SettingsError,
)
from segr1_app.images.pictures import Picture, load_picture, picture_from_array
from segr1_app.store import AnnotatedObject, AnnotationStore, Correction, RejectReason, Verdict
from segr1_app.store.exchange.mask_export import export_masks
from train.data.feedback import feedback_rows
from train.data.layouts import LAYOUTS, find_pair_folder
from train.data.mixing import Mixing, describe_shares, draw_order
from train.data.prompting import oracle_prompt
from train.data.rows import (
    ONE_CORRECTED,
    Collected,
    Example,
    Row,
    pair_rows,
    photograph_rows,
    scene_rows,
    select_held_out,
    split,
)
from train.data.scenes import draw_scene


def write_pair(images: Path, masks: Path, stem: str, mask: Mask, seed: int = 0) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (*mask.shape, 3), dtype=np.uint8)
    for folder in (images, masks):
        folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(images / f"{stem}.png")
    Image.fromarray(mask.astype(np.uint8) * 255).save(masks / f"{stem}.png")


LEFT: Mask = np.arange(16)[None].repeat(12, 0) < 8


def row(number: int, *, feedback: bool = False, unedited: bool = False) -> Row:
    """A row that is never read."""

    def load() -> Example:
        raise AssertionError

    return Row(f"{number * 2654435761 % 2**32:08x}", "s", "v", "i", load, f"c{number}" if feedback else "", unedited)


def save(
    home: Path,
    picture: Picture,
    made: Mask | tuple[AnnotatedObject, ...] | None,
    verdict: Verdict,
    reason: RejectReason | None = None,
    *,
    predicted: bool = True,
    follows: bool = False,
) -> tuple[str, str]:
    """A correction of a prediction whose mask was the left half; returns its and the picture's hash.

    Args:
        home: the data folder.
        picture: what is annotated.
        made: the objects, or the mask of the only one.
        verdict, reason: the decision.
        predicted: whether there was a prediction.
        follows: whether the annotator decided the task before.
    """
    guess: Mask = np.zeros(picture.pixels.shape[:2], dtype=bool)
    guess[:, : guess.shape[1] // 2] = True
    size, prompt = ImageSize(*picture.size), oracle_prompt(guess)
    found = (ObjectMask(guess, 0.5),)
    prediction = Prediction(size, "the thing", "", size, None, (prompt,), (), False, found, guess)
    if isinstance(made, np.ndarray):
        made = (AnnotatedObject(oracle_prompt(made), made),) if made.any() else ()
    with AnnotationStore.open(home) as store:
        task = store.add_task(store.add_picture(picture, "x.png"), "the thing")
        stored = store.add_prediction(task.id, prediction, checkpoint_hash="h") if predicted else None
        before = store.heads(task.id)["ann"].id if follows else None
        correction = Correction(verdict, made or (), reason)
        revision = store.save(task.id, "ann", correction, prediction_id=stored, parent_id=before)
    return revision.content_hash, picture.sha256


class TestLayouts:
    @pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.name} {layout.images}")
    def test_every_layout_is_known_by_its_folders(self, tmp_path: Path, layout: object) -> None:
        assert isinstance(layout, type(LAYOUTS[0]))
        write_pair(tmp_path / "set" / layout.images, tmp_path / "set" / layout.masks, "a", LEFT)
        found = find_pair_folder(tmp_path / "set")
        assert (found.layout, found.kind, len(found.listing.pairs)) == (layout, layout.kind, 1)

    def test_the_test_part_of_a_benchmark_is_never_read(self, tmp_path: Path) -> None:
        for part, seed in (("Train", 0), ("Test", 1)):
            write_pair(tmp_path / part / "Image", tmp_path / part / "GT_Object", part, LEFT, seed)
        assert [pair.stem for pair in find_pair_folder(tmp_path).listing.pairs] == ["Train"]

    def test_the_kind_may_show_in_the_name(self, tmp_path: Path) -> None:
        write_pair(tmp_path / "camo_train" / "images", tmp_path / "camo_train" / "masks", "a", LEFT)
        assert find_pair_folder(tmp_path / "camo_train").kind == "camouflaged"

    def test_a_pair_may_have_its_own_instruction(self, tmp_path: Path) -> None:
        for stem, seed in (("a", 0), ("b", 1)):
            write_pair(tmp_path / "set" / "images", tmp_path / "set" / "masks", stem, LEFT, seed)
        file = tmp_path / "set" / "instructions.json"
        file.write_text('{"b": "Segment the left cup."}', encoding="utf-8")
        assert {row.instruction for row in pair_rows([tmp_path / "set"]).rows} == {
            "Segment the left cup.",
            "Identify and segment all the primary objects.",
        }
        for broken in ("{", '["Segment the left cup."]', '{"b": ""}', '{"b": 3}'):
            file.write_text(broken, encoding="utf-8")
            with pytest.raises(DatasetError, match=r"instructions\.json"):
                find_pair_folder(tmp_path / "set")

    def test_an_export_as_masks_is_trained_on_with_its_instructions(self, tmp_path: Path) -> None:
        asked = {"=the left cup", "Segment the right cup."}
        with AnnotationStore.open(tmp_path / "home") as store:
            for number, instruction in enumerate(sorted(asked)):
                scene = draw_scene("salient", number)
                task = store.add_task(store.add_picture(scene.picture, f"{number}.png"), instruction)
                made = (AnnotatedObject(oracle_prompt(scene.mask), scene.mask),)
                store.save(task.id, "ann", Correction(Verdict.FIX, made))
            export_masks(store, tmp_path / "out")
        assert {row.instruction for row in pair_rows([tmp_path / "out"]).rows} == asked
        for content, kept in (("stem,instruction\n0,", 0), ("a,b\n0,x\n", 0), ("stem,instruction\n0,x\n", 1)):
            (tmp_path / "out" / "index.csv").write_text(content, encoding="utf-8-sig")
            assert len(find_pair_folder(tmp_path / "out").instructions) == kept
        (tmp_path / "out" / "index.csv").write_bytes(b"stem,instruction\n\xff,x\n")
        with pytest.raises(DatasetError, match=r"index\.csv"):
            find_pair_folder(tmp_path / "out")

    def test_another_layout_is_an_error_that_names_the_known_ones(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="COD10K"):
            find_pair_folder(tmp_path)
        with pytest.raises(DatasetError, match="no folder"):
            find_pair_folder(tmp_path / "absent")


class TestRows:
    def test_pairs_become_rows_and_what_does_not_is_reported(self, tmp_path: Path) -> None:
        images, masks = tmp_path / "set" / "images", tmp_path / "set" / "masks"
        write_pair(images, masks, "a", LEFT)
        write_pair(images, masks, "empty", LEFT & ~LEFT, 1)
        (images / "lonely.png").write_bytes((images / "a.png").read_bytes())
        found = pair_rows([tmp_path / "set"])
        (only,) = found.rows
        example = only.load()
        assert (only.source, only.verdict, only.image_id) == ("set", "pair", example.picture.sha256)
        assert np.array_equal(example.truth.mask, LEFT)
        assert sorted(entry.reason for entry in found.left_out) == [
            "its mask is empty",
            "the file has no partner with the same name",
        ]

    def test_a_pair_that_cannot_be_used_is_named_and_not_the_end(self, tmp_path: Path) -> None:
        for number, stem in enumerate("abc"):
            write_pair(tmp_path / "images", tmp_path / "masks", stem, LEFT, number)
        Image.fromarray(LEFT[:, 1:].astype(np.uint8)).save(tmp_path / "masks" / "a.png")
        (tmp_path / "images" / "b.png").write_bytes(b"no picture")
        found = pair_rows([tmp_path])
        assert [row.name for row in found.rows] == ["c.png"]
        first, second = (entry.reason for entry in found.left_out)
        assert "15" in first
        assert "a.png" in first
        assert "b.png" in second

    def test_a_folder_that_is_given_twice_is_refused(self, tmp_path: Path) -> None:
        write_pair(tmp_path / "images", tmp_path / "masks", "a", LEFT)
        with pytest.raises(DatasetError, match="twice"):
            pair_rows([tmp_path, tmp_path / "images" / ".."])

    def test_scenes_are_rows_of_both_kinds(self) -> None:
        found = scene_rows(6).rows
        assert len({scene.image_id for scene in found}) == 6
        assert len({scene.instruction for scene in found}) == 2


class TestFeedback:
    def test_every_verdict_means_what_it_should(self, tmp_path: Path) -> None:
        scenes = [draw_scene("salient", seed) for seed in range(7)]
        hashes = {
            "fix": save(tmp_path, scenes[0].picture, scenes[0].mask, Verdict.FIX),
            "accept": save(tmp_path, scenes[1].picture, scenes[1].mask, Verdict.ACCEPT),
            "grounding": save(tmp_path, scenes[2].picture, None, Verdict.REJECT, RejectReason.GROUNDING),
            "no-object": save(tmp_path, scenes[3].picture, None, Verdict.REJECT, RejectReason.NO_OBJECT),
        }
        save(tmp_path, scenes[4].picture, None, Verdict.REJECT, RejectReason.SEGMENTER)
        save(tmp_path, scenes[5].picture, None, Verdict.REJECT, RejectReason.BAD_IMAGE)
        save(tmp_path, scenes[6].picture, scenes[6].mask & False, Verdict.ACCEPT)
        found = feedback_rows(tmp_path)
        assert {row.verdict: (row.content_hash, row.image_id) for row in found.rows} == hashes
        truths = {row.verdict: row.load().truth for row in found.rows}
        assert np.array_equal(truths["fix"].mask, scenes[0].mask)
        assert truths["fix"].prompts == (oracle_prompt(scenes[0].mask),)
        assert np.array_equal(truths["accept"].mask, scenes[1].mask)
        assert truths["grounding"].mask is None
        assert truths["grounding"].rejected is not None
        assert truths["grounding"].rejected[:, :10].all()
        assert truths["no-object"].absent
        assert sorted((entry.verdict, entry.reason) for entry in found.left_out) == [
            ("accept", "its mask is empty"),
            ("bad-image", "the picture is bad"),
            ("segmenter", "the segmenter is to blame, not the policy"),
        ]
        only = feedback_rows(tmp_path, {hashes["fix"][0]})
        assert [row.verdict for row in only.rows] == ["fix"]

    def test_what_the_store_blames_on_the_segmenter_is_left_out(self, tmp_path: Path) -> None:
        left, right = (np.zeros((40, 60), dtype=bool) for _ in range(2))
        left[5:30, 5:30], right[5:30, 30:50] = True, True
        box, hashes = Box(5, 5, 50, 30), []
        for count in (2, 3):
            points = tuple(Point(20 + n, 15, 1) for n in range(count))
            # Half of it had to be painted: three points and a box should have been enough for the segmenter.
            made = (AnnotatedObject(ObjectPrompt(box, points), left, painted=right),)
            picture = picture_from_array(np.full((40, 60, 3), count, np.uint8))
            hashes.append(save(tmp_path, picture, made, Verdict.FIX)[0])
        found = feedback_rows(tmp_path)
        assert [row.content_hash for row in found.rows] == hashes[:1]
        assert [entry.reason for entry in found.left_out] == ["the segmenter is to blame, not the policy"]

    def test_what_says_nothing_is_left_out(self, tmp_path: Path) -> None:
        pictures = [draw_scene("salient", seed).picture for seed in range(2)]
        save(tmp_path, pictures[0], None, Verdict.SKIP)
        save(tmp_path, pictures[1], None, Verdict.REJECT, RejectReason.GROUNDING, predicted=False)
        found = feedback_rows(tmp_path)
        assert found.rows == ()
        # A task that was skipped is not decided yet.
        assert [entry.reason for entry in found.left_out] == ["there is no rejected mask"]

    def test_objects_that_an_annotator_told_apart_stay_apart(self, tmp_path: Path) -> None:
        left, right = (np.zeros((40, 60), dtype=bool) for _ in range(2))
        left[5:30, 5:20], right[5:30, 35:50] = True, True
        erased = right & (np.arange(60) < 40)
        made = (
            AnnotatedObject(oracle_prompt(left), left),
            AnnotatedObject(oracle_prompt(right), right, erased=erased),
            AnnotatedObject(ObjectPrompt(), left & False),
        )
        save(tmp_path, picture_from_array(np.zeros((40, 60, 3), np.uint8)), made, Verdict.FIX)
        (only,) = feedback_rows(tmp_path).rows
        truth = only.load().truth
        assert len(truth.objects) == 2
        assert all(map(np.array_equal, truth.objects, (left, right & ~erased)))
        assert np.array_equal(truth.mask, left | right & ~erased)

    def test_a_training_keeps_to_the_corrections_it_began_with(self, tmp_path: Path) -> None:
        first, second = (draw_scene("salient", seed) for seed in range(2))
        began = save(tmp_path, first.picture, first.mask, Verdict.FIX)[0]
        plan = feedback_rows(tmp_path)
        save(tmp_path, second.picture, second.mask, Verdict.FIX)
        newer = save(tmp_path, first.picture, None, Verdict.REJECT, RejectReason.BAD_IMAGE, follows=True)[0]
        assert newer != began
        assert [row.image_id for row in feedback_rows(tmp_path).rows] == [second.picture.sha256]
        again = feedback_rows(tmp_path, {began})
        assert split(scene_rows(3) + again, 0.3).fingerprint == split(scene_rows(3) + plan, 0.3).fingerprint
        assert np.array_equal(again.rows[0].load().truth.mask, first.mask)
        assert feedback_rows(tmp_path, set()) == Collected()

    def test_an_empty_data_folder_has_none(self, tmp_path: Path) -> None:
        assert feedback_rows(tmp_path / "new") == Collected()


class TestSplit:
    @given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=2), st.floats(0.01, 0.9))
    def test_no_picture_is_on_both_sides(self, entries: list[tuple[int, bool]], share: float) -> None:
        rows = tuple(row(number, feedback=feedback) for number, feedback in entries)
        pictures = {row.image_id for row in rows if not row.is_feedback}
        others = {row.image_id for row in rows if row.is_feedback}
        if len(pictures) < 2 or pictures & others:
            return
        plan = split(Collected(rows), share)
        assert sorted(map(id, plan.train + plan.held_out)) == sorted(map(id, rows))
        assert not {row.image_id for row in plan.train} & {row.image_id for row in plan.held_out}
        for feedback, of_kind in ((False, pictures), (True, others)):
            sides = [any(row.is_feedback is feedback for row in side) for side in (plan.train, plan.held_out)]
            assert sides == [bool(of_kind), len(of_kind) > 1]

    def test_a_corrected_picture_is_held_out_as_a_pair_too(self) -> None:
        pairs, corrections = [row(n) for n in range(30)], [row(n, feedback=True) for n in range(30)]
        plan = split(Collected((*pairs, *corrections)), 0.3)
        assert {r.image_id for r in plan.held_out if r.is_feedback} == {r.image_id for r in plan.held_out}

    def test_a_pair_is_known_again_when_its_picture_is_corrected(self, tmp_path: Path) -> None:
        write_pair(tmp_path / "set" / "images", tmp_path / "set" / "masks", "a", LEFT)
        save(tmp_path / "home", load_picture(tmp_path / "set" / "images" / "a.png"), LEFT, Verdict.FIX)
        pair, correction = (pair_rows([tmp_path / "set"]) + feedback_rows(tmp_path / "home")).rows
        assert pair.image_id == correction.image_id

    def test_what_is_held_out_stays_held_out_while_data_grow(self) -> None:
        few, many = (split(Collected(tuple(map(row, range(count)))), 0.2) for count in (100, 200))
        known = {r.image_id for r in few.train + few.held_out}
        assert {r.image_id for r in few.held_out} == {r.image_id for r in many.held_out} & known

    def test_corrections_alone_are_refused(self) -> None:
        with pytest.raises(DatasetError, match="forget"):
            split(Collected(tuple(row(n, feedback=True) for n in range(5))), 0.2)

    def test_the_table_counts_and_explains(self, tmp_path: Path) -> None:
        scene = draw_scene("salient", 0)
        save(tmp_path, scene.picture, None, Verdict.REJECT, RejectReason.BAD_IMAGE)
        table = split(scene_rows(10) + feedback_rows(tmp_path), 0.1).table()
        assert "left out: 1 x feedback, bad-image: the picture is bad" in table
        assert table.splitlines()[-2].split()[0] == "all"
        assert sum(map(int, table.splitlines()[-2].split()[1:])) == 11

    @pytest.mark.parametrize(("corrected", "warned"), [(0, False), (1, True), (2, False)])
    def test_a_single_corrected_picture_is_not_held_out_and_the_table_says_so(
        self, corrected: int, *, warned: bool
    ) -> None:
        corrections = tuple(row(100 + number, feedback=True) for number in range(corrected))
        plan = split(Collected(tuple(map(row, range(9))) + corrections), 0.2)
        assert any(r.is_feedback for r in plan.train) is bool(corrected)
        assert (ONE_CORRECTED in plan.table()) is warned

    def test_scored_rows_are_shared_among_sources(self) -> None:
        chosen = select_held_out([row(n) for n in range(50)] + [row(n, feedback=True) for n in range(3)], 10)
        assert Counter(r.is_feedback for r in chosen) == {False: 10, True: 3}

    def test_what_is_asked_twice_of_one_picture_is_scored_once(self) -> None:
        rows = [row(1), row(1), row(1, feedback=True), replace(row(1), instruction="another")]
        assert len(select_held_out(rows, 10)) == 3

    def test_photographs_are_those_that_nobody_plans_with(self) -> None:
        plan = split(Collected(tuple(map(row, range(9)))), 0.2)
        photographs = photograph_rows(plan, 3)
        assert [r.load().truth.mask for r in photographs] == [None] * 3
        known = split(Collected((*plan.train, replace(photographs[0], source="mine"))), 0.2)
        assert [r.image_id for r in photograph_rows(known, 2)] == [r.image_id for r in photographs[1:]]


class TestMixing:
    def draws(self, rows: Sequence[Row], length: int, mixing: Mixing) -> Counter[int]:
        return Counter(draw_order(rows, length, mixing, seed=0))

    def test_the_fraction_is_met_and_spread_evenly(self) -> None:
        rows = [row(n) for n in range(50)] + [row(n, feedback=True) for n in range(50)]
        order = draw_order(rows, 100, Mixing(0.4), seed=0)
        corrections = [index >= 50 for index in order]
        assert sum(corrections) == 40
        assert {sum(corrections[start : start + 5]) for start in range(0, 100, 5)} == {2}
        assert order == draw_order(rows, 100, Mixing(0.4), seed=0)
        assert order != draw_order(rows, 100, Mixing(0.4), seed=1)

    def test_the_plan_tells_the_true_share_of_corrections_and_what_caps_it(self) -> None:
        rows = [row(number, feedback=number < 5) for number in range(20)]
        described = describe_shares(rows, 100, Mixing(feedback_fraction=0.4, max_repeats=4), 0)
        assert described.startswith("100 draws, 20 of them corrections (20%): 5 corrections, each up to 4 times.")
        assert "40% was requested, but mixing.max_repeats = 4 allows no more" in described
        assert "allows" not in describe_shares(rows, 100, Mixing(feedback_fraction=0.4, max_repeats=8), 0)
        assert describe_shares(rows[5:], 30, Mixing(), 0) == "30 draws of 15 rows, 2.0 of each."

    def test_a_correction_is_drawn_no_more_often_than_it_may(self) -> None:
        rows = [row(n) for n in range(5)] + [row(5, feedback=True), row(6, feedback=True, unedited=True)]
        counts = self.draws(rows, 100, Mixing(0.4, max_repeats=4))
        assert (counts[5], counts[6]) == (4, 2)
        assert all(counts[pair] in (18, 19) for pair in range(5))

    def test_without_corrections_there_are_pairs_only(self) -> None:
        assert self.draws([row(n) for n in range(4)], 8, Mixing()) == {0: 2, 1: 2, 2: 2, 3: 2}

    @pytest.mark.parametrize("wrong", [{"feedback_fraction": 1.0}, {"feedback_fraction": -0.1}, {"max_repeats": 0}])
    def test_original_pairs_always_stay_in(self, wrong: dict[str, float]) -> None:
        with pytest.raises(SettingsError):
            Mixing(**wrong)  # type: ignore[arg-type]
