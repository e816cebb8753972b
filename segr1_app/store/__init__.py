"""The annotation store: predictions and corrections of every picture, kept revision by revision."""

from segr1_app.store.changes import PromptChange, difference
from segr1_app.store.reviews import DecidedTask, PastDecision, ReviewerChoice
from segr1_app.store.store import AnnotationStore
from segr1_app.store.values import (
    AnnotatedObject,
    AnnotatorAgreement,
    Blame,
    Correction,
    Draft,
    Feedback,
    QueueOrder,
    RejectReason,
    Revision,
    SampledCompletion,
    StaleRevisionError,
    Statistics,
    StoredPicture,
    StoredPrediction,
    Task,
    Verdict,
    WorkTotals,
)

__all__ = [
    "AnnotatedObject",
    "AnnotationStore",
    "AnnotatorAgreement",
    "Blame",
    "Correction",
    "DecidedTask",
    "Draft",
    "Feedback",
    "PastDecision",
    "PromptChange",
    "QueueOrder",
    "RejectReason",
    "ReviewerChoice",
    "Revision",
    "SampledCompletion",
    "StaleRevisionError",
    "Statistics",
    "StoredPicture",
    "StoredPrediction",
    "Task",
    "Verdict",
    "WorkTotals",
    "difference",
]
