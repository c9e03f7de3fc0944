"""Seeds and generators depend on the random seed and the names only."""

import torch

from recam.core.randomness import derived_seed, numpy_generator
from recam.models.initialisation import seeded_initialisation


def test_the_same_names_give_the_same_seed():
    assert derived_seed(0, "train_cam", 3) == derived_seed(0, "train_cam", 3)


def test_a_seed_is_stable_between_versions():
    # `printf 0/train_cam | sha256sum`: the first 8 bytes, without the last bit.
    assert derived_seed(0, "train_cam") == 0xE317D029D39D454E >> 1


def test_every_name_and_the_replicate_matter():
    seeds = {
        derived_seed(*names)
        for names in ((0, "a"), (1, "a"), (0, "b"), (0, "a", 0), (0, "a", 1), (0, "a", "b"))
    }
    assert len(seeds) == 6


def test_a_seed_fits_a_signed_64_bit_integer():
    assert all(0 <= derived_seed(0, i) < 2**63 for i in range(100))


def test_generators_of_different_names_are_independent():
    one, same, other = (numpy_generator(0, *names).random(4).tolist() for names in "aab")
    assert one == same
    assert not set(one) & set(other)


def test_initialisation_depends_on_the_names_only():
    drawn = []
    for global_seed, name in ((1, "a"), (2, "a"), (1, "b")):
        with torch.random.fork_rng():
            torch.manual_seed(global_seed)
            with seeded_initialisation(0, name):
                drawn.append(torch.nn.Linear(3, 2).weight)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_initialisation_leaves_the_global_generator_as_it_was():
    before = torch.get_rng_state()
    with seeded_initialisation(0, "a"):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
