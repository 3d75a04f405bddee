"""Labels on disk, found by content: the same frame, question and model revision are never asked for twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semore_fast.errors import UserError
from semore_fast.guidance.model import FrameModel, ModelError, Phrases, grey_levels

_BUSY_S = 30.0
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS labels (key BLOB PRIMARY KEY, label BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS revisions (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""

Mask = tuple[Phrases, NDArray[np.float32]]


class LabelCache:
    """A SQLite file of labels that several runs may share.

    Masks are kept with 8 bits, as the replay buffer keeps them.

    Args:
        path: of the file; made if it is not there.
        revision: of the model whose labels these are; other revisions' labels lie beside them unseen.

    Raises:
        UserError: the file cannot be opened or is something else.
    """

    def __init__(self, path: Path, revision: str) -> None:
        self.revision = revision
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.executescript(_SCHEMA)
            self._database.execute("INSERT OR IGNORE INTO revisions VALUES (?)", (revision,))
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"--guide.cache {path} cannot be used: {error}; give another file") from error

    @classmethod
    def recorded(cls, path: Path) -> LabelCache:
        """The cache of a file that holds the labels of one revision.

        Raises:
            UserError: there is no such file, or it holds none or several.
        """
        if not path.is_file():
            raise UserError(
                f"--guide.cache {path} does not exist; record labels into it first, with --guidance qwen or chat"
            )
        try:
            with sqlite3.connect(path) as database:
                names = [name for (name,) in database.execute("SELECT name FROM revisions")]
        except sqlite3.Error as error:
            raise UserError(f"--guide.cache {path} cannot be used: {error}; give another file") from error
        if len(names) != 1:
            held = ", ".join(names) or "none"
            raise UserError(
                f"--guide.cache {path} must hold the labels of one revision, it holds {held}; give another file"
            )
        return cls(path, names[0])

    def mask(self, frame: NDArray[np.uint8]) -> Mask | None:
        """Phrases and mask [H, W] of a frame, if they are known."""
        label = self._get(self._key(b"mask", frame))
        if label is None:
            return None
        text, _, levels = label.partition(b"\n")
        shape = frame.shape[1:]
        mask = np.frombuffer(zlib.decompress(levels), np.uint8).reshape(shape).astype(np.float32) / np.float32(255)
        return tuple(json.loads(text)), mask

    def put_mask(self, frame: NDArray[np.uint8], phrases: Phrases, mask: NDArray[np.float32]) -> None:
        """Remember a frame's phrases and mask."""
        levels = zlib.compress(grey_levels(mask).tobytes())
        self._put(self._key(b"mask", frame), json.dumps(phrases).encode() + b"\n" + levels)

    def verdict(self, frame: NDArray[np.uint8], action: NDArray[np.float32]) -> bool | None:
        """Whether an action [2] is reasonable in a frame, if that is known."""
        label = self._get(self._key(b"verdict", frame, action))
        return None if label is None else label == b"1"

    def put_verdict(self, frame: NDArray[np.uint8], action: NDArray[np.float32], reasonable: bool) -> None:
        """Remember a verdict."""
        self._put(self._key(b"verdict", frame, action), b"1" if reasonable else b"0")

    def __len__(self) -> int:
        """Labels of all revisions."""
        return int(self._database.execute("SELECT COUNT(*) FROM labels").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _key(self, question: bytes, *arrays: NDArray[np.generic]) -> bytes:
        digest = hashlib.sha256()
        for part in (self.revision.encode(), question, *(f"{a.dtype}{a.shape}".encode() + a.tobytes() for a in arrays)):
            digest.update(len(part).to_bytes(8, "little") + part)
        return digest.digest()

    def _get(self, key: bytes) -> bytes | None:
        try:
            row = self._database.execute("SELECT label FROM labels WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise ModelError(f"label cache: {error}") from error
        return None if row is None else bytes(row[0])

    def _put(self, key: bytes, label: bytes) -> None:
        try:
            self._database.execute("INSERT OR REPLACE INTO labels VALUES (?, ?)", (key, label))
        except sqlite3.Error as error:
            raise ModelError(f"label cache: {error}") from error


class CachedModel:
    """A `FrameModel` that asks another only for what the cache does not know.

    With None it only remembers: a frame it does not know has nothing named in it, and its actions are reasonable.
    """

    def __init__(self, model: FrameModel | None, cache: LabelCache) -> None:
        self.revision = cache.revision
        self._model, self._cache = model, cache

    def masks(self, frames: NDArray[np.uint8]) -> tuple[list[Phrases], NDArray[np.float32]]:
        """See `FrameModel.masks`."""
        known: dict[int, Mask] = {}
        for row, frame in enumerate(frames):
            found = self._cache.mask(frame)
            if found is not None:
                known[row] = found
        missing = [row for row in range(len(frames)) if row not in known]
        if missing and self._model is None:
            known |= {row: ((), np.zeros(frames.shape[2:], np.float32)) for row in missing}
        elif missing and self._model is not None:
            phrases, masks = self._model.masks(frames[missing])
            for row, named, mask in zip(missing, phrases, masks, strict=True):
                self._cache.put_mask(frames[row], named, mask)
                known[row] = named, mask
        return [known[row][0] for row in range(len(frames))], np.stack([known[row][1] for row in range(len(frames))])

    def verdicts(self, frames: NDArray[np.uint8], actions: NDArray[np.float32]) -> Sequence[bool]:
        """See `FrameModel.verdicts`."""
        known = [self._cache.verdict(frame, action) for frame, action in zip(frames, actions, strict=True)]
        missing = [row for row, verdict in enumerate(known) if verdict is None]
        if missing and self._model is not None:
            for row, verdict in zip(missing, self._model.verdicts(frames[missing], actions[missing]), strict=True):
                self._cache.put_verdict(frames[row], actions[row], bool(verdict))
                known[row] = bool(verdict)
        return [verdict is not False for verdict in known]

    def close(self) -> None:
        """See `FrameModel.close`."""
        self._cache.close()
        if self._model is not None:
            self._model.close()
