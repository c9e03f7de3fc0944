"""Operations and kept bytes, counted by hand for single layers."""

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from recam.steps.flops import KeptStorages, operations_counter

SIDE = 10


def operations(layer, images):
    with operations_counter() as counter:
        layer(images).sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("groups", [1, 4])
def test_each_gradient_costs_as_much_as_the_forward_pass(groups):
    layer = nn.Conv2d(4, 8, kernel_size=3, padding=1, groups=groups)
    forward = 2 * SIDE**2 * 9 * 8 * 4 // groups
    images = torch.randn(1, 4, SIDE, SIDE)
    assert operations(layer, images) == 2 * forward
    assert operations(layer, images.requires_grad_()) == 3 * forward


def test_a_matrix_product_counts_two_operations_for_each_pair():
    assert operations(nn.Linear(5, 7), torch.randn(3, 5)) == 2 * 2 * 3 * 5 * 7


def test_kept_bytes_are_those_of_activations_without_parameters():
    kept = KeptStorages()
    hidden, last = nn.Linear(5, 7), nn.Linear(7, 2)
    with saved_tensors_hooks(kept.add, lambda tensor: tensor):
        last(torch.relu(hidden(torch.randn(3, 5))))
    assert kept.total() == 4 * 3 * (5 + 7)  # the input, and the rectified hidden layer once
