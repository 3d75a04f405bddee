"""Nested state (`state_dict()` of anything) as named tensors plus JSON, and back, exactly.

JSON alone would turn integer keys into strings, tuples into lists and NaN into invalid text; optimiser and
random states have all of them.
"""

import math
from typing import Any

import numpy as np
import torch

from semore_fast.tensor_file import Leaf

Skeleton = Any  # JSON: a plain scalar, or {kind: content} with one of the kinds below


def flatten(tree: object) -> tuple[dict[str, Leaf], Skeleton]:
    """Split a nested state into its tensors, arrays and bytes, by path, and a JSON skeleton of everything
    else.

    Holds dict (keys str or int), list, tuple, None, bool, int, float, str, bytes, torch.Tensor and
    np.ndarray; subclasses of dict come back as dict. TypeError, naming the path, for anything else.
    """
    leaves: dict[str, Leaf] = {}
    return leaves, _encode(tree, "", leaves)


def unflatten(leaves: dict[str, Leaf], skeleton: Skeleton) -> Any:
    """Rebuild the state that `flatten` split. KeyError for a missing leaf, ValueError for an unknown kind."""
    if not isinstance(skeleton, dict):
        return skeleton
    ((kind, content),) = skeleton.items()
    match kind:
        case "leaf":
            return leaves[content]
        case "bytes":
            return np.asarray(leaves[content]).tobytes()
        case "dict":
            return {key: unflatten(leaves, value) for key, value in content}
        case "list":
            return [unflatten(leaves, value) for value in content]
        case "tuple":
            return tuple(unflatten(leaves, value) for value in content)
        case "float":
            return float(content)
    raise ValueError(f"unknown kind {kind!r} in a saved state")


def _encode(node: object, path: str, leaves: dict[str, Leaf]) -> Skeleton:
    if node is None or type(node) in (bool, int, str):
        return node
    if type(node) is float:
        return node if math.isfinite(node) else {"float": repr(node)}
    if isinstance(node, torch.Tensor | np.ndarray):
        return {"leaf": _store(node, path, leaves)}
    if isinstance(node, bytes):
        return {"bytes": _store(np.frombuffer(node, np.uint8), path, leaves)}
    if isinstance(node, dict):
        return {"dict": [[_key(key, path), _encode(value, _join(path, key), leaves)] for key, value in node.items()]}
    if type(node) in (list, tuple):
        kind = "list" if type(node) is list else "tuple"
        items: Any = node
        return {kind: [_encode(value, _join(path, index), leaves) for index, value in enumerate(items)]}
    raise TypeError(f"{path or 'state'}: {type(node).__name__} cannot be saved")


def _store(leaf: Leaf, path: str, leaves: dict[str, Leaf]) -> str:
    # Keys with dots, or 1 beside "1", can give two leaves one path.
    name = path or "state"
    while name in leaves:
        name += "'"
    leaves[name] = leaf
    return name


def _key(key: object, path: str) -> str | int:
    if type(key) is str or type(key) is int:
        return key
    raise TypeError(f"{path or 'state'}: key {key!r} is neither str nor int and cannot be saved")


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
