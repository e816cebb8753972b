"""Tell whether a reasoning segmentation query is a full sentence or a short phrase: published policies have a prompt
for each.

ReasonSeg labels each of its queries. Elsewhere it has to be inferred from the text.
"""

from __future__ import annotations

import re
from typing import Final

_ENDS: Final = ".?!…。？！"
_CLOSERS: Final = "\"'”’»)]」』 \t\n"
_INNER_END = re.compile(r"[.?!]\s+[A-Z]")
# A question without its question mark: in a phrase ("what the man holds") the verb follows its subject.
_VERBS = "is|are|was|were|am|do|does|did|can|could|will|would|shall|should|may|might|must|has|have|had"
_QUESTION = re.compile(
    rf"(?:who|what|where|when)(?:'s|\s+(?:{_VERBS}))\b|(?:which|whose|why|how)\b|(?:{_VERBS})\s+(?:the|there|you|we|it|this|that|any|someone|anyone|i)\b",
    re.IGNORECASE,
)


def is_sentence(text: str) -> bool:
    """Whether a text is a sentence: it ends like one, contains the end of one, or begins like a question."""
    words = text.strip().rstrip(_CLOSERS)
    return bool(words) and (words[-1] in _ENDS or bool(_INNER_END.search(words)) or bool(_QUESTION.match(words)))
