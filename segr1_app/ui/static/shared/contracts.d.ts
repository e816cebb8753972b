// Generated from segr1_app/studio/contracts.py by: python -m tests.docs --write

/** How many tasks are done; ``own`` by the person who asks. */
export type Progress = {
  tasks: number;
  open: number;
  done: number;
  own: number;
  clicks: number;
  seconds: number;
  verdicts: Record<string, number>;
};

/** The current revision of a task, to continue from. */
export type SavedWork = {
  revision: number;
  verdict: import("./formatting.js").Verdict;
  comment: string;
  objects: object[];
};

/** A task that the annotator holds, with what the page shows of it. ``prediction`` is the number of the prediction, ``parent`` that of the annotator's own newest revision. */
export type LeasedTask = {
  task: number;
  canvas: import("../canvas/view.js").Value;
  instruction: string;
  picture_name: string;
  reasoning: string;
  prediction: number | null;
  parent: number | null;
  draft: import("../annotate/annotate.js").Draft | null;
  decided: boolean;
  saved: SavedWork | null;
  notice?: string;
  progress: Progress;
};

/** Nothing is left to do. */
export type NoTask = {
  task: null;
  progress: Progress;
};

/** A decision that was stored, as the revision of this number. */
export type Decision = {
  revision: number;
  verdict: import("./formatting.js").Verdict;
  progress: Progress;
};

/** Nothing was stored: the annotator has a newer revision, of this number. */
export type Stale = {
  stale: number;
  message: string;
};

/** Whether a draft is stored, and whether the task is still held. */
export type DraftState = {
  kept: boolean;
  held?: boolean;
};

/** A row of the list of decided tasks; ``agreement`` is the mean pairwise IoU of its annotators. */
export type DecidedTask = {
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
  tasks: DecidedTask[];
  more: boolean;
  decided: number;
  annotators: string[];
};

/** A revision in the history of a task; ``origin`` is the one that it restores. */
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
  change: object;
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
export type Pair = {
  annotators: [string, string];
  iou: number;
};

/** A task with its history; ``first`` and ``second`` name what to compare first. */
export type ReviewedTask = {
  task: number;
  instruction: string;
  picture_name: string;
  canvas: import("../canvas/view.js").Value;
  revisions: PastRevision[];
  predictions: PastPrediction[];
  first: string;
  second: string;
  chosen_by: string | null;
  agreement: number | null;
  pairs: Pair[];
};

/** One of two compared masks; None when it is empty. */
export type ComparedSide = {
  mask: import("../canvas/types.js").Rle | null;
  objects: ({box: import("../canvas/types.js").Box | null, points: import("../canvas/types.js").Point[], name?: string})[];
};

/** Two masks of a task, and numbers of pixels. */
export type Comparison = {
  first: ComparedSide;
  second: ComparedSide;
  iou: number;
  only_first: number;
  only_second: number;
  both: number;
};

/** Which revision counts, and the reviewer who chose it, if one did. */
export type CurrentRevision = {
  current: number | null;
  chosen_by: string | null;
};

/** The number of the new revision, and of the one that counts. */
export type Restored = {
  revision: number;
  current: number | null;
};

/** How far a download is; ``done`` and ``total`` are bytes. */
export type DownloadProgress = {
  state: "idle" | "running" | "done" | "failed";
  done: number;
  total: number;
  seconds: number;
  trouble: string;
};
