"""The annotation store: what people and models made of every picture, kept revision by revision."""

from segr1_app.store.changes import PromptChange, difference
from segr1_app.store.reviews import Choice, DecidedTask
from segr1_app.store.store import AnnotationStore
from segr1_app.store.values import (
    Agreement,
    AnnotatedObject,
    Blame,
    Correction,
    Draft,
    Feedback,
    QueueOrder,
    RejectReason,
    Revision,
    Sample,
    StaleRevisionError,
    Statistics,
    StoredPicture,
    StoredPrediction,
    Tally,
    Task,
    Verdict,
)

__all__ = [
    "Agreement",
    "AnnotatedObject",
    "AnnotationStore",
    "Blame",
    "Choice",
    "Correction",
    "DecidedTask",
    "Draft",
    "Feedback",
    "PromptChange",
    "QueueOrder",
    "RejectReason",
    "Revision",
    "Sample",
    "StaleRevisionError",
    "Statistics",
    "StoredPicture",
    "StoredPrediction",
    "Tally",
    "Task",
    "Verdict",
    "difference",
]
