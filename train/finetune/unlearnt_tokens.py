"""Separate the embeddings of tokens that a policy has never written, so that it can learn to write them.

In training from scratch, tokens that are never written are only ever pushed away, all in the same direction: the
embeddings of the embedded policy's ``]``, ``</bbox>`` and ``<points>`` have cosines of .99. As they are tied, the
policy can neither choose between such tokens nor see which of them it wrote last. Its usual answers need none of them,
because longer tokens such as ``]</bbox>, <points>[[`` replace them; empty lists need eight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch.nn.functional import cosine_similarity, normalize

from segr1_app.models.policy import VlmPolicy

SAME: Final = 0.97
"""Cosine from which a token's embedding is that of one that was never written."""


def separate_unlearnt_tokens(policy: VlmPolicy, texts: Sequence[str]) -> int:
    """Add a random unit vector to the embedding of each token of ``texts`` that the policy has never written.

    They stay as unlikely as they were. What was separated is not changed again.

    Args:
        policy: changed in place, if its input and output embeddings are tied.
        texts: what it is going to be taught.

    Returns:
        The number of tokens.
    """
    model: Any = policy.model
    weight = model.get_input_embeddings().weight
    tokenizer = policy.processor.tokenizer
    head = model.get_output_embeddings()
    if head is None or head.weight is not weight or tokenizer.pad_token_id is None:
        return 0
    taught = torch.tensor(
        sorted({token for text in texts for token in tokenizer(text, add_special_tokens=False).input_ids})
    )
    with torch.no_grad():
        # Padding is never written.
        alike = cosine_similarity(weight[taught].float(), weight[tokenizer.pad_token_id].float()[None]) > SAME
        unlearnt = taught[alike.cpu()]
        directions = torch.randn((len(unlearnt), weight.shape[1]), generator=torch.Generator().manual_seed(0))
        weight[unlearnt] += normalize(directions, dim=1).to(weight)
    return len(unlearnt)
