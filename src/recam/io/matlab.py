"""Matrices of numbers and cell arrays of names in MATLAB 5 files, compressed (version 7) or not.

The format is MathWorks' "MAT-File Level 5 File Format". SciPy's reader ends the process on some
damaged files; this one raises an error.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from recam.core.errors import UserError

HEADER, LITTLE_ENDIAN_5 = 128, b"\x00\x01IM"  # bytes; the version and byte order at its end
MATRIX, COMPRESSED = 14, 15  # types of elements
CELL, TEXT, NUMBERS = 1, 4, range(6, 16)  # classes of matrices
COMPLEX = 0x08  # flag of a matrix
NUMBER_TYPES = {
    **{1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4"},
    **{7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"},
}
ENCODINGS = {1: "ascii", 2: "utf-8", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}

Array = Shaped[np.ndarray, "..."]  # of numbers, or of names as objects


def read_numbers(file: Path, name: str) -> Shaped[np.ndarray, "m n"]:
    """Read the matrix of real numbers ``name``. Raises UserError if there is none."""
    values = _read(file, name)
    if values.dtype == object or values.ndim != 2:
        raise UserError(
            f"{file}: expected {name!r} as a matrix of numbers, got another kind; replace the file"
        )
    return values


def read_names(file: Path, name: str) -> tuple[str, ...]:
    """Read the cell array of texts ``name``, by column. Raises UserError if there is none."""
    values = _read(file, name)
    if values.dtype != object:
        raise UserError(
            f"{file}: expected {name!r} as a cell array of texts, got numbers; replace the file"
        )
    return tuple(map(str, values.ravel(order="F")))


def _read(file: Path, name: str) -> Array:
    try:
        variables = dict(_variables(file.read_bytes()))
        if name in variables:
            return _values(variables[name])
    except FileNotFoundError as error:
        raise UserError(f"{file}: not found; add it") from error
    except (ValueError, LookupError, OverflowError, struct.error, zlib.error) as error:
        raise UserError(
            f"{file}: expected an intact MATLAB 5 file, got a damaged or another one "
            f"({' '.join(str(error).split()):.80}); replace it"
        ) from error
    got = ", ".join(map(repr, variables)) or "none"
    raise UserError(f"{file}: expected the variable {name!r}, got {got:.80}; replace the file")


def _variables(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Names of the variables of a file, and the contents of their elements."""
    if data[HEADER - len(LITTLE_ENDIAN_5) : HEADER] != LITTLE_ENDIAN_5:
        raise ValueError("no header of a little-endian MATLAB 5 file")
    for kind, body in _elements(data[HEADER:]):
        packed = kind == COMPRESSED
        for inner, matrix in _elements(zlib.decompress(body)) if packed else [(kind, body)]:
            if inner != MATRIX:
                raise ValueError(f"element of type {inner} instead of a matrix")
            _, _, (_, name), *_ = _elements(matrix)
            yield name.decode("ascii"), matrix


def _values(matrix: bytes) -> Array:
    (_, flags), (_, dimensions), _, *parts = _elements(matrix)
    shape = tuple(int(length) for length in np.frombuffer(dimensions, "<i4"))
    kind, is_complex = flags[0], flags[1] & COMPLEX
    if kind == CELL:
        values = np.array([_text(cell) for _, cell in parts], dtype=object)
    elif kind in NUMBERS and not is_complex:
        ((number_type, numbers),) = parts
        values = np.frombuffer(numbers, NUMBER_TYPES[number_type])
    else:
        raise ValueError(f"matrix of class {kind} instead of real numbers or cells")
    if min(shape) < 0 or math.prod(shape) != len(values):
        raise ValueError(f"{len(values)} values for a matrix of shape {shape}")
    return values.reshape(shape, order="F")


def _text(cell: bytes) -> str:
    (_, flags), _, _, (encoding, text) = _elements(cell)
    if flags[0] != TEXT:
        raise ValueError(f"cell of class {flags[0]} instead of text")
    return text.decode(ENCODINGS[encoding])


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Types and contents of consecutive elements, which are padded to multiples of 8 bytes."""
    start = 0
    while start < len(data):
        kind, size = struct.unpack_from("<II", data, start)
        first = start + 8
        if kind >> 16:  # a small element: its size is in the upper half, its content follows
            kind, size, first = kind & 0xFFFF, kind >> 16, start + 4
        if first + size > len(data):
            raise ValueError(f"{first + size - len(data)} bytes are missing")
        yield kind, data[first : first + size]
        padded = kind != COMPRESSED
        start = first + size + (-(first + size - start) % 8 if padded else 0)
