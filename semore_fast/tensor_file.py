"""Safetensors files, written as a stream and read in place.

The library's own writer first builds the whole file in memory, which a replay buffer of gigabytes cannot
afford, and refuses parameters that share storage. Writing the format ourselves is short
(https://github.com/huggingface/ safetensors#format: an 8-byte header length, a JSON header, the bytes), and
any safetensors reader opens the files.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open

Leaf = torch.Tensor | npt.NDArray[np.generic]

_LENGTH_BYTES = 8
_ALIGNMENT_BYTES = 8
_CHUNK_BYTES = 1 << 20  # still in the cache when it is written after having been hashed
_KINDS_KEY = "__metadata__"
_ARRAY = "ndarray"
_TENSOR = "tensor"

_NUMPY_CODES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}
_NUMPY_TYPES = {code: np.dtype(name) for name, code in _NUMPY_CODES.items()}
_TORCH_CODES = {getattr(torch, name): code for name, code in _NUMPY_CODES.items()} | {torch.bfloat16: "BF16"}


def stream(leaves: Mapping[str, Leaf]) -> tuple[int, Iterator[memoryview]]:
    """Return the size in bytes of a safetensors file of `leaves`, and its content in chunks.

    At most one chunk, or one tensor that is not contiguous or not on the CPU, is copied at a time.
    TypeError for a dtype that safetensors cannot hold.
    """
    # Wide types first: then every tensor begins at a multiple of its item size.
    names = sorted(leaves, key=lambda name: (-_item_bytes(leaves[name]), name))
    header: dict[str, object] = {
        _KINDS_KEY: {name: _TENSOR if isinstance(leaves[name], torch.Tensor) else _ARRAY for name in names}
    }
    offset = 0
    for name in names:
        leaf = leaves[name]
        end = offset + _item_bytes(leaf) * int(np.prod(leaf.shape, dtype=np.int64))
        header[name] = {"dtype": _code(name, leaf), "shape": list(leaf.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT_BYTES)
    head = len(text).to_bytes(_LENGTH_BYTES, "little") + text
    return len(head) + offset, _chunks(head, [leaves[name] for name in names])


def read(path: Path) -> dict[str, Leaf]:
    """Read a file written by `stream`: tensors as copies on the CPU, arrays as read-only maps of the file.

    Raises `safetensors.SafetensorError` for a file that is not one (the library checks the header's offsets).
    """
    leaves: dict[str, Leaf] = {}
    with safe_open(path, framework="pt", device="cpu") as opened:
        kinds = opened.metadata() or {}
        for name in opened.keys():  # noqa: SIM118 - not a mapping
            if kinds[name] == _TENSOR:
                leaves[name] = opened.get_tensor(name).clone()
    arrays = [name for name, kind in kinds.items() if kind == _ARRAY]
    return leaves | _map_arrays(path, arrays)


def _map_arrays(path: Path, names: list[str]) -> dict[str, Leaf]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        header = json.loads(file.read(length))
    arrays: dict[str, Leaf] = {}
    for name in names:
        entry = header[name]
        dtype, shape = _NUMPY_TYPES[entry["dtype"]], tuple(entry["shape"])
        offset = _LENGTH_BYTES + length + entry["data_offsets"][0]
        # An empty range cannot be mapped.
        empty = 0 in shape
        arrays[name] = np.empty(shape, dtype) if empty else np.memmap(path, dtype, "r", offset, shape)
    return arrays


def _chunks(head: bytes, leaves: list[Leaf]) -> Iterator[memoryview]:
    yield memoryview(head)
    for leaf in leaves:
        if isinstance(leaf, torch.Tensor):
            plain = leaf.detach().cpu().contiguous().reshape(-1)
            yield from _split(plain.view(torch.uint8).numpy())
        elif leaf.flags.c_contiguous:
            yield from _split(leaf.reshape(-1).view(np.uint8))
        else:
            rows = max(1, _CHUNK_BYTES // max(1, leaf[:1].nbytes))
            for first in range(0, len(leaf), rows):
                yield from _split(np.ascontiguousarray(leaf[first : first + rows]).reshape(-1).view(np.uint8))


def _split(data: npt.NDArray[np.uint8]) -> Iterator[memoryview]:
    for first in range(0, data.size, _CHUNK_BYTES):
        yield data[first : first + _CHUNK_BYTES].data


def _item_bytes(leaf: Leaf) -> int:
    return leaf.element_size() if isinstance(leaf, torch.Tensor) else leaf.dtype.itemsize


def _code(name: str, leaf: Leaf) -> str:
    if isinstance(leaf, torch.Tensor):
        code = _TORCH_CODES.get(leaf.dtype)
    else:
        code = _NUMPY_CODES.get(leaf.dtype.name) if leaf.dtype.isnative else None
    if code is None:
        raise TypeError(f"{name}: dtype {leaf.dtype} cannot be saved")
    return code
