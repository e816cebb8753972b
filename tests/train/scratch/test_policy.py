"""The policy's training: the parts agree with the model's own processor, it learns and resumes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import Qwen2_5_VLProcessor

from segr1_app.domain import Box, ImageSize, ObjectPrompt, Point, SettingsError
from segr1_app.language.codec import Grammar, format_completion, parse_completion
from segr1_app.models.policy import VlmPolicy
from tests.scenes import ellipse_scene
from tests.train.scratch.test_segmenter import write_pairs
from train import embedded
from train.data.nouns import FEWEST, NOUNS_FILE, plural, split_of
from train.data.pairs import pack_pairs
from train.data.traces import COLOURS, WHICH, vocabulary
from train.scratch import policy
from train.scratch.policy import Phase, PolicyConfig, card_of, load_data, name_data, train_policy
from train.scratch.policy_batch import (
    EDGE,
    NO_COORDINATE,
    PADDING,
    PICTURE,
    BatchMaker,
    PolicyBatch,
    foreground_shares,
    nearest_objects,
    object_colours,
    object_places,
    patchify,
    pixel_values,
)
from train.scratch.policy_layout import pack_attention, token_positions
from train.scratch.policy_losses import PolicyInTraining, completion_loss, naming_loss, pointing_loss
from train.scratch.policy_model import (
    EMBEDDING,
    MAX_NUMBER,
    PolicyShape,
    build_model,
    build_processor,
    build_tokenizer,
    learn_words,
    ordinal_embeddings,
    token_id,
)
from train.scratch.policy_pictures import IGNORED, AugmentedPicture, PictureNames, PictureQuestion
from train.scratch.run import Rates, TrainingBudget, reduced_precision

TINY = PolicyShape(
    tokens=16, vision_width=48, vision_depth=2, vision_heads=2, text_width=48, text_depth=2, text_heads=2
)
PHASES = (Phase(0.4, 16, 0, 4), Phase(1.0, 16, 2, 4))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("discs") / "discs", 10)


@pytest.fixture
def config(data: Path, tmp_path: Path) -> PolicyConfig:
    """Six steps of a tiny policy, reporting after each."""
    return PolicyConfig(
        data=(data,),
        out=tmp_path / "run",
        cache=data.parent / "cache",
        budget=TrainingBudget(1, steps=6),
        rates=Rates(peak=3e-3, weight_decay=0.05, average=0.9),
        phases=PHASES,
        holdout=2,
        report_minutes=0,
        device="cpu",
        shape=TINY,
    )


@pytest.fixture(scope="module")
def processor() -> Qwen2_5_VLProcessor:
    return build_processor(build_tokenizer(vocabulary()), TINY)


def composing(data: Path, processor: Qwen2_5_VLProcessor) -> BatchMaker:
    """Draws pictures with further objects pasted into all that have room."""
    return BatchMaker(pack_pairs([data], 64, data.parent / "cache"), processor.tokenizer, TINY, composed=1.0)


def many_questions(maker: BatchMaker, pictures: int) -> PolicyBatch:
    """A batch with at least three questions about every picture, two of them answered."""
    chances = np.full(len(maker), 1 / len(maker))
    for seed in range(100):
        batch = maker.draw(chances, np.random.default_rng(seed), pictures=pictures, cells=16, traces=2)
        if all(len(row[row >= 0].unique()) > 2 for row in batch.questions):
            return batch
    raise AssertionError("no such batch in a hundred")


class TestTokenizer:
    @pytest.mark.parametrize(
        "text",
        [
            "<think> it is small. </think> <bbox>[1,22,333,7]</bbox>, <bbox>[0,0,9,9]</bbox>, "
            "<points>[[5,6],[7,8]]</points>, <labels>[1,0]</labels>",
            "<bbox>[1.5,2]</bbox><points>[]</points>",
            "<think>\nthe object\n</think>",
        ],
    )
    def test_known_text_comes_back_to_the_letter(self, processor: Qwen2_5_VLProcessor, text: str) -> None:
        tokenizer = processor.tokenizer
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text

    def test_a_number_is_one_token(self, processor: Qwen2_5_VLProcessor) -> None:
        tokenizer = processor.tokenizer
        assert len(tokenizer("[345,6]")["input_ids"]) == 5
        assert tokenizer("007")["input_ids"] == tokenizer("7")["input_ids"]

    def test_other_text_is_unknown_and_breaks_nothing(self, processor: Qwen2_5_VLProcessor) -> None:
        assert processor.tokenizer.unk_token_id in processor.tokenizer("zebras über alles 🦓")["input_ids"]

    def test_neighbouring_numbers_start_alike(self) -> None:
        vectors = torch.nn.functional.normalize(ordinal_embeddings(MAX_NUMBER + 1, 48), dim=1)
        likeness = vectors @ vectors.T
        assert (likeness.diagonal(1) > 0.9).all()
        assert (likeness.diagonal(1) > likeness.diagonal(20).mean()).all()

    def test_a_larger_vocabulary_keeps_what_was_learned_of_the_smaller(self) -> None:
        small, large = build_tokenizer(["it", "small"]), build_tokenizer(["apart", "it", "largest", "small"])
        trained, fresh = build_model(small, TINY), build_model(large, TINY).get_parameter(EMBEDDING).detach()
        learned = trained.get_parameter(EMBEDDING).detach().clone()
        learn_words(trained, small, large, fresh)
        now = trained.get_parameter(EMBEDDING)
        assert len(now) == len(large)
        for piece in (" it", "small", "400", "</think>"):
            assert torch.equal(now[token_id(large, piece)], learned[token_id(small, piece)])
        for piece in (" apart", "largest"):
            assert torch.equal(now[token_id(large, piece)], fresh[token_id(large, piece)])
        assert trained.lm_head.weight is now


class TestBatch:
    def test_patches_and_prompt_are_what_the_processor_makes(self, processor: Qwen2_5_VLProcessor, data: Path) -> None:
        picture, mask = ellipse_scene(112, 84, (0.5, 0.5), (0.3, 0.3))
        prompted = VlmPolicy(build_model(processor.tokenizer, TINY), processor, "tiny")
        assert prompted.frame(picture.size) == picture.size
        inputs = prompted.model_inputs(picture, "Segment the main object.")
        assert torch.allclose(pixel_values(patchify(picture.pixels, TINY.patch)), inputs["pixel_values"], atol=1e-5)
        maker = BatchMaker(pack_pairs([data], 64, data.parent / "cache"), processor.tokenizer, TINY)
        questions = tuple(
            PictureQuestion(text, mask) for text in ("segment the main object.", "segment the left object.")
        )
        row = maker.row(AugmentedPicture(picture.pixels, (mask,), questions, (0,)), 1, np.random.default_rng(0))
        answered, asked = row.texts
        assert [*row.picture, *answered.prompt] == inputs["input_ids"][0].tolist()
        assert answered.completion[-1] == processor.tokenizer.eos_token_id
        assert asked.completion == []
        assert row.tokens == [*row.picture, *answered.prompt, *answered.completion, *asked.prompt]

    def test_labels_are_the_completions_and_coordinates_are_marked(
        self, processor: Qwen2_5_VLProcessor, data: Path
    ) -> None:
        tokenizer = processor.tokenizer
        maker = composing(data, processor)
        batch = many_questions(maker, pictures=3)
        assert len(batch.tokens) == len(batch.grids) == 3
        assert batch.patches.shape == (int(batch.grids.prod(dim=1).sum()), 3, TINY.patch, TINY.patch)
        assert batch.shares.shape[0] * 4 == len(batch.patches)
        for row, questions in enumerate(batch.questions):
            numbers = [number for number in questions.unique().tolist() if number >= 0]
            assert len(numbers) > 2
            for place, number in enumerate(numbers):
                own = questions == number
                labels, limits = batch.labels[row, own], batch.limits[row, own]
                coordinates = limits != NO_COORDINATE
                text = tokenizer.decode(labels[labels != IGNORED][:-1])
                if place >= 2:
                    assert text == ""
                    continue
                box, points = text.split("<bbox>")[1:], text.split("<points>")[1]
                assert text.startswith("<think> ")
                # Every object has its own points.
                assert int(coordinates.sum()) == 4 * len(box) + 2 * (points.count("],[") + 1)
                _, rows, columns = batch.grids[row].tolist()
                assert limits[coordinates].tolist()[:4] == [columns * TINY.patch - EDGE, rows * TINY.patch - EDGE] * 2
                assert (labels[coordinates] - maker.numbers.start <= limits[coordinates]).all()

    def test_one_of_several_objects_is_asked_for(self, processor: Qwen2_5_VLProcessor, data: Path) -> None:
        composed = composing(data, processor)
        plain = BatchMaker(pack_pairs([data], 64, data.parent / "cache"), processor.tokenizer, TINY)
        samples = [composed.pictures.draw(i % len(composed), 16, np.random.default_rng(i)) for i in range(40)]
        assert any(len(sample.questions) > 2 for sample in samples)
        for sample in samples:
            first, *words = sample.questions
            assert (first.asked == sample.mask).all()
            for question in words:
                assert any(question.asked is part for part in sample.objects)
                assert question.asked.sum() < sample.mask.sum()
                assert "object" in question.instruction or "one" in question.instruction
        assert all(
            len(plain.pictures.draw(i % len(plain), 16, np.random.default_rng(i)).questions) == 1 for i in range(40)
        )

    def test_a_question_in_company_reads_as_it_would_alone(self, processor: Qwen2_5_VLProcessor, data: Path) -> None:
        batch = many_questions(composing(data, processor), pictures=2)
        model = PolicyInTraining(build_model(processor.tokenizer, TINY), TINY.text_width).eval()
        layout = token_positions(model.policy, batch)
        pictures = pixel_values(batch.patches).split(batch.grids.prod(dim=1).tolist())
        with torch.no_grad():
            found = model.states(model.features(batch, layout), batch, layout)[1]
            for row, questions in enumerate(batch.questions):
                for number in (one for one in questions.unique().tolist() if one >= 0):
                    alone = batch.tokens[row, (questions == PICTURE) | (questions == number)][None]
                    expected = model.policy.model(
                        input_ids=alone,
                        pixel_values=pictures[row],
                        image_grid_thw=batch.grids[row : row + 1],
                        mm_token_type_ids=(alone == model.policy.config.image_token_id).int(),
                    ).last_hidden_state[0]
                    own = found[row, questions == number]
                    assert torch.allclose(own, expected[-len(own) :], atol=1e-4)
        assert (batch.questions == PADDING).any(), "rows of one length would not show that padding is left out"

    def test_tokens_are_to_point_at_what_was_asked_for(self, processor: Qwen2_5_VLProcessor, data: Path) -> None:
        batch = many_questions(composing(data, processor), pictures=2)
        ends = batch.tokens[batch.pointing] == processor.tokenizer.eos_token_id
        assert int(ends.sum()) == len(batch.asked), "one token of each question, and a completion's before its end"
        assert torch.allclose(batch.asked.sum(dim=1), torch.ones(len(batch.asked)))
        perfect = batch.asked[batch.questions[batch.pointing]].clamp(min=1e-9).log()
        aside = perfect.roll(1, dims=1)
        assert pointing_loss(perfect, batch) < pointing_loss(aside, batch)

    def test_objects_tell_their_place_size_and_colour(self) -> None:
        pixels = np.full((56, 84, 3), 128, dtype=np.uint8)
        left, right = np.zeros((2, 56, 84), dtype=bool)
        left[:28, :28], right[40:54, 60:81] = True, True
        pixels[left], pixels[right] = (190, 40, 40), (60, 100, 180)
        places = object_places([left, right], 28)
        assert torch.allclose(places[0, [0, 1, 2, 3, 6]], torch.tensor([0.0, 0, 1, 1, 1]))
        assert torch.allclose(places[1, :4] * 28, torch.tensor([60.0, 40, 81, 54]))
        colours = object_colours(pixels, [left, right]).tolist()
        assert [list(COLOURS)[colour] for colour in colours] == ["red", "blue"]
        assert nearest_objects([left, right], 28).tolist() == [0, 0, 1, 0, 1, 1]

    def test_tokens_without_foreground_tell_no_colour(self, processor: Qwen2_5_VLProcessor, data: Path) -> None:
        batch = many_questions(composing(data, processor), pictures=2)
        assert ((batch.colours == IGNORED) == (batch.shares.sum(dim=1) == 0)).all()
        assert (batch.colours == IGNORED).any()

    def test_shares_are_the_foreground_of_each_part(self) -> None:
        mask = np.zeros((56, 84), dtype=bool)
        mask[28:, 56:] = True
        mask[0:2, 0:4] = True
        shares = foreground_shares(mask, 28)
        assert shares.shape == (6, 49)
        assert (shares[5] == 1).all()
        assert shares[0, 0] == pytest.approx(0.5)
        assert shares[1:5].sum() == 0


NOUNS = ("bell pepper", "lemon")


def naming(data: Path) -> BatchMaker:
    """Half of the discs are lemons, half are bell peppers."""
    pairs = pack_pairs([data], 64, data.parent / "cache")
    features = np.eye(4, dtype=np.float32)[np.arange(len(pairs)) % 4]
    names = PictureNames(NOUNS, np.arange(len(pairs)) % 2, features, np.arange(len(pairs)))
    return BatchMaker(pairs, build_tokenizer(vocabulary(NOUNS)), TINY, composed=1.0, names=names)


class TestNouns:
    def test_what_is_there_is_asked_for_by_name_and_so_is_what_is_not(self, data: Path) -> None:
        maker, absent, beside = naming(data), 0, 0
        for seed in range(60):
            sample = maker.pictures.draw(seed % len(maker), 16, np.random.default_rng(seed))
            nouns = [NOUNS[source % 2] for source in sample.sources]
            beside += len(sample.objects) == 2
            assert len(sample.sources) == len(sample.objects)
            for question in sample.questions[1:]:
                kind = any(f" {word}." in question.instruction for word in (question.noun, plural(question.noun)))
                if not question.asked.any():
                    absent += 1
                    assert question.noun not in nouns
                elif kind and not any(f" {word} " in question.instruction for word in (*WHICH, *COLOURS)):
                    meant = [part for part, noun in zip(sample.objects, nouns, strict=True) if noun == question.noun]
                    assert (question.asked == np.any(meant, axis=0)).all()
                else:
                    place = [part is question.asked for part in sample.objects].index(True)
                    assert nouns[place] == question.noun
        assert absent > 10
        assert beside > 10

    def test_all_of_it_is_in_the_vocabulary_and_nothing_is_there_in_five_tokens(self, data: Path) -> None:
        maker, said = naming(data), set()
        tokenizer = build_tokenizer(vocabulary(NOUNS))
        rng = np.random.default_rng(0)
        for seed in range(40):
            sample = maker.pictures.draw(seed % len(maker), 16, np.random.default_rng(seed))
            for question, text in zip(sample.questions, maker.row(sample, 9, rng).texts, strict=True):
                written = tokenizer.decode(text.completion[:-1])
                assert tokenizer.unk_token_id not in text.completion
                assert tokenizer.unk_token_id not in tokenizer(question.instruction)["input_ids"]
                height, width = sample.mask.shape
                parsed = parse_completion(written, (width, height))
                said.add(parsed.abstains)
                assert parsed.abstains == (not question.asked.any())
                if parsed.abstains:
                    assert parse_completion(written, (width, height), Grammar.ABSTENTION).well_formed
                    assert len(tokenizer(written.split("</think>")[1])["input_ids"]) <= 5
                if question.noun:
                    assert question.noun in written or plural(question.noun) in written
        assert said == {True, False}

    def test_tokens_tell_the_noun_and_the_features_of_their_object(self, data: Path) -> None:
        maker = naming(data)
        chances = np.full(len(maker), 1 / len(maker))
        batch = maker.draw(chances, np.random.default_rng(1), pictures=8, cells=16, traces=4)
        covered = batch.colours != IGNORED
        assert ((batch.nouns != IGNORED) == covered).all()
        assert (batch.nouns[covered] == batch.sources[covered] % 2).all()
        assert (batch.features.argmax(dim=1) == batch.sources % 4).all()
        sums = batch.asked.sum(dim=1)
        assert (torch.isclose(sums, torch.ones(())) | (sums == 0)).all()
        nothing = set((sums == 0).nonzero()[:, 0].tolist())
        assert nothing
        assert not nothing & set(batch.questions[batch.pointing].tolist()), "nothing can be pointed at"

    def test_what_is_known_lowers_the_loss(self, data: Path) -> None:
        maker = naming(data)
        chances = np.full(len(maker), 1 / len(maker))
        batch = maker.draw(chances, np.random.default_rng(1), pictures=4, cells=16, traces=0)
        covered = batch.colours != IGNORED
        true = torch.nn.functional.one_hot(batch.nouns.where(covered, 0), 2).float() * 9
        right, wrong = (naming_loss(nouns, batch.features, batch) for nouns in (true, -true))
        assert right < 0.01 < wrong
        assert naming_loss(true, -batch.features, batch) > right + 1.9
        unknown = dataclasses.replace(batch, nouns=torch.full_like(batch.nouns, IGNORED))
        assert naming_loss(true, batch.features[:, :0], unknown) == 0

    def test_pictures_that_are_kept_out_are_never_drawn_nor_pasted(self, config: PolicyConfig, tmp_path: Path) -> None:
        folder = write_pairs(tmp_path / "named", 40)
        rows = [f"{number:02},{NOUNS[number % 2]}" for number in range(40)]
        (folder / NOUNS_FILE).write_text("\n".join(["stem,noun", *rows]), encoding="utf-8")
        named = dataclasses.replace(config, data=(folder,), cache=tmp_path / "cache")
        loaded = load_data(named, 64)
        data, names = name_data(loaded, named)
        kept = {i for i, stem in enumerate(data.pairs.stems) if split_of(folder / "images" / f"{stem}.png") != "train"}
        assert len(kept) > FEWEST // 2
        assert not data.chances[sorted(kept)].any()
        assert not kept & set(names.trained.pasted)
        assert (names.trained.kinds[sorted(kept)] == IGNORED).all()
        assert set(names.tuned_on) < kept
        assert data.chances.sum() == pytest.approx(1)

    def test_a_policy_learns_nouns_from_data_that_has_some(self, config: PolicyConfig, tmp_path: Path) -> None:
        folder = write_pairs(tmp_path / "named", 40)
        rows = [f"{number:02},{('dog', 'lemon')[number % 2]}" for number in range(40)]
        (folder / NOUNS_FILE).write_text("\n".join(["stem,noun", *rows]), encoding="utf-8")
        named = dataclasses.replace(config, data=(folder,), cache=tmp_path / "cache", budget=TrainingBudget(1, steps=4))
        loaded = VlmPolicy.load(train_policy(named), device="cpu")
        curve = json.loads((named.out / "curve.json").read_text())
        assert 0 <= curve[-1]["named_by_tower"] <= 1
        assert loaded.card is not None
        assert loaded.card == card_of(["dog", "lemon"])
        assert loaded.card.unknown_words("Find the left puppy, please, and all the lemons.") == ()
        assert loaded.card.unknown_words("Segment the xylophone.") == ("xylophone",)
        assert "dog, lemon" in loaded.card.understands
        request = loaded.request(ImageSize(56, 56), "Segment all the Puppies.")
        assert "Segment all the dogs." in request.text


class TestLoss:
    def test_a_near_number_costs_less_than_a_far_one(self) -> None:
        numbers = slice(5, 5 + MAX_NUMBER + 1)
        labels = torch.tensor([[IGNORED, numbers.start + 40]])
        empty = torch.zeros(0)
        limits = torch.tensor([[NO_COORDINATE, 44]])
        batch = PolicyBatch(
            patches=empty,
            grids=empty,
            shares=empty,
            places=empty,
            colours=empty,
            nouns=empty,
            features=empty,
            sources=empty,
            tokens=labels,
            questions=labels,
            backwards=labels,
            labels=labels,
            limits=limits,
            asked=empty,
            pointing=empty,
        )

        def loss(value: int) -> float:
            logits = torch.zeros(1, numbers.stop + 20)
            logits[0, numbers.start + value] = 8.0
            return completion_loss(logits, batch, numbers).item()

        assert loss(40) < loss(42) < loss(44) < loss(45)
        assert loss(45) == pytest.approx(loss(60)), "the picture ends at 44"


class TestTraining:
    def test_it_writes_a_policy_that_loads_and_speaks(self, config: PolicyConfig) -> None:
        folder = train_policy(config)
        loaded = VlmPolicy.load(folder, device="cpu")
        assert loaded.card is not None
        assert "primary" in loaded.card.understands
        picture, _ = ellipse_scene(112, 84, (0.5, 0.5), (0.3, 0.3))
        assert len(loaded.sample(picture, loaded.card.instructions[0], 2)) == 2
        curve = json.loads((config.out / "curve.json").read_text())
        assert [point["steps"] for point in curve] == [1, 2, 3, 4, 5, 6]
        assert "box_iou" not in curve[0]
        assert {"vision_iou", "format_rate", "box_iou"} <= curve[-1].keys()

    @pytest.mark.slow
    def test_it_learns_discs(self, config: PolicyConfig) -> None:
        phases = (Phase(0.1, 16, 0, 8), Phase(1.0, 16, 4, 8))
        # One disc in a picture: several of one kind and words for one of them take more than these steps.
        alone = dataclasses.replace(
            config, composed=0, budget=TrainingBudget(1, steps=700), phases=phases, report_minutes=60
        )
        train_policy(alone)
        (point,) = json.loads((config.out / "curve.json").read_text())
        assert point["vision_iou"] > 0.5
        assert point["format_rate"] == 1
        assert point["box_iou"] > 0.3

    @pytest.mark.slow
    def test_a_resumed_run_equals_one_that_never_stopped(
        self, config: PolicyConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        train_policy(config)
        stopped = dataclasses.replace(config, out=config.out.with_name("stopped"))
        whole_step = policy.batch_loss

        def interrupted(*args: object, **options: bool) -> torch.Tensor:
            interrupted.steps += 1  # type: ignore[attr-defined]
            if interrupted.steps > 4:  # type: ignore[attr-defined]
                raise KeyboardInterrupt
            return whole_step(*args, **options)  # type: ignore[arg-type]

        interrupted.steps = 0  # type: ignore[attr-defined]
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
            patch.setattr(policy, "batch_loss", interrupted)
            train_policy(stopped)
        train_policy(stopped, resume=True)
        whole, resumed = (torch.load(c.out / "checkpoint.pt", weights_only=True) for c in (config, stopped))
        assert whole["step"] == resumed["step"] == 6
        for part in ("model", "averaged"):
            assert all(torch.equal(value, resumed[part][name]) for name, value in whole[part].items())

    @pytest.mark.slow
    def test_who_draws_the_batches_changes_nothing(self, config: PolicyConfig) -> None:
        train_policy(config)
        helped = dataclasses.replace(config, out=config.out.with_name("helped"), workers=2)
        train_policy(helped)
        alone, together = (torch.load(c.out / "checkpoint.pt", weights_only=True)["model"] for c in (config, helped))
        assert all(torch.equal(value, together[name]) for name, value in alone.items())

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="pictures attend together on a GPU alone")
    def test_pictures_that_attend_in_one_call_see_themselves_alone(
        self, processor: Qwen2_5_VLProcessor, data: Path
    ) -> None:
        batch, device = many_questions(composing(data, processor), pictures=3), torch.device("cuda")
        model = PolicyInTraining(build_model(processor.tokenizer, TINY), TINY.text_width).to(device)
        with torch.no_grad(), reduced_precision(device):
            apart = model.features(batch.to(device), token_positions(model.policy, batch).to(device))
            pack_attention(model.policy)
            together = model.features(batch.to(device), token_positions(model.policy, batch).to(device))
        assert torch.allclose(together, apart, atol=0.02, rtol=0.02)

    @pytest.mark.slow
    def test_a_start_goes_on_from_exported_weights(self, config: PolicyConfig) -> None:
        first = train_policy(config)
        still = Rates(peak=0, weight_decay=0.05, average=0.9)
        second = dataclasses.replace(
            config,
            out=config.out.with_name("second"),
            start=first,
            budget=TrainingBudget(1, steps=2),
            rates=still,
            seed=7,
        )
        again = train_policy(second)
        before, after = (load_file(folder / "model.safetensors") for folder in (first, again))
        assert before.keys() == after.keys()
        assert all(torch.equal(value, after[name]) for name, value in before.items())
        curve = json.loads((second.out / "curve.json").read_text())
        assert "box_iou" in curve[0], "the vision tower's own phase is not repeated"
        wider = dataclasses.replace(second, shape=dataclasses.replace(TINY, text_depth=3))
        with pytest.raises(SettingsError, match="another shape"):
            train_policy(wider)

    def test_what_is_missing_is_said(self, config: PolicyConfig, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SettingsError, match="no checkpoint"):
            train_policy(config, resume=True)
        with pytest.raises(SystemExit, match="1"):
            embedded.main(["--data", str(config.out / "absent"), "--out", str(config.out)])
        assert "absent" in capsys.readouterr().err


def test_the_canonical_completion_is_short_in_tokens(processor: Qwen2_5_VLProcessor) -> None:
    prompt = ObjectPrompt(Box(1, 2, 30, 40), (Point(5, 6, 1), Point(7, 8, 0)))
    text = format_completion("it is small.", (prompt,))
    assert len(processor.tokenizer(text)["input_ids"]) == 26
