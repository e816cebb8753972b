"""What the handlers answer, as types: checked by mypy here, and by tsc in the page.

``static/shared/contracts.d.ts`` is generated from this module (``python -m tests.docs --write``). The text beside an
``Annotated`` type is the type that the page has for the same value. Masks are COCO run-length encodings, coordinates
are pixels of the original picture, and times are Unix seconds.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypeAlias, TypedDict

Canvas: TypeAlias = Annotated[dict[str, Any], 'import("../canvas/view.js").Value']
"""A picture with prompts and masks; made by `segr1_app.ui.views.canvas_value`."""
VerdictName: TypeAlias = Annotated[str, 'import("./formatting.js").Verdict']
MaskRle: TypeAlias = Annotated[Any, 'import("../canvas/types.js").Rle']
ShownPrompt: TypeAlias = Annotated[
    Any, '{box: import("../canvas/types.js").Box | null, points: import("../canvas/types.js").Point[], name?: string}'
]
"""A prompt in the shape of `segr1_app.prompt_json`."""
Names: TypeAlias = Annotated[list[str], "[string, string]"]


class Progress(TypedDict):
    """How many tasks are done; ``own`` by the person who asks."""

    tasks: int
    open: int
    done: int
    own: int
    clicks: int
    seconds: float
    verdicts: dict[str, int]


class SavedWork(TypedDict):
    """The current revision of a task, to continue from."""

    revision: int
    verdict: VerdictName
    comment: str
    objects: Annotated[list[dict[str, Any]], "object[]"]


class LeasedTask(TypedDict):
    """A task that the annotator holds, with what the page shows of it.

    ``prediction`` is the number of the prediction, ``parent`` that of the annotator's own newest revision.
    """

    task: int
    canvas: Canvas
    instruction: str
    picture_name: str
    reasoning: str
    prediction: int | None
    parent: int | None
    draft: Annotated[Any, 'import("../annotate/annotate.js").Draft | null']
    decided: bool
    saved: SavedWork | None
    notice: NotRequired[str]
    progress: Progress


class NoTask(TypedDict):
    """Nothing is left to do."""

    task: None
    progress: Progress


class Decision(TypedDict):
    """A decision that was stored, as the revision of this number."""

    revision: int
    verdict: VerdictName
    progress: Progress


class Stale(TypedDict):
    """Nothing was stored: the annotator has a newer revision, of this number."""

    stale: int
    message: str


class DraftState(TypedDict):
    """Whether a draft is stored, and whether the task is still held."""

    kept: bool
    held: NotRequired[bool]


class DecidedTask(TypedDict):
    """A row of the list of decided tasks; ``agreement`` is the mean pairwise IoU of its annotators."""

    task: int
    instruction: str
    picture_name: str
    revision: int
    annotator: str
    verdict: VerdictName
    saved_at: float
    people: int
    agreement: float | None


class DecidedPage(TypedDict):
    """A page of decided tasks, the newest first."""

    tasks: list[DecidedTask]
    more: bool
    decided: int
    annotators: list[str]


class PastRevision(TypedDict):
    """A revision in the history of a task; ``origin`` is the one that it restores."""

    revision: int
    annotator: str
    verdict: VerdictName
    reason: str | None
    comment: str
    seconds: float
    clicks: int
    policy_iou: float | None
    blame: str | None
    change: Annotated[dict[str, Any], "object"]
    origin: int | None
    created_at: float
    current: bool


class PastPrediction(TypedDict):
    """A prediction in the history of a task; ``checkpoint`` is the digest of the policy's weights."""

    prediction: int
    policy: str
    checkpoint: str
    created_at: float


class Pair(TypedDict):
    """Two annotators and the mean IoU of their masks."""

    annotators: Names
    iou: float


class ReviewedTask(TypedDict):
    """A task with its history; ``first`` and ``second`` name what to compare first."""

    task: int
    instruction: str
    picture_name: str
    canvas: Canvas
    revisions: list[PastRevision]
    predictions: list[PastPrediction]
    first: str
    second: str
    chosen_by: str | None
    agreement: float | None
    pairs: list[Pair]


class ComparedSide(TypedDict):
    """One of two compared masks; None when it is empty."""

    mask: MaskRle | None
    objects: list[ShownPrompt]


class Comparison(TypedDict):
    """Two masks of a task, and numbers of pixels."""

    first: ComparedSide
    second: ComparedSide
    iou: float
    only_first: int
    only_second: int
    both: int


class CurrentRevision(TypedDict):
    """Which revision counts, and the reviewer who chose it, if one did."""

    current: int | None
    chosen_by: str | None


class Restored(TypedDict):
    """The number of the new revision, and of the one that counts."""

    revision: int
    current: int | None


class DownloadProgress(TypedDict):
    """How far a download is; ``done`` and ``total`` are bytes."""

    state: Literal["idle", "running", "done", "failed"]
    done: int
    total: int
    seconds: float
    trouble: str
