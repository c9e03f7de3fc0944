"""The share of a step's work that is this process's, where several processes do it together.

They are started by torchrun, or by the step itself where `devices` asks for several. Alone, all of
the work is this process's, and nothing is exchanged.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from torch import Tensor, distributed

# Until one that waits gives the others up: what they do may take long, and whoever started them
# stops all when one ends.
PATIENCE = timedelta(days=7)

T = TypeVar("T")


def processes() -> int:
    """How many work together."""
    return distributed.get_world_size() if _is_joined() else 1


def is_first() -> bool:
    """Whether this one is the first of them, which writes what all have made."""
    return not _is_joined() or distributed.get_rank() == 0


def shard(items: Sequence[T]) -> list[T]:
    """What of it this process does: every n-th, so that none has all the hard ones.

    Give all there is, and leave out afterwards what is done already: all must share the same.
    """
    return list(items[distributed.get_rank() :: processes()] if _is_joined() else items)


def wait_for_all() -> None:
    """Go on when all have come here."""
    if _is_joined():
        distributed.barrier()


def is_first_after_all() -> bool:
    """Wait until all have come here, then as ``is_first``."""
    wait_for_all()
    return is_first()


def all_reduce_sum(values: Tensor) -> Tensor:
    """The sum of what each process has there, for all of them; no gradient passes."""
    if not _is_joined():
        return values
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total


@contextmanager
def process_group() -> Iterator[None]:
    """Work together with the processes that torchrun has started beside this one.

    After a mistake nothing is taken leave of: the others may wait for this one, and would be waited
    for. It is to end at once, and whoever started them ends the others.
    """
    distributed.init_process_group(timeout=PATIENCE)
    yield
    distributed.destroy_process_group()


def _is_joined() -> bool:
    return distributed.is_available() and distributed.is_initialized()
