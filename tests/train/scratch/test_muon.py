"""Muon on stacks of matrices moves each as torch's own moves it alone."""

from __future__ import annotations

import torch
from torch import nn

from train.scratch.muon import StackedMuon, orthogonalised


def test_it_moves_as_torch_does() -> None:
    chance = torch.Generator().manual_seed(0)
    shapes = [(24, 72), (24, 72), (72, 24), (24, 24)]
    ours = [nn.Parameter(torch.randn(shape, generator=chance)) for shape in shapes]
    theirs = [nn.Parameter(matrix.detach().clone()) for matrix in ours]
    options = {"lr": 0.05, "weight_decay": 0.1}
    optimizers = StackedMuon(ours, **options), torch.optim.Muon(theirs, **options, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=chance)
            other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for mine, other in zip(ours, theirs, strict=True):
        # torch rounds to bfloat16 on the way.
        assert torch.allclose(mine, other, atol=5e-3)


def test_a_matrix_without_gradient_stays() -> None:
    moved, still = nn.Parameter(torch.ones(4, 6)), nn.Parameter(torch.ones(4, 6))
    moved.grad = torch.ones(4, 6)
    StackedMuon([moved, still], lr=0.1, weight_decay=0.1).step()
    assert torch.equal(still, torch.ones(4, 6))
    assert not torch.equal(moved, torch.ones(4, 6))


def test_singular_values_become_alike() -> None:
    matrices = torch.randn(3, 10, 30, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalised(matrices))
    assert values.min() > 0.6
    assert values.max() < 1.3
