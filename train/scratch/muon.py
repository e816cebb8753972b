"""Muon (Jordan et al., 2024) that updates all matrices of the same shape at once, in the precision of the weights.

torch's implementation updates one matrix after the other, in bfloat16. On a GPU a small model's hundred matrices then
take longer than its gradients, and a CPU that only emulates bfloat16 takes twenty times as long as in single precision.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor

MOMENTUM = 0.95
NEWTON_SCHULZ: Final = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration that drives all singular values of a matrix towards one."""
ITERATIONS = 5
RMS = 0.2
"""Root mean square of an update per unit of learning rate: that of AdamW's, so that both follow one schedule."""


class StackedMuon(torch.optim.Optimizer):
    """`torch.optim.Muon` with ``adjust_lr_fn="match_rms_adamw"``, except for its precision.

    Args:
        matrices: parameters of two dimensions.
        lr: learning rate.
        weight_decay: decoupled, relative to ``lr``.
    """

    def __init__(self, matrices: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every matrix by its orthogonalised Nesterov momentum."""
        assert closure is None
        for group in self.param_groups:
            alike: defaultdict[torch.Size, list[Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike[matrix.shape].append(matrix)
            for shape, matrices in alike.items():
                self._move(matrices, group["lr"], group["weight_decay"], RMS * max(shape) ** 0.5)

    def _move(self, matrices: list[Tensor], rate: float, weight_decay: float, reach: float) -> None:
        gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
        for matrix in matrices:
            if not self.state[matrix]:
                self.state[matrix]["momentum"] = torch.zeros_like(matrix)
        momenta = [self.state[matrix]["momentum"] for matrix in matrices]
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        nesterov = torch._foreach_lerp(gradients, momenta, MOMENTUM)
        updates = orthogonalised(torch.stack(list(nesterov)))
        torch._foreach_mul_(matrices, 1 - rate * weight_decay)
        torch._foreach_add_(matrices, list(updates.unbind()), alpha=-rate * reach)


def orthogonalised(matrices: Tensor) -> Tensor:
    """Approximately the nearest matrices, (N, rows, columns), with all singular values equal to one: Newton-Schulz
    iteration.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    flat = matrices.mT if tall else matrices
    flat = flat / flat.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = flat @ flat.mT
        flat = torch.baddbmm(flat, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), flat, beta=a)
    return flat.mT if tall else flat
