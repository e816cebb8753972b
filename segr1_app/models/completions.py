"""From a completion or from prompts to masks: the path shared by page, commands, reward and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from segr1_app.domain import ImageSize, Mask, ObjectMask, ObjectPrompt
from segr1_app.geometry import most_objects, union_masks
from segr1_app.images.pictures import Picture
from segr1_app.language.codec import ParsedCompletion
from segr1_app.language.protocol import Output, Request
from segr1_app.models.embeddings import Embedding
from segr1_app.models.segmenter import Segmenter


@dataclass(frozen=True, slots=True, eq=False)
class Segmented:
    """A parsed and segmented completion.

    Attributes:
        parsed: what was read, with prompts in pixels of the picture and without objects beyond the limit.
        masks: one per object, same order.
        mask: the union of ``masks``: bool (height, width), all False when there is no object.
    """

    parsed: ParsedCompletion
    masks: tuple[ObjectMask, ...]
    mask: Mask

    @property
    def objects(self) -> tuple[ObjectPrompt, ...]:
        return self.parsed.objects


def read_completion(request: Request, completion: str) -> ParsedCompletion:
    """Read a completion; of more objects than fit into the memory for masks, only the first are kept."""
    parsed = request.read(completion)
    most = most_objects(request.image_wh)
    left_out = len(parsed.objects) - most
    if left_out <= 0:
        return parsed
    problem = f"{left_out} objects are left out: a picture of this size can have at most {most} masks"
    return replace(parsed, objects=parsed.objects[:most], problems=(*parsed.problems, problem))


def segment_completion(
    request: Request,
    completion: str,
    picture: Picture,
    segmenter: Segmenter,
    *,
    embedding: Embedding | None = None,
    size: ImageSize | None = None,
) -> Segmented:
    """Read a completion and segment its prompts, as its protocol specifies.

    Args:
        request: the request to the policy.
        completion: what the policy wrote.
        picture: the picture of the request.
        segmenter: makes the masks.
        embedding: the picture's, for callers that have it, because the cache may have dropped it.
        size: width and height of the masks; by default those of the picture.

    Raises:
        ModelError: when the segmenter runs out of memory.
    """
    parsed = read_completion(request, completion)
    best = request.protocol.output is Output.BEST
    masks, union = segment_prompts(
        parsed.objects, picture, segmenter, embedding=embedding, best_of_three=best, size=size
    )
    return Segmented(parsed, masks, union)


def segment_prompts(
    objects: Sequence[ObjectPrompt],
    picture: Picture,
    segmenter: Segmenter,
    *,
    embedding: Embedding | None = None,
    best_of_three: bool = False,
    size: ImageSize | None = None,
) -> tuple[tuple[ObjectMask, ...], Mask]:
    """A mask per prompt, in order, and their union: bool (height, width), all False without prompts.

    Args:
        objects: the prompts, in the picture's pixels.
        picture, segmenter, embedding, size: as for `segment_completion`.
        best_of_three: see `Sam2Segmenter.decode`.

    Raises:
        ModelError: when the segmenter runs out of memory.
    """
    masks = segmenter.segment(picture, objects, embedding=embedding, best_of_three=best_of_three, size=size)
    return masks, union_masks((found.mask for found in masks), size or picture.size)
