"""The bytes that a computation holds at its peak, found without computing it."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")  # tensors with a size and without values

Network = TypeVar("Network", bound=nn.Module)


def without_values(network: Network) -> Network:
    """A copy of a network whose tensors have sizes only, for ``peak_bytes``."""
    tensors = {
        id(p): nn.Parameter(p.detach().to(META), requires_grad=False) for p in network.parameters()
    }
    buffers = {id(b): b.to(META) for b in network.buffers()}
    return copy.deepcopy(network, tensors | buffers)


def peak_bytes(work: Callable[[], object]) -> int:
    """The largest sum of the bytes of tensors that ``work``, on the device META, makes and holds.

    Tensors that exist before do not count, nor do buffers inside PyTorch's operators.
    """
    held = _Held()
    with torch.inference_mode(), held:
        work()
    return held.peak


class _Held(TorchDispatchMode):
    """Sees the result of every operator."""

    def __init__(self):
        super().__init__()
        self.storages: dict[int, _Storage] = {}
        self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {each.cdata for each in _storages((args, kwargs))}
        before = given - self.storages.keys()  # weights, for example
        result = func(*args, **(kwargs or {}))
        self.storages |= {s.cdata: s for s in _storages(result) if s.cdata not in before}
        self.storages = {key: s for key, s in self.storages.items() if not s.reference.expired()}
        self.peak = max(self.peak, sum(each.size for each in self.storages.values()))
        return result


class _Storage(NamedTuple):
    reference: StorageWeakRef
    size: int  # bytes

    @property
    def cdata(self) -> int:
        return self.reference.cdata


def _storages(tree: object) -> list[_Storage]:
    found = (v.untyped_storage() for v in tree_leaves(tree) if isinstance(v, Tensor))
    return [_Storage(StorageWeakRef(storage), storage.nbytes()) for storage in found]
