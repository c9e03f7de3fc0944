"""Bytes held at the peak: by hand on small work, and the same with and without values."""

import torch
from torch import nn

from recam.runtime.peak import META, peak_bytes, without_values


def test_freed_tensors_do_not_count():
    def work():
        first = torch.empty(100, device=META)
        second = first + 1
        del first
        return second + 1, second + 2

    assert peak_bytes(work) == 4 * 300


def test_views_and_changes_in_place_take_nothing():
    given = torch.empty(2, 50, device=META)
    assert peak_bytes(lambda: given.T.add_(1)[0]) == 0
    assert peak_bytes(lambda: (given * 2).mul_(3).T) == 4 * 100


def test_a_network_holds_as_much_without_values():
    network = nn.Sequential(nn.Conv2d(3, 4, kernel_size=3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    images = torch.zeros(2, 3, 10, 12)
    copy = without_values(network)
    assert peak_bytes(lambda: copy(images.to(META))) == peak_bytes(lambda: network(images)) + (
        images.nbytes
    )
    assert all(not parameter.is_meta for parameter in network.parameters())
