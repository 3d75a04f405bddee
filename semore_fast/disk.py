"""Durable writes. Everything a run keeps reaches the disk through these few primitives.

They are thin over `os` and looked up on the module at every call, so that a test can make the N-th of them
fail, which is how the crash tests visit every point of a save.
"""

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

CHUNK_BYTES = 16 << 20


def create(path: Path) -> int:
    """Open a new or emptied file for writing and return its descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)


def write(descriptor: int, data: memoryview) -> int:
    """Write some of `data` and return how many bytes were taken."""
    return os.write(descriptor, data)


def fsync(descriptor: int) -> None:
    """Wait until the file's bytes are on the disk."""
    os.fsync(descriptor)


def rename(source: Path, target: Path) -> None:
    """Rename atomically within one filesystem."""
    os.rename(source, target)


def make_directory(path: Path) -> None:
    """Create one directory."""
    os.mkdir(path)


def remove_tree(path: Path) -> None:
    """Remove a directory and what is in it."""
    shutil.rmtree(path)


def fsync_directory(path: Path) -> None:
    """Wait until a directory's entries (creations and renames in it) are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: memoryview) -> None:
    """Write all of `data` (bytes, one-dimensional), however many system calls it takes."""
    while data.nbytes:
        data = data[write(descriptor, data[:CHUNK_BYTES]) :]


def write_file(path: Path, chunks: Iterable[memoryview]) -> None:
    """Write a file from chunks and wait until it is on the disk. Its directory entry still needs a sync."""
    descriptor = create(path)
    try:
        for chunk in chunks:
            write_all(descriptor, chunk)
        fsync(descriptor)
    finally:
        os.close(descriptor)


def json_bytes(value: object) -> bytes:
    """Return readable JSON. ValueError for a NaN or infinity, TypeError for what JSON cannot hold."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def write_json(path: Path, value: object) -> None:
    """Replace `path` by JSON atomically: a crash at any moment leaves the old or the new content."""
    staged = path.with_name(f".{path.name}.tmp")
    write_file(staged, [memoryview(json_bytes(value))])
    rename(staged, path)
    fsync_directory(path.parent)


def free_bytes(path: Path) -> int:
    """Return the bytes an ordinary user may still write on the filesystem of `path`."""
    return shutil.disk_usage(path).free


def readable_bytes(count: float) -> str:
    """Return a size for people: `1.5 GB` (decimal units)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
