"""The losses of a small policy: of its vision tower, of its completions, and of where it points.

Numbers are ordinal: a coordinate's target is a Gaussian over neighbouring numbers, because plain cross-entropy
penalises 41 instead of 40 as much as 400. To find one of several objects, a policy first has to attend to it: halfway
through the language model, every token of an answer has to point at the cells of the target.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cosine_similarity,
    cross_entropy,
    log_softmax,
    smooth_l1_loss,
)
from transformers import Qwen2_5_VLForConditionalGeneration

from train.data.traces import COLOURS
from train.scratch.policy_batch import NO_COORDINATE, PICTURE, SUB_CELLS, PolicyBatch, pixel_values
from train.scratch.policy_layout import TokenPositions
from train.scratch.policy_model import MAX_NUMBER
from train.scratch.policy_pictures import IGNORED

NUMBER_SIGMA = 4.0
"""Standard deviation in pixels of the target over neighbouring numbers."""
COORDINATE_WEIGHT = 2.0
"""Loss weight of a coordinate relative to a word."""
PLACES, PLACE_WEIGHT = 7, 0.3
"""Number of values for an object's position and size, and the loss weight of their error in cells."""
COLOUR_WEIGHT = 0.2
"""Loss weight of the cross-entropy of an object's colour name."""
NOUN_WEIGHT, FEATURES_WEIGHT = 0.5, 1.0
"""Loss weights of the cross-entropy of an object's noun, and of the angle between what the tower and a classifier see
in it (1 - cosine).
"""
POINTING_LAYER, POINTING_WEIGHT = 2, 0.5
"""The layer of the language model after which tokens point at the target, and the weight of that loss."""


class PolicyInTraining(nn.Module):
    """The policy, with modules that are used only in training.

    These are a head for its vision tower, and the projection for pointing: a token points where its dot product with
    the vision tokens is large.
    """

    def __init__(
        self, policy: Qwen2_5_VLForConditionalGeneration, text_width: int, nouns: int = 0, features: int = 0
    ) -> None:
        super().__init__()
        self.policy = policy
        self.parts = [SUB_CELLS**2, PLACES, len(COLOURS), nouns, features]
        self.head = nn.Linear(text_width, sum(self.parts))
        self.pointer = nn.Linear(text_width, text_width, bias=False)

    def features(self, batch: PolicyBatch, layout: TokenPositions) -> Tensor:
        """The concatenated vision tokens of all pictures: float (T, text width)."""
        values = pixel_values(batch.patches)
        features: Tensor = self.policy.model.visual(values, grid_thw=batch.grids, **layout.vision).pooler_output
        return features

    def states(self, features: Tensor, batch: PolicyBatch, layout: TokenPositions) -> tuple[Tensor, Tensor]:
        """The language model's states of every token, after layer `POINTING_LAYER` and at its end.

        Args:
            features: float (T, text width), as for `features`.
            batch: a batch with texts.
            layout: the batch's layout.

        Returns:
            Two tensors, each float (B, L, text width).
        """
        model = self.policy.model
        images = batch.tokens == self.policy.config.image_token_id
        embeds = model.get_input_embeddings()(batch.tokens)
        embeds = embeds.masked_scatter(images[..., None], features.to(embeds.dtype))
        found = model.language_model(
            inputs_embeds=embeds,
            position_ids=layout.text,
            attention_mask={"full_attention": visible(batch.questions)},
            use_cache=False,
            output_hidden_states=True,
        )
        return found.hidden_states[POINTING_LAYER], found.last_hidden_state

    def logits(self, final: Tensor, batch: PolicyBatch) -> Tensor:
        """The logits of every completion token, in order: float (tokens, vocabulary)."""
        # A token's logits are at the previous position.
        logits: Tensor = self.policy.lm_head(final[:, :-1][batch.labels[:, 1:] != IGNORED])
        return logits

    def pointed(self, features: Tensor, middle: Tensor, batch: PolicyBatch) -> Tensor:
        """How much every pointing token points at each cell of its picture.

        Returns:
            Float (pointing tokens, most cells of a picture), log-probabilities; -inf beyond a picture's cells.
        """
        counts, pictures = cell_counts(batch)
        cells = torch.arange(len(features), device=features.device) - (counts.cumsum(dim=0) - counts)[pictures]
        keys = features.new_zeros(len(counts), batch.asked.shape[1], features.shape[1])
        keys = keys.index_put((pictures, cells), features)
        rows = batch.pointing.nonzero()[:, 0]
        products = torch.einsum("td,tcd->tc", self.pointer(middle[batch.pointing]), keys[rows]).float()
        beyond = torch.arange(keys.shape[1], device=keys.device) >= counts[rows, None]
        return log_softmax((products / math.sqrt(keys.shape[2])).masked_fill(beyond, -math.inf), dim=1)


def visible(questions: Tensor) -> Tensor:
    """The attention mask: a token sees earlier tokens of its own question and of the picture.

    Args:
        questions: int64 (B, L), as for `PolicyBatch`.

    Returns:
        Bool (B, 1, L, L), True where the row's token sees the column's.
    """
    length = questions.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=questions.device).tril()
    related = (questions[:, :, None] == questions[:, None, :]) | (questions == PICTURE)[:, None, :]
    return (before & related)[:, None]


def cell_counts(batch: PolicyBatch) -> tuple[Tensor, Tensor]:
    """How many vision tokens each picture has, int64 (B,), and the picture of each token, int64 (T,)."""
    counts = batch.grids.prod(dim=1) // 4
    return counts, torch.repeat_interleave(counts, output_size=len(batch.shares))


def batch_loss(model: PolicyInTraining, batch: PolicyBatch, layout: TokenPositions, numbers: slice) -> Tensor:
    """The vision tower's loss, plus the completions' and that of pointing when the batch has texts."""
    features = model.features(batch, layout)
    loss = vision_loss(model.head(features).float().split(model.parts, dim=1), batch)
    if not len(batch.tokens):
        return loss
    middle, final = model.states(features, batch, layout)
    pointing = pointing_loss(model.pointed(features, middle, batch), batch)
    return loss + completion_loss(model.logits(final, batch), batch, numbers) + POINTING_WEIGHT * pointing


def pointing_loss(pointed: Tensor, batch: PolicyBatch) -> Tensor:
    """Cross-entropy between where tokens point and where the target is, averaged over questions.

    Args:
        pointed: float (pointing tokens, cells), as for `PolicyInTraining.pointed`.
        batch: the batch from which it was computed.
    """
    question = batch.questions[batch.pointing]
    wanted = batch.asked[question]
    losses = -(wanted * pointed.masked_fill(wanted == 0, 0)).sum(dim=1)
    return (
        torch.zeros(len(batch.asked), device=losses.device)
        .scatter_reduce(0, question, losses, "mean", include_self=False)
        .mean()
    )


def vision_loss(outputs: Sequence[Tensor], batch: PolicyBatch) -> Tensor:
    """Cross-entropy plus Dice (per picture) of the foreground fractions, plus the errors of positions, colours, nouns
    and of what a classifier sees.

    Args:
        outputs: the head's output for every vision token, by `PolicyInTraining.parts`: float (T, SUB_CELLS ** 2),
            (T, PLACES), (T, colours), (T, nouns) and (T, features).
        batch: the targets.
    """
    logits, places, colours, nouns, features = outputs
    entropy = binary_cross_entropy_with_logits(logits, batch.shares)
    counts, pictures = cell_counts(batch)

    def per_picture(values: Tensor) -> Tensor:
        return values.new_zeros(len(counts)).index_add(0, pictures, values.sum(dim=1))

    found, true = logits.sigmoid(), batch.shares
    overlaps = 1 - (2 * per_picture(found * true) + 1) / (per_picture(found) + per_picture(true) + 1)
    return (
        entropy
        + overlaps.mean()
        + PLACE_WEIGHT * smooth_l1_loss(places, batch.places, beta=0.25)
        + COLOUR_WEIGHT * cross_entropy(colours, batch.colours, ignore_index=IGNORED)
        + naming_loss(nouns, features, batch)
    )


def naming_loss(nouns: Tensor, features: Tensor, batch: PolicyBatch) -> Tensor:
    """The error of what the objects under the tokens are, as for `vision_loss`; 0 where nothing of it is known."""
    loss = nouns.new_zeros(())
    named = batch.nouns != IGNORED
    if named.any():
        loss = NOUN_WEIGHT * cross_entropy(nouns[named], batch.nouns[named])
    if features.shape[1]:
        covered = batch.colours != IGNORED
        likeness = cosine_similarity(features[covered], batch.features[covered], dim=1)
        loss = loss + FEATURES_WEIGHT * (1 - likeness).mean()
    return loss


def completion_loss(logits: Tensor, batch: PolicyBatch, numbers: slice) -> Tensor:
    """Cross-entropy of the completions' tokens, coordinates against a Gaussian over the numbers around the true one.

    The Gaussian ends where the picture does: a number beyond its width or height is penalised like a word.
    """
    wanted = batch.labels[:, 1:] != IGNORED
    labels, limits = batch.labels[:, 1:][wanted], batch.limits[:, 1:][wanted]
    coordinates = limits != NO_COORDINATE
    chances = log_softmax(logits.float(), dim=-1)
    words = -chances[~coordinates].gather(1, labels[~coordinates, None])
    values = torch.arange(MAX_NUMBER + 1, device=labels.device)
    distance = values - (labels[coordinates, None] - numbers.start)
    closeness = (-0.5 * (distance / NUMBER_SIGMA) ** 2).masked_fill(values > limits[coordinates, None], -math.inf)
    target = torch.softmax(closeness, dim=-1)
    places = -(target * chances[coordinates, numbers]).sum(dim=-1)
    weight = len(words) + COORDINATE_WEIGHT * len(places)
    return (words.sum() + COORDINATE_WEIGHT * places.sum()) / weight
