"""Data-parallel helpers: rank, sharding, barriers and sums over `torch.distributed`.

Processes are started by torchrun, or by the step itself for `devices` above 1. Outside a process
group the helpers act as for a single process.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from torch import Tensor, distributed

from recam.runtime.parts import WHOLE, Part

# The time limit of a barrier. A rank may work for long, and the launcher stops all ranks when one
# fails.
PATIENCE = timedelta(days=7)

T = TypeVar("T")


def processes() -> int:
    """The number of processes in the group; 1 outside a group."""
    return distributed.get_world_size() if _is_joined() else 1


def is_first() -> bool:
    """Whether this process has rank 0, which writes the output of all."""
    return not _is_joined() or distributed.get_rank() == 0


def shard(items: Sequence[T]) -> list[T]:
    """The shard of this rank: every n-th item, so that hard items are spread evenly.

    All ranks must pass the same items: shard first, then drop the items that are done already.
    """
    return list(items[distributed.get_rank() :: processes()] if _is_joined() else items)


def batches_left(
    items: Sequence[T],
    batched: Callable[[Sequence[T]], list[list[T]]],
    *,
    is_done: Callable[[T], bool],
    part: Part = WHOLE,
) -> list[list[T]]:
    """The batches of this rank of ``part`` in which an item is not done.

    ``batched`` groups all items, so an item has the same company, and the same rounding, with any
    number of parts and ranks and after a kill. All ranks must pass the same items.
    """
    if all(map(is_done, items)):
        return []
    mine = shard(batched(items)[part.number - 1 :: part.of])
    return [batch for batch in mine if not all(map(is_done, batch))]


def wait_for_all() -> None:
    """A barrier: return when every rank has called it."""
    if _is_joined():
        distributed.barrier()


def is_first_after_all() -> bool:
    """Wait for all ranks, then return ``is_first()``."""
    wait_for_all()
    return is_first()


def all_reduce_sum(values: Tensor) -> Tensor:
    """The sum of ``values`` over all ranks, on every rank; detached from the graph."""
    if not _is_joined():
        return values
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total


@contextmanager
def process_group() -> Iterator[None]:
    """Join the process group that torchrun has set up, and leave it at the end of the block.

    On an exception the process group is left as it is: destroying it would wait for ranks that wait
    for this one. The process ends, and the launcher stops the others.
    """
    distributed.init_process_group(timeout=PATIENCE)
    yield
    distributed.destroy_process_group()


def _is_joined() -> bool:
    return distributed.is_available() and distributed.is_initialized()
