"""Checkpoints: safetensors and a JSON manifest, never half written, never trusted unread, no pickle.

A save stages a hidden directory, syncs every file, then renames it into place and syncs the parent, so a
crash at any moment leaves the earlier checkpoints as they were. `manifest.json` holds the size and SHA-256 of
every file and `manifest.sha256` covers the manifest (`sha256sum -c manifest.sha256` works by hand). Loading
verifies all of it and falls back to the newest checkpoint that is whole.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from semore_fast import disk, tensor_file
from semore_fast.errors import UserError
from semore_fast.tensor_file import Leaf

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
DIGEST = "manifest.sha256"

_STAGING = ".staging"
_DISCARDED = ".discarded"
_NAME = re.compile(r"(\d{6,})-step-(\d+)")
_GROUP = re.compile(r"[a-z][a-z0-9_]*")
_MARGIN_BYTES = 1 << 20  # for the manifest and the filesystem's own bookkeeping


class DamagedCheckpointError(Exception):
    """A checkpoint directory that is not whole. The message names the file and what is wrong with it."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint just written: where, its size, how long training stood still, and notices for the log."""

    path: Path
    size_bytes: int
    seconds: float
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: tensors on the CPU, arrays as read-only maps of the file, to be copied out."""

    path: Path
    step: int
    tensors: dict[str, dict[str, Leaf]]
    meta: dict[str, Any]
    notices: tuple[str, ...]


def save(
    directory: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Leaf]],
    meta: Mapping[str, Any],
    *,
    keep: int = 2,
) -> Saved:
    """Write a checkpoint and remove all but the newest `keep`.

    `tensors` maps group ("agent", "replay", ...) to name to tensor or array, `meta` is whatever else JSON
    holds. Arrays are streamed: memory does not grow with their size. The order of checkpoints is the order of
    saving, whatever their steps. UserError if the disk is full or cannot be written: earlier checkpoints are
    untouched.
    """
    started_s = perf_counter()
    if keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}")
    for group in tensors:
        if not _GROUP.fullmatch(group):
            raise ValueError(f"group {group!r} must be a lower-case identifier")
    disk.json_bytes(meta)  # refuse what JSON cannot hold before anything is written
    streams = {f"{group}.safetensors": tensor_file.stream(leaves) for group, leaves in tensors.items()}
    size_bytes = sum(size for size, _ in streams.values())
    try:
        _remove_leftovers(directory)
        _require_space(directory, size_bytes)
        path = _publish(directory, step, {name: chunks for name, (_, chunks) in streams.items()}, meta)
        notices = _prune(directory, keep)
    except OSError as error:
        raise UserError(
            f"cannot save a checkpoint in {directory}: {error.strerror or error}; "
            "make room or make it writable (earlier checkpoints are untouched)"
        ) from error
    return Saved(path, size_bytes, perf_counter() - started_s, notices)


def load_latest(directory: Path) -> Checkpoint | None:
    """Load the newest checkpoint that is whole, with a notice for every newer one that is not.

    None if nothing was ever saved. UserError, naming each fault, if there are checkpoints and all are
    damaged: starting afresh over a damaged run is for the user to decide.
    """
    faults: list[str] = []
    for path in list_checkpoints(directory):
        try:
            manifest = verify(path)
            tensors = {group: tensor_file.read(path / f"{group}.safetensors") for group in manifest["groups"]}
        except DamagedCheckpointError as fault:
            faults.append(str(fault))
            continue
        notices = [f"damaged checkpoint passed over: {fault}" for fault in faults]
        if faults:
            notices.append(f"fell back to {path.name}")
        return Checkpoint(path, manifest["step"], tensors, manifest["meta"], tuple(notices))
    if faults:
        raise UserError(f"no checkpoint in {directory} is whole: {'; '.join(faults)}; remove it to start afresh")
    return None


def list_checkpoints(directory: Path) -> list[Path]:
    """Return the published checkpoints of a directory, newest first, whole or not."""
    found = [path for path in directory.glob("*-step-*") if _NAME.fullmatch(path.name)]
    return sorted(found, key=_sequence, reverse=True)


def verify(path: Path) -> dict[str, Any]:
    """Check every byte of a checkpoint; return its manifest, or raise DamagedCheckpointError."""
    text = _read(path / MANIFEST)
    if _read(path / DIGEST) != _digest_line(text):
        raise DamagedCheckpointError(f"{path.name}/{MANIFEST} does not match {DIGEST}")
    manifest: dict[str, Any] = json.loads(text)
    if manifest["format_version"] != FORMAT_VERSION:
        found = manifest["format_version"]
        raise DamagedCheckpointError(f"{path.name} has format version {found}, this program reads {FORMAT_VERSION}")
    for name, expected in manifest["files"].items():
        _verify_file(path / name, expected["bytes"], expected["sha256"])
    return manifest


def _publish(directory: Path, step: int, streams: Mapping[str, Iterator[memoryview]], meta: Mapping[str, Any]) -> Path:
    earlier = list_checkpoints(directory)
    sequence = _sequence(earlier[0]) + 1 if earlier else 1
    path = directory / f"{sequence:06d}-step-{step}"
    staged = directory / f"{_STAGING}-{path.name}"
    disk.make_directory(staged)
    try:
        files = {name: _write_hashed(staged / name, chunks) for name, chunks in streams.items()}
        manifest = {
            "format_version": FORMAT_VERSION,
            "step": step,
            "groups": [name.removesuffix(".safetensors") for name in streams],
            "files": files,
            "meta": meta,
        }
        text = disk.json_bytes(manifest)
        disk.write_file(staged / MANIFEST, [memoryview(text)])
        disk.write_file(staged / DIGEST, [memoryview(_digest_line(text))])
        disk.fsync_directory(staged)
        disk.rename(staged, path)
    except OSError:
        # Room may be what is missing. What cannot be removed now is removed at the next save.
        with contextlib.suppress(OSError):
            disk.remove_tree(staged)
        raise
    disk.fsync_directory(directory)
    return path


def _write_hashed(path: Path, chunks: Iterator[memoryview]) -> dict[str, object]:
    digest = hashlib.sha256()
    size_bytes = 0

    def hashed() -> Iterator[memoryview]:
        nonlocal size_bytes
        for chunk in chunks:
            digest.update(chunk)
            size_bytes += chunk.nbytes
            yield chunk

    disk.write_file(path, hashed())
    return {"bytes": size_bytes, "sha256": digest.hexdigest()}


def _verify_file(path: Path, size_bytes: int, sha256: str) -> None:
    name = f"{path.parent.name}/{path.name}"
    try:
        with path.open("rb") as file:
            found_bytes = path.stat().st_size
            if found_bytes != size_bytes:
                raise DamagedCheckpointError(f"{name} has {found_bytes} bytes instead of {size_bytes}")
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise DamagedCheckpointError(f"{name} does not match its SHA-256")
    except OSError as error:
        raise DamagedCheckpointError(f"{name} cannot be read: {error.strerror}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DamagedCheckpointError(f"{path.parent.name}/{path.name} cannot be read: {error.strerror}") from error


def _digest_line(manifest_text: bytes) -> bytes:
    return f"{hashlib.sha256(manifest_text).hexdigest()}  {MANIFEST}\n".encode()


def _require_space(directory: Path, size_bytes: int) -> None:
    free = disk.free_bytes(directory)
    if free < size_bytes + _MARGIN_BYTES:
        needed, left = disk.readable_bytes(size_bytes), disk.readable_bytes(free)
        raise UserError(
            f"cannot save a checkpoint in {directory}: it needs {needed}, {left} are free; "
            "make room (earlier checkpoints are untouched)"
        )


def _remove_leftovers(directory: Path) -> None:
    """Remove what an interrupted save or removal left behind."""
    if not directory.is_dir():
        disk.make_directory(directory)
        disk.fsync_directory(directory.parent)
    for pattern in (f"{_STAGING}-*", f"{_DISCARDED}-*"):
        for path in directory.glob(pattern):
            disk.remove_tree(path)


def _prune(directory: Path, keep: int) -> tuple[str, ...]:
    """Remove old checkpoints. Renamed first, so that one half removed is never taken for a damaged one."""
    for path in list_checkpoints(directory)[keep:]:
        discarded = directory / f"{_DISCARDED}-{path.name}"
        try:
            disk.rename(path, discarded)
            disk.remove_tree(discarded)
        except OSError as error:
            return (f"old checkpoint {path} not removed yet: {error.strerror or error}",)
    return ()


def _sequence(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None, path
    return int(match[1])
