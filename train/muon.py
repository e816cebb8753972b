"""Muon (Jordan et al., 2024) for devices that do not compute in bfloat16, the only precision of torch's own."""

from __future__ import annotations

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


class Float32Muon(torch.optim.Optimizer):
    """`torch.optim.Muon` with ``adjust_lr_fn="match_rms_adamw"``, in the precision of the parameters.

    Args:
        matrices: parameters of two dimensions.
        lr: learning rate.
        weight_decay: decoupled, as a share of ``lr``.
    """

    def __init__(self, matrices: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every matrix by its orthogonalised Nesterov momentum."""
        assert closure is None
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum"] = torch.zeros_like(matrix)
                momentum = state["momentum"].lerp_(matrix.grad, 1 - MOMENTUM)
                update = orthogonalised(matrix.grad.lerp(momentum, MOMENTUM))
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * RMS * max(matrix.shape) ** 0.5)


def orthogonalised(matrix: Tensor) -> Tensor:
    """Roughly the nearest matrix whose singular values are all one, by Newton-Schulz iteration."""
    a, b, c = NEWTON_SCHULZ
    flat = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    flat = flat / flat.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = flat @ flat.T
        flat = torch.addmm(flat, torch.addmm(gram, gram, gram, beta=b, alpha=c), flat, beta=a)
    return flat.T if matrix.shape[0] > matrix.shape[1] else flat
