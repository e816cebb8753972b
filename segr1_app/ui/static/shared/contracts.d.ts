// Generated from segr1_app/studio/contracts.py by: python -m tests.docs --write

/** A mask in COCO's compressed run-length encoding; ``size`` is [height, width]. */
export type Rle = {
  size: [number, number];
  counts: string;
};

/** A point prompt: ``label`` is 1 on the object and 0 on the background. */
export type PointValue = {
  x: number;
  y: number;
  label: 0 | 1;
};

/** The mask prompt of one object; ``box`` is [x1, y1, x2, y2], ``name`` is omitted if there is none. */
export type PromptValue = {
  box: [number, number, number, number] | null;
  points: PointValue[];
  name?: string;
};

/** `WorkTotals` as JSON values: decided tasks, these per hour of working time, and the effort that they took. */
export type WorkRecord = {
  done: number;
  per_hour: number | null;
  verdicts: Record<string, number>;
  revisions: number;
  clicks: number;
  seconds: number;
  iou_gained: number | null;
};

/** A file in the app's cache, as gradio describes it: gradio recognises it by ``meta`` and fills in the ``url``. */
export type StoredFile = {
  path: string;
  url: string;
  orig_name: string;
  meta: Record<string, string>;
};

/** What is added to a mask or erased from it, in pixels of the picture: what a disc of this radius covers that is drawn along the path, or the area that the path encloses if there is no radius. */
export type StrokeValue = {
  erase: boolean;
  radius: number | null;
  path: [number, number][];
};

/** A prompt with its mask at the size of the canvas; None for an empty mask. */
export type ShownObject = {
  box: [number, number, number, number] | null;
  points: PointValue[];
  name?: string;
  mask: Rle | null;
};

/** A picture with prompts and masks. ``key`` names the session that answers for it; colours are CSS colours. ``truth`` is the ground-truth mask at the picture's own size, if there is one. ``instead_of`` is the key of the canvas whose place it takes unless somebody has begun to correct that one. */
export type CanvasValue = {
  key: string;
  picture: StoredFile;
  title: string;
  image_size: import("../canvas/types.js").Size;
  live_size: import("../canvas/types.js").Size;
  palette: string[];
  casing: string;
  objects: ShownObject[];
  truth: Rle | null;
  instead_of?: string;
};

/** How many tasks are done; ``own`` are those of the caller. */
export type TaskProgress = {
  tasks: number;
  open: number;
  done: number;
  own: number;
  clicks: number;
  seconds: number;
  verdicts: Record<string, number>;
};

/** An object of a revision: its prompt, the mask that the prompt refines, what was painted and erased, and the segmenter's mask; each None where there is none. ``strokes`` is empty: they are part of ``painted`` and ``erased``. */
export type SavedObject = {
  box: [number, number, number, number] | null;
  points: PointValue[];
  name?: string;
  strokes: StrokeValue[];
  start: Rle | null;
  painted: Rle | null;
  erased: Rle | null;
  mask: Rle | null;
};

/** The current revision of a task, to continue from. */
export type SavedWork = {
  revision: number;
  verdict: import("./formatting.js").Verdict;
  comment: string;
  objects: SavedObject[];
};

/** A task leased to the annotator, with everything the page shows of it. ``prediction`` is the number of the prediction, ``parent`` that of the annotator's own newest revision. */
export type LeasedTask = {
  task: number;
  canvas: CanvasValue;
  instruction: string;
  picture_name: string;
  reasoning: string;
  prediction: number | null;
  parent: number | null;
  draft: import("../annotate/annotate.js").Draft | null;
  decided: boolean;
  saved: SavedWork | null;
  notice: string;
  progress: TaskProgress;
};

/** Nothing is left to do. */
export type NoTask = {
  task: null;
  progress: TaskProgress;
};

/** A decision that was stored, as the revision of this number. */
export type Decision = {
  revision: number;
  verdict: import("./formatting.js").Verdict;
  progress: TaskProgress;
};

/** Nothing was stored: the annotator has a newer revision, of this number. */
export type Stale = {
  stale: number;
  message: string;
};

/** Something that is asked about each object of a class; ``choices`` is empty unless it is a choice. */
export type AttributeValue = {
  name: string;
  kind: "choice" | "flag" | "number" | "text";
  choices: string[];
};

/** A class of the list; ``colour`` is its own or that of its number, ``key`` a digit or None. */
export type ClassValue = {
  name: string;
  number: number;
  colour: string;
  key: number | null;
  parent: string | null;
  description: string;
  attributes: AttributeValue[];
};

/** The list of classes, in the order of their numbers. */
export type ClassList = {
  classes: ClassValue[];
};

/** Whether a draft is stored, and whether the task is still leased to this person. */
export type DraftState = {
  kept: boolean;
  held?: boolean;
};

/** A row in the list of decided tasks; ``agreement`` is the mean pairwise IoU of its annotators. */
export type DecidedTaskRow = {
  task: number;
  instruction: string;
  picture_name: string;
  revision: number;
  annotator: string;
  verdict: import("./formatting.js").Verdict;
  saved_at: number;
  people: number;
  agreement: number | null;
};

/** A page of decided tasks, the newest first. */
export type DecidedPage = {
  tasks: DecidedTaskRow[];
  more: boolean;
  decided: number;
  annotators: string[];
};

/** A box: left, top, right and bottom edge. */
export type BoxValue = {
  x1: number;
  y1: number;
  x2: number;
  y2: number;
};

/** How a revision's prompts differ from those before it; see `segr1_app.store.changes.PromptChange`. */
export type ChangeValue = {
  added: PointValue[];
  removed: PointValue[];
  flipped: PointValue[];
  moved: [PointValue, PointValue][];
  box_shifts: [BoxValue, BoxValue][];
  boxes_added: BoxValue[];
  boxes_removed: BoxValue[];
  objects_added: number;
  objects_removed: number;
};

/** A revision in the history of a task; ``origin`` is the revision it restores, ``cleaned`` whether small parts were removed from a mask or small holes filled. */
export type PastRevision = {
  revision: number;
  annotator: string;
  verdict: import("./formatting.js").Verdict;
  reason: string | null;
  comment: string;
  seconds: number;
  clicks: number;
  policy_iou: number | null;
  blame: string | null;
  change: ChangeValue;
  cleaned: boolean;
  origin: number | null;
  created_at: number;
  current: boolean;
};

/** A prediction in the history of a task; ``checkpoint`` is the digest of the policy's weights. */
export type PastPrediction = {
  prediction: number;
  policy: string;
  checkpoint: string;
  created_at: number;
};

/** Two annotators and the mean IoU of their masks. */
export type AnnotatorPair = {
  annotators: [string, string];
  iou: number;
};

/** A task with its history; ``first`` and ``second`` are the masks to compare initially. */
export type ReviewedTask = {
  task: number;
  instruction: string;
  picture_name: string;
  canvas: CanvasValue;
  revisions: PastRevision[];
  predictions: PastPrediction[];
  first: string;
  second: string;
  chosen_by: string | null;
  agreement: number | null;
  pairs: AnnotatorPair[];
};

/** One of two compared masks; ``mask`` is None when it is empty. */
export type ComparedSide = {
  mask: Rle | null;
  objects: PromptValue[];
};

/** How two masks differ: their IoU, and pixel counts. */
export type MaskOverlap = {
  iou: number;
  only_first: number;
  only_second: number;
  both: number;
};

/** Two masks of a task, and how they differ. */
export type Comparison = {
  iou: number;
  only_first: number;
  only_second: number;
  both: number;
  first: ComparedSide;
  second: ComparedSide;
};

/** The current revision, and the reviewer who chose it, if one did. */
export type CurrentRevision = {
  current: number | null;
  chosen_by: string | null;
};

/** The number of the new revision, and that of the current one. */
export type Restored = {
  revision: number;
  current: number | null;
};

/** The progress of a download; ``done`` and ``total`` are in bytes. */
export type DownloadProgress = {
  state: "idle" | "running" | "done" | "failed";
  done: number;
  total: number;
  seconds: number;
  trouble: string;
};

/** The bytes that are still to be downloaded. */
export type DownloadSize = {
  bytes: number;
};

/** The address of the next picture's preview; None when nothing is being prepared. */
export type UpcomingTask = {
  picture: string | null;
};

/** The work of one annotator. */
export type AnnotatorWork = {
  done: number;
  per_hour: number | null;
  verdicts: Record<string, number>;
  revisions: number;
  clicks: number;
  seconds: number;
  iou_gained: number | null;
  name: string;
};

/** The work on predictions of one checkpoint; both names are empty for work without a prediction. */
export type CheckpointWork = {
  done: number;
  per_hour: number | null;
  verdicts: Record<string, number>;
  revisions: number;
  clicks: number;
  seconds: number;
  iou_gained: number | null;
  policy: string;
  checkpoint: string;
};

/** The work of one day (YYYY-MM-DD, UTC). */
export type DayWork = {
  done: number;
  per_hour: number | null;
  verdicts: Record<string, number>;
  revisions: number;
  clicks: number;
  seconds: number;
  iou_gained: number | null;
  day: string;
};

/** Progress and effort. ``pairs`` hold the mean IoU of each two annotators who decided the same tasks. */
export type WorkStatistics = {
  tasks: number;
  open: number;
  total: WorkRecord;
  annotators: AnnotatorWork[];
  checkpoints: CheckpointWork[];
  days: DayWork[];
  pairs: AnnotatorPair[];
};

/** What an import brought: ``summary`` in one line, and a sentence for each record with a problem. */
export type Imported = {
  added: number;
  summary: string;
  problems: string[];
};

/** A proposed object: a box, a mask to refine within it at the size of the canvas, and the model's confidence. */
export type FoundInstance = {
  box: import("../canvas/types.js").Box;
  start: Rle;
  score: number;
};

/** Every instance that was found, the likeliest first. */
export type FoundInstances = {
  found: FoundInstance[];
};

/** A mask at the size of the canvas, and what cleaning removes from it and fills; each None where it is empty. */
export type LiveMask = {
  rle: Rle | null;
  confidence: number;
  removed: Rle | null;
  filled: Rle | null;
};

/** The terms of the training reward, None without a target, and ``text``, which says what is compared with what. */
export type RewardOfPrompts = {
  text: string;
  format: number | null;
  iou: number | null;
  s_measure: number | null;
  total: number | null;
};

/** The reward next to the canvas; ``exact`` when masks of the picture's own size were scored. */
export type LiveReward = {
  text: string;
  format: number | null;
  iou: number | null;
  s_measure: number | null;
  total: number | null;
  exact: boolean;
};

/** Why nothing was done, in one sentence for the person who asked. */
export type Failure = {
  failure: string;
};

/** The masks of a canvas, one per object, without paint, and their reward. */
export type CanvasMasks = {
  masks: LiveMask[];
  reward: LiveReward;
};

/** The answer to the canvas's request number ``rev``: as `CanvasMasks`, or why there are no masks. */
export type DecodedCanvas = {
  rev: number;
  masks?: LiveMask[];
  reward?: LiveReward;
  failure?: string;
};

/** A download: its ``label`` on the page, its path in the cache and its name. */
export type SavedFile = {
  label: string;
  path: string;
  name: string;
};

/** What was saved, in one sentence, and files of it. */
export type SavedRun = {
  message: string;
  files: SavedFile[];
};

/** Pixels. */
export type SizeRecord = {
  width: number;
  height: number;
};

/** A prompt; ``labels`` repeats the points' labels for programs that were written for version 0.1. */
export type PromptRecord = {
  box: [number, number, number, number] | null;
  points: PointValue[];
  name?: string;
  labels: number[];
};

/** An object of a prediction: its prompt, its mask, and the segmenter's confidence from 0 to 1. */
export type PredictedObject = {
  box: [number, number, number, number] | null;
  points: PointValue[];
  name?: string;
  labels: number[];
  mask: Rle;
  confidence: number;
};

/** A prediction. ``policy_size`` is the frame of the completion's own numbers; ``seconds`` are given by stage. */
export type PredictionRecord = {
  image_size: SizeRecord;
  instruction: string;
  reasoning: string | null;
  completion: string;
  well_formed: boolean;
  problems: string[];
  abstains: boolean;
  policy_size: SizeRecord;
  objects: PredictedObject[];
  mask: Rle;
  seconds: Record<string, number>;
  policy: string;
  segmenter: string;
};

/** Mean scores of held-out rows, with 95 % intervals by the name of the score. */
export type HeldOutMeans = {
  count: number;
  reward: number;
  s_measure: number | null;
  iou: number | null;
  format_rate: number;
  intervals?: Record<string, [number, number]>;
};

/** Means over the held-out objects of a data set, before and after a segmenter's training. ``iou`` is that of masks from an exact box and point, ``clicks`` the number of corrective clicks to an IoU of .9, and ``interval`` the 95 % interval of the change of the IoU, if there are enough objects. */
export type SegmenterChange = {
  objects: number;
  iou: [number, number];
  clicks: [number, number];
  interval: [number, number] | null;
};

/** A training. Curves are pairs of step and mean reward, or loss where a segmenter learns. ``before`` and ``after`` are the held-out scores of a policy by group, ``objects`` those of a segmenter by data set. ``exported`` is the step whose weights became the new policy, ``saved`` the step after which it continues when it is resumed, and ``problems`` name damaged files of its folder. */
export type TrainingReport = {
  name: string;
  learns: "policy" | "segmenter";
  state: "running" | "stopped" | "done";
  resumable: boolean;
  steps: number;
  curve: [number, number][];
  last_words: string;
  before: Record<string, HeldOutMeans | null> | null;
  after: Record<string, HeldOutMeans | null> | null;
  objects: Record<string, SegmenterChange> | null;
  problems: string[];
  validation: [number, number][];
  warning: string;
  exported: number | null;
  saved: number;
};

/** The trainings, the newest first, and the one that is asked for. ``promoted`` lists the models of which there is a promotion to roll back, ``promoted_runs`` the trainings whose models the app uses, and ``blame`` whose mistakes the latest corrections were. */
export type TrainingStatus = {
  running: string | null;
  runs: string[];
  run: TrainingReport | null;
  promoted: ("policy" | "segmenter")[];
  promoted_runs: string[];
  blame: Record<"policy" | "segmenter", number>;
};

/** What a training would learn from, as a table in text. */
export type TrainingPlan = {
  plan: string;
};

/** A held-out picture under both policies: addresses of the overlays, and IoUs with the true mask where it is known. Where it is not, ``old_new_iou`` is the IoU of the two masks. */
export type TrainingChange = {
  source: string;
  instruction: string;
  old: string;
  new: string;
  old_iou: number | null;
  new_iou: number | null;
  gain: number | null;
  old_new_iou: number | null;
};

/** Held-out pictures before and after a training, the largest losses first. */
export type TrainingChanges = {
  changes: TrainingChange[];
};

/** The page's visitor; the name is empty for those who did not sign in. */
export type Visitor = {
  name: string;
  role: string;
  may: string[];
  sign_in: "none" | "password" | "hub";
};

/** The state of the models, as in `segr1_app.models.host.ModelStatus`, and the visitor once known. */
export type Header = {
  state: "loading" | "ready" | "failed";
  policy: string;
  segmenter: string;
  device: string;
  understands: string;
  failure: string;
  reason: string;
  offered: boolean;
  person: Visitor | null;
};

/** How far the copy of the store elsewhere is; ``remote`` is None where there is none. */
export type RemoteCopy = {
  remote: string | null;
  at: number | null;
  waiting: number;
  failure: string;
};

/** A line of the answer about one object: its colour on the canvas and the numbers of its points. */
export type AnswerObject = {
  colour: string;
  confidence: number | null;
  box: number[] | null;
  positive: number;
  negative: number;
};

/** A message that the policy was asked. */
export type AskedMessage = {
  role: string;
  text: string;
};

/** An answer to pick: its mask in a small size, and its mean IoU with all answers that were compared. */
export type OfferedAnswer = {
  mask: Rle;
  mean_iou: number;
  shown: boolean;
};

/** The result of comparing several answers. ``key`` names the session whose candidates can be picked, the one that agrees best first; ``replaced`` tells whether that one took the place of the first answer. */
export type ComparedAnswers = {
  key: string;
  answers: number;
  replaced: boolean;
  picked: boolean;
  candidates: OfferedAnswer[];
};

/** The answer view of the Run tab: the progress of the run, the text so far, and the result. */
export type RunAnswer = {
  phase: "idle" | "loading" | "waiting" | "looking" | "writing" | "comparing" | "done" | "stopped" | "failed";
  text: string;
  failure: string;
  problems: string[];
  objects: AnswerObject[];
  seconds: Record<string, number>;
  files: Record<string, StoredFile>;
  abstains: boolean;
  asked: AskedMessage[];
  comparison: ComparedAnswers | null;
};

/** The state of the second policy, as in `segr1_app.models.second.SecondStatus`. */
export type SecondPolicyState = {
  state: "none" | "loading" | "ready" | "failed";
  policy: string;
  failure: string;
};

/** A mask against the true one. */
export type MaskScores = {
  iou: number;
  s_measure: number;
};

/** One of two policies' answers; ``scores`` are None without a true mask, ``seconds`` until it is complete. */
export type PolicyAnswer = {
  policy: string;
  text: string;
  failure: string;
  problems: string[];
  abstains: boolean;
  seconds: number | null;
  confidences: number[];
  side: ComparedSide;
  scores: MaskScores | null;
};

/** The answers of two policies to one question, as far as they are known. */
export type TwoAnswers = {
  phase: "none" | "waiting" | "writing" | "done" | "stopped" | "failed";
  canvas: CanvasValue | null;
  first: PolicyAnswer | null;
  second: PolicyAnswer | null;
  overlap: MaskOverlap | null;
};

/** Two policies' predictions for one question, and how their masks differ; scores are None without a true mask. */
export type ComparedPolicies = {
  first: PredictionRecord;
  second: PredictionRecord;
  overlap: MaskOverlap;
  first_scores: MaskScores | null;
  second_scores: MaskScores | null;
};
