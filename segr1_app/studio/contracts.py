"""What leaves the app as JSON: answers of the API and values of the page's views, as types.

mypy checks them here, and tsc in the page: ``ui/static/shared/contracts.d.ts`` is generated from this module
(``python -m tests.docs --write``). The string in an ``Annotated`` type is the TypeScript type of the same value. Masks
are COCO run-length encodings, coordinates are pixels of the original picture, and times are Unix seconds.

It is long because it is the complete list; a type is looked up by its name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypeAlias, TypedDict

from segr1_app.domain import ModelRole
from segr1_app.geometry import Rle
from segr1_app.language.prompt_json import PointValue, PromptValue
from segr1_app.store.reports import WorkRecord

VerdictName: TypeAlias = Annotated[str, 'import("./formatting.js").Verdict']
WidthHeight: TypeAlias = Annotated[list[int], 'import("../canvas/types.js").Size']
Names: TypeAlias = Annotated[list[str], "[string, string]"]
StepValues: TypeAlias = tuple[tuple[int, float], ...]

RunPhase = Literal["idle", "loading", "waiting", "looking", "writing", "comparing", "done", "stopped", "failed"]
SecondPhase = Literal["none", "waiting", "writing", "done", "stopped", "failed"]


class StoredFile(TypedDict):
    """A file in the app's cache, as gradio describes it: gradio recognises it by ``meta`` and fills in the ``url``."""

    path: str
    url: Annotated[str | None, "string"]
    orig_name: str
    meta: dict[str, str]


class StrokeValue(TypedDict):
    """What is added to a mask or erased from it, in pixels of the picture: what a disc of this radius covers that is
    drawn along the path, or the area that the path encloses if there is no radius.
    """

    erase: bool
    radius: float | None
    path: list[tuple[float, float]]


class ShownObject(PromptValue):
    """A prompt with its mask at the size of the canvas; None for an empty mask."""

    mask: Rle | None


class CanvasValue(TypedDict):
    """A picture with prompts and masks. ``key`` names the session that answers for it; colours are CSS colours.

    ``truth`` is the ground-truth mask at the picture's own size, if there is one. ``instead_of`` is the key of the
    canvas whose place it takes unless somebody has begun to correct that one.
    """

    key: str
    picture: StoredFile
    title: str
    image_size: WidthHeight
    live_size: WidthHeight
    palette: list[str]
    casing: str
    objects: list[ShownObject]
    truth: Rle | None
    instead_of: NotRequired[str]


class TaskProgress(TypedDict):
    """How many tasks are done; ``own`` are those of the caller."""

    tasks: int
    open: int
    done: int
    own: int
    clicks: int
    seconds: float
    verdicts: dict[str, int]


class SavedObject(PromptValue):
    """An object of a revision: its prompt, the mask that the prompt refines, what was painted and erased, and the
    segmenter's mask; each None where there is none. ``strokes`` is empty: they are part of ``painted`` and ``erased``.
    """

    strokes: list[StrokeValue]
    start: Rle | None
    painted: Rle | None
    erased: Rle | None
    mask: Rle | None


class SavedWork(TypedDict):
    """The current revision of a task, to continue from."""

    revision: int
    verdict: VerdictName
    comment: str
    objects: list[SavedObject]


class LeasedTask(TypedDict):
    """A task leased to the annotator, with everything the page shows of it.

    ``prediction`` is the number of the prediction, ``parent`` that of the annotator's own newest revision.
    """

    task: int
    canvas: CanvasValue
    instruction: str
    picture_name: str
    reasoning: str
    prediction: int | None
    parent: int | None
    draft: Annotated[dict[str, Any] | None, 'import("../annotate/annotate.js").Draft | null']
    decided: bool
    saved: SavedWork | None
    notice: str
    progress: TaskProgress


class NoTask(TypedDict):
    """Nothing is left to do."""

    task: None
    progress: TaskProgress


class Decision(TypedDict):
    """A decision that was stored, as the revision of this number."""

    revision: int
    verdict: VerdictName
    progress: TaskProgress


class Stale(TypedDict):
    """Nothing was stored: the annotator has a newer revision, of this number."""

    stale: int
    message: str


class AttributeValue(TypedDict):
    """Something that is asked about each object of a class; ``choices`` is empty unless it is a choice."""

    name: str
    kind: Literal["choice", "flag", "number", "text"]
    choices: list[str]


class ClassValue(TypedDict):
    """A class of the list; ``colour`` is its own or that of its number, ``key`` a digit or None."""

    name: str
    number: int
    colour: str
    key: int | None
    parent: str | None
    description: str
    attributes: list[AttributeValue]


class ClassList(TypedDict):
    """The list of classes, in the order of their numbers."""

    classes: list[ClassValue]


class DraftState(TypedDict):
    """Whether a draft is stored, and whether the task is still leased to this person."""

    kept: bool
    held: NotRequired[bool]


class DecidedTaskRow(TypedDict):
    """A row in the list of decided tasks; ``agreement`` is the mean pairwise IoU of its annotators."""

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

    tasks: list[DecidedTaskRow]
    more: bool
    decided: int
    annotators: list[str]


class BoxValue(TypedDict):
    """A box: left, top, right and bottom edge."""

    x1: float
    y1: float
    x2: float
    y2: float


class ChangeValue(TypedDict):
    """How a revision's prompts differ from those before it; see `segr1_app.store.changes.PromptChange`."""

    added: list[PointValue]
    removed: list[PointValue]
    flipped: list[PointValue]
    moved: list[tuple[PointValue, PointValue]]
    box_shifts: list[tuple[BoxValue, BoxValue]]
    boxes_added: list[BoxValue]
    boxes_removed: list[BoxValue]
    objects_added: int
    objects_removed: int


class PastRevision(TypedDict):
    """A revision in the history of a task; ``origin`` is the revision it restores, ``cleaned`` whether small parts
    were removed from a mask or small holes filled.
    """

    revision: int
    annotator: str
    verdict: VerdictName
    reason: str | None
    comment: str
    seconds: float
    clicks: int
    policy_iou: float | None
    blame: str | None
    change: ChangeValue
    cleaned: bool
    origin: int | None
    created_at: float
    current: bool


class PastPrediction(TypedDict):
    """A prediction in the history of a task; ``checkpoint`` is the digest of the policy's weights."""

    prediction: int
    policy: str
    checkpoint: str
    created_at: float


class AnnotatorPair(TypedDict):
    """Two annotators and the mean IoU of their masks."""

    annotators: Names
    iou: float


class ReviewedTask(TypedDict):
    """A task with its history; ``first`` and ``second`` are the masks to compare initially."""

    task: int
    instruction: str
    picture_name: str
    canvas: CanvasValue
    revisions: list[PastRevision]
    predictions: list[PastPrediction]
    first: str
    second: str
    chosen_by: str | None
    agreement: float | None
    pairs: list[AnnotatorPair]


class ComparedSide(TypedDict):
    """One of two compared masks; ``mask`` is None when it is empty."""

    mask: Rle | None
    objects: list[PromptValue]


class MaskOverlap(TypedDict):
    """How two masks differ: their IoU, and pixel counts."""

    iou: float
    only_first: int
    only_second: int
    both: int


class Comparison(MaskOverlap):
    """Two masks of a task, and how they differ."""

    first: ComparedSide
    second: ComparedSide


class CurrentRevision(TypedDict):
    """The current revision, and the reviewer who chose it, if one did."""

    current: int | None
    chosen_by: str | None


class Restored(TypedDict):
    """The number of the new revision, and that of the current one."""

    revision: int
    current: int | None


class DownloadProgress(TypedDict):
    """The progress of a download; ``done`` and ``total`` are in bytes."""

    state: Literal["idle", "running", "done", "failed"]
    done: int
    total: int
    seconds: float
    trouble: str


class DownloadSize(TypedDict):
    """The bytes that are still to be downloaded."""

    bytes: int


class UpcomingTask(TypedDict):
    """The address of the next picture's preview; None when nothing is being prepared."""

    picture: str | None


class AnnotatorWork(WorkRecord):
    """The work of one annotator."""

    name: str


class CheckpointWork(WorkRecord):
    """The work on predictions of one checkpoint; both names are empty for work without a prediction."""

    policy: str
    checkpoint: str


class DayWork(WorkRecord):
    """The work of one day (YYYY-MM-DD, UTC)."""

    day: str


class WorkStatistics(TypedDict):
    """Progress and effort. ``pairs`` hold the mean IoU of each two annotators who decided the same tasks."""

    tasks: int
    open: int
    total: WorkRecord
    annotators: list[AnnotatorWork]
    checkpoints: list[CheckpointWork]
    days: list[DayWork]
    pairs: list[AnnotatorPair]


class Imported(TypedDict):
    """What an import brought: ``summary`` in one line, and a sentence for each record with a problem."""

    added: int
    summary: str
    problems: list[str]


class FoundInstance(TypedDict):
    """A proposed object: a box, a mask to refine within it at the size of the canvas, and the model's confidence."""

    box: Annotated[list[float], 'import("../canvas/types.js").Box']
    start: Rle
    score: float


class FoundInstances(TypedDict):
    """Every instance that was found, the likeliest first."""

    found: list[FoundInstance]


class LiveMask(TypedDict):
    """A mask at the size of the canvas, and what cleaning removes from it and fills; each None where it is empty."""

    rle: Rle | None
    confidence: float
    removed: Rle | None
    filled: Rle | None


class RewardOfPrompts(TypedDict):
    """The terms of the training reward, None without a target, and ``text``, which says what is compared with what."""

    text: str
    format: float | None
    iou: float | None
    s_measure: float | None
    total: float | None


class LiveReward(RewardOfPrompts):
    """The reward next to the canvas; ``exact`` when masks of the picture's own size were scored."""

    exact: bool


class Failure(TypedDict):
    """Why nothing was done, in one sentence for the person who asked."""

    failure: str


class CanvasMasks(TypedDict):
    """The masks of a canvas, one per object, without paint, and their reward."""

    masks: list[LiveMask]
    reward: LiveReward


class DecodedCanvas(TypedDict):
    """The answer to the canvas's request number ``rev``: as `CanvasMasks`, or why there are no masks."""

    rev: Annotated[int | None, "number"]
    masks: NotRequired[list[LiveMask]]
    reward: NotRequired[LiveReward]
    failure: NotRequired[str]


class SavedFile(TypedDict):
    """A download: its ``label`` on the page, its path in the cache and its name."""

    label: str
    path: str
    name: str


class SavedRun(TypedDict):
    """What was saved, in one sentence, and files of it."""

    message: str
    files: list[SavedFile]


class SizeRecord(TypedDict):
    """Pixels."""

    width: int
    height: int


class PromptRecord(PromptValue):
    """A prompt; ``labels`` repeats the points' labels for programs that were written for version 0.1."""

    labels: list[int]


class PredictedObject(PromptRecord):
    """An object of a prediction: its prompt, its mask, and the segmenter's confidence from 0 to 1."""

    mask: Rle
    confidence: float


class PredictionRecord(TypedDict):
    """A prediction. ``policy_size`` is the frame of the completion's own numbers; ``seconds`` are given by stage."""

    image_size: SizeRecord
    instruction: str
    reasoning: str | None
    completion: str
    well_formed: bool
    problems: list[str]
    abstains: bool
    policy_size: SizeRecord
    objects: list[PredictedObject]
    mask: Rle
    seconds: dict[str, float]
    policy: str
    segmenter: str


class HeldOutMeans(TypedDict):
    """Mean scores of held-out rows, with 95 % intervals by the name of the score."""

    count: int
    reward: float
    s_measure: float | None
    iou: float | None
    format_rate: float
    intervals: NotRequired[dict[str, tuple[float, float]]]


class SegmenterChange(TypedDict):
    """Means over the held-out objects of a data set, before and after a segmenter's training.

    ``iou`` is that of masks from an exact box and point, ``clicks`` the number of corrective clicks to an IoU of .9,
    and ``interval`` the 95 % interval of the change of the IoU, if there are enough objects.
    """

    objects: int
    iou: tuple[float, float]
    clicks: tuple[float, float]
    interval: tuple[float, float] | None


class TrainingReport(TypedDict):
    """A training. Curves are pairs of step and mean reward, or loss where a segmenter learns.

    ``before`` and ``after`` are the held-out scores of a policy by group, ``objects`` those of a segmenter by data set.
    ``exported`` is the step whose weights became the new policy, ``saved`` the step after which it continues when it is
    resumed, and ``problems`` name damaged files of its folder.
    """

    name: str
    learns: ModelRole
    state: Literal["running", "stopped", "done"]
    resumable: bool
    steps: int
    curve: StepValues
    last_words: str
    before: dict[str, HeldOutMeans | None] | None
    after: dict[str, HeldOutMeans | None] | None
    objects: dict[str, SegmenterChange] | None
    problems: tuple[str, ...]
    validation: StepValues
    warning: str
    exported: int | None
    saved: int


class TrainingStatus(TypedDict):
    """The trainings, the newest first, and the one that is asked for.

    ``promoted`` lists the models of which there is a promotion to roll back, ``promoted_runs`` the trainings whose
    models the app uses, and ``blame`` whose mistakes the latest corrections were.
    """

    running: str | None
    runs: list[str]
    run: TrainingReport | None
    promoted: list[ModelRole]
    promoted_runs: list[str]
    blame: dict[ModelRole, int]


class TrainingPlan(TypedDict):
    """What a training would learn from, as a table in text."""

    plan: str


class TrainingChange(TypedDict):
    """A held-out picture under both policies: addresses of the overlays, and IoUs with the true mask where it is known.

    Where it is not, ``old_new_iou`` is the IoU of the two masks.
    """

    source: str
    instruction: str
    old: str
    new: str
    old_iou: float | None
    new_iou: float | None
    gain: float | None
    old_new_iou: float | None


class TrainingChanges(TypedDict):
    """Held-out pictures before and after a training, the largest losses first."""

    changes: list[TrainingChange]


class Visitor(TypedDict):
    """The page's visitor; the name is empty for those who did not sign in."""

    name: str
    role: str
    may: list[str]
    sign_in: Literal["none", "password", "hub"]


class Header(TypedDict):
    """The state of the models, as in `segr1_app.models.host.ModelStatus`, and the visitor once known."""

    state: Literal["loading", "ready", "failed"]
    policy: str
    segmenter: str
    device: str
    understands: str
    failure: str
    reason: str
    offered: bool
    person: Visitor | None


class RemoteCopy(TypedDict):
    """How far the copy of the store elsewhere is; ``remote`` is None where there is none."""

    remote: str | None
    at: float | None
    waiting: int
    failure: str


class AnswerObject(TypedDict):
    """A line of the answer about one object: its colour on the canvas and the numbers of its points."""

    colour: str
    confidence: float | None
    box: list[float] | None
    positive: int
    negative: int


class AskedMessage(TypedDict):
    """A message that the policy was asked."""

    role: str
    text: str


class OfferedAnswer(TypedDict):
    """An answer to pick: its mask in a small size, and its mean IoU with all answers that were compared."""

    mask: Rle
    mean_iou: float
    shown: bool


class ComparedAnswers(TypedDict):
    """The result of comparing several answers. ``key`` names the session whose candidates can be picked, the one that
    agrees best first; ``replaced`` tells whether that one took the place of the first answer.
    """

    key: str
    answers: int
    replaced: bool
    picked: bool
    candidates: list[OfferedAnswer]


class RunAnswer(TypedDict):
    """The answer view of the Run tab: the progress of the run, the text so far, and the result."""

    phase: RunPhase
    text: str
    failure: str
    problems: list[str]
    objects: list[AnswerObject]
    seconds: dict[str, float]
    files: dict[str, StoredFile]
    abstains: bool
    asked: list[AskedMessage]
    comparison: ComparedAnswers | None


class SecondPolicyState(TypedDict):
    """The state of the second policy, as in `segr1_app.models.second.SecondStatus`."""

    state: Literal["none", "loading", "ready", "failed"]
    policy: str
    failure: str


class MaskScores(TypedDict):
    """A mask against the true one."""

    iou: float
    s_measure: float


class PolicyAnswer(TypedDict):
    """One of two policies' answers; ``scores`` are None without a true mask, ``seconds`` until it is complete."""

    policy: str
    text: str
    failure: str
    problems: list[str]
    abstains: bool
    seconds: float | None
    confidences: list[float]
    side: ComparedSide
    scores: MaskScores | None


class TwoAnswers(TypedDict):
    """The answers of two policies to one question, as far as they are known."""

    phase: SecondPhase
    canvas: CanvasValue | None
    first: PolicyAnswer | None
    second: PolicyAnswer | None
    overlap: MaskOverlap | None


class ComparedPolicies(TypedDict):
    """Two policies' predictions for one question, and how their masks differ; scores are None without a true mask."""

    first: PredictionRecord
    second: PredictionRecord
    overlap: MaskOverlap
    first_scores: MaskScores | None
    second_scores: MaskScores | None
