"""One run, one directory, one writer."""

import errno
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from semore_fast import disk
from semore_fast.errors import UserError
from semore_fast.lock import RunLock

CONFIG = "config.json"
MANIFEST = "manifest.json"
METRICS = "metrics.jsonl"
SUMMARY = "summary.json"
_MISSING = "(not set)"


class RunDirectory:
    """The directory of a run: its config, its places, and the right to write in it.

    `notices` holds what the user should be told: a lock taken over, settings that changed on resuming.
    """

    def __init__(self, path: Path, config: dict[str, Any], lock: RunLock | None, resumed: bool) -> None:
        self.path = path
        self.config = config
        self.resumed = resumed
        self.notices: list[str] = []
        self._lock = lock

    @classmethod
    def open(
        cls,
        path: Path,
        config: Mapping[str, Any],
        *,
        may_differ: Collection[str] = (),
        defaults: Mapping[str, Any] | None = None,
        needed_bytes: int = 0,
    ) -> "RunDirectory":
        """Start a run in `path`, or take up the one that is there, and hold its lock until `close`.

        `config` is nested and JSON-able. A run already there must have the same, field by field, except for
        the dotted names in `may_differ` (as "frames" or "eval.interval"), which take the new values with a
        notice; what the run there does not name, because its version had no such field, is as in `defaults`.
        `needed_bytes` is what the run will write at least. UserError, naming --out and the fix, if
        the path is not a directory, cannot be written, lacks room, is in use, or holds something else.
        """
        _make_directory(path)
        _refuse_foreign(path)
        try:
            lock = RunLock(path)
        except OSError as error:
            raise _cannot_write(path, error) from error
        try:
            run = cls(path, _plain(config), lock, (path / CONFIG).is_file())
            run.notices.extend(lock.notices)
            run._settle(may_differ, defaults or {})
            _require_space(path, needed_bytes)
        except BaseException:
            lock.release()
            raise
        return run

    @classmethod
    def read(cls, path: Path) -> "RunDirectory":
        """Open a finished or running run for reading: no lock, nothing is written.

        UserError if there is no run at `path`.
        """
        if not path.is_dir():
            what = "is not a directory" if path.exists() else "does not exist"
            raise UserError(f"run {path} {what}; give the directory that was passed to --out")
        if not (path / CONFIG).is_file():
            raise UserError(f"{path} is not a run directory: it has no {CONFIG}; give one written by train")
        return cls(path, _read_config(path), None, True)

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints go."""
        return self.path / "checkpoints"

    @property
    def videos(self) -> Path:
        """Where evaluation videos go."""
        return self.path / "videos"

    @property
    def tensorboard(self) -> Path:
        """Where TensorBoard's event files go."""
        return self.path / "tensorboard"

    @property
    def metrics(self) -> Path:
        """The metrics, one JSON object a line: the source of truth."""
        return self.path / METRICS

    def write_json(self, name: str, value: object) -> None:
        """Replace a JSON file of the run atomically. UserError if the disk is full or cannot be written."""
        try:
            disk.write_json(self.path / name, value)
        except OSError as error:
            raise _cannot_write(self.path, error) from error

    def read_json(self, name: str) -> Any:
        """Read a JSON file of the run. UserError if it is missing or damaged."""
        return _load_json(self.path / name)

    def scenario_changes(self, scenario: Mapping[str, Any]) -> list[str]:
        """Say what of the scenario is not what this run was begun in, by its manifest; nothing if it has none."""
        if not (self.path / MANIFEST).is_file():
            return []
        changed = differences(self.read_json(MANIFEST).get("scenario", {}), _plain(scenario))
        return [f"the scenario has changed since this run began: {text}" for text in changed.values()]

    def close(self) -> None:
        """Give up the lock. Calling it again does nothing."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _settle(self, may_differ: Collection[str], defaults: Mapping[str, Any]) -> None:
        """Check the config against a run already there, and write it where it is new."""
        if self.resumed:
            changed = differences(_filled(_read_config(self.path), defaults), self.config)
            forbidden = [text for name, text in changed.items() if name not in may_differ]
            if forbidden:
                raise UserError(
                    f"--out {self.path} holds a run with other settings: {'; '.join(forbidden)}; "
                    "give the same settings to resume it, or another --out"
                )
            self.notices.extend(f"changed on resuming: {text}" for text in changed.values())
            if not changed:
                return
        self.write_json(CONFIG, self.config)


def differences(saved: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    """Return what differs between two nested configs: dotted field name to `name: saved 1, given 2`."""
    before, after = flat_fields(saved), flat_fields(given)
    return {
        name: f"{name}: saved {before.get(name, _MISSING)}, given {after.get(name, _MISSING)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name, _MISSING) != after.get(name, _MISSING)
    }


def flat_fields(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted names and values as JSON text, in which 1, 1.0 and true stay apart."""
    fields: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            fields |= flat_fields(value, f"{prefix}{key}.")
        else:
            fields[f"{prefix}{key}"] = json.dumps(value)
    return fields


def _filled(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config with what it lacks from `defaults`, field by field."""
    parts = {key: _filled(config.get(key, {}), part) for key, part in defaults.items() if isinstance(part, dict)}
    return {**defaults, **config, **parts}


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config as reading it back will give it (tuples become lists)."""
    plain: dict[str, Any] = json.loads(json.dumps(config, allow_nan=False))
    return plain


def _read_config(path: Path) -> dict[str, Any]:
    config = _load_json(path / CONFIG)
    if not isinstance(config, dict):
        raise UserError(f"{path / CONFIG} is damaged: it should hold a JSON object")
    return config


def _load_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged, not valid JSON: {error}") from error


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"--out {path} is not a directory; give a new or existing directory") from error
    except OSError as error:
        raise _cannot_write(path, error) from error


def _refuse_foreign(path: Path) -> None:
    """Refuse a directory of something else, before anything is written in it. Hidden files may be ours."""
    names = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    if names and CONFIG not in names:
        raise UserError(
            f"--out {path} is not empty (it has {names[0]}) and is not a run directory "
            f"(no {CONFIG}); give a new directory"
        )


def _require_space(path: Path, needed_bytes: int) -> None:
    free = disk.free_bytes(path)
    if free < needed_bytes:
        needed, left = disk.readable_bytes(needed_bytes), disk.readable_bytes(free)
        raise UserError(f"--out {path}: the run needs {needed} of disk, {left} are free; make room or use another disk")


def _cannot_write(path: Path, error: OSError) -> UserError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    fix = "make room or use another disk" if full else "give a directory you can write"
    return UserError(f"--out {path} cannot be written: {error.strerror or error}; {fix}")
