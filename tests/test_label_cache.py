"""Labels found by content: what is known is not asked for again, by this run or another."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from test_guidance_service import SIDE, Fake

from semore_fast.errors import UserError
from semore_fast.guidance.label_cache import CachedModel, LabelCache
from semore_fast.guidance.model import ModelError


def frames(*levels: int) -> np.ndarray:
    return np.stack([np.full((3, SIDE, SIDE), level, np.uint8) for level in levels])


ACTIONS = np.array([[0.0, 0.0], [0.5, -1.0]], np.float32)


def test_what_is_known_is_not_asked_for_again(tmp_path: Path) -> None:
    model = Fake()
    cached = CachedModel(model, LabelCache(tmp_path / "labels", "v1"))
    first = cached.masks(frames(10, 0, 30))
    again = cached.masks(frames(30, 10, 77, 0))
    assert model.batches == [3, 1]
    assert first[0] == [("a person",), (), ("a person",)]
    assert again[0] == [("a person",), ("a person",), ("a person",), ()]
    np.testing.assert_array_equal(again[1][:2], first[1][[2, 0]])
    assert cached.verdicts(frames(2, 3), ACTIONS) == [True, False]
    assert cached.verdicts(frames(3, 2), ACTIONS[::-1]) == [False, True]
    assert model.batches == [3, 1, 2]
    cached.close()
    assert model.closed


def test_another_action_frame_size_or_revision_is_another_label(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    cache = LabelCache(path, "v1")
    cache.put_verdict(frames(1)[0], ACTIONS[0], True)
    cache.put_mask(frames(1)[0], ("a",), np.ones((SIDE, SIDE), np.float32))
    assert cache.verdict(frames(1)[0], ACTIONS[1]) is None
    assert cache.verdict(frames(2)[0], ACTIONS[0]) is None
    assert cache.mask(np.full((3, SIDE // 2, 2 * SIDE), 1, np.uint8)) is None  # the same bytes in another shape
    assert LabelCache(path, "v2").verdict(frames(1)[0], ACTIONS[0]) is None
    assert LabelCache(path, "v1").verdict(frames(1)[0], ACTIONS[0]) is True


def test_masks_come_back_as_the_replay_buffer_would_hold_them(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random((SIDE, SIDE), np.float32)
    cache = LabelCache(tmp_path / "labels", "v1")
    cache.put_mask(frames(1)[0], ("un piéton", 'a "quoted" name\nwith a line'), mask)
    found = cache.mask(frames(1)[0])
    assert found is not None
    assert found[0] == ("un piéton", 'a "quoted" name\nwith a line')
    np.testing.assert_array_equal(np.rint(found[1] * 255), np.rint(mask * 255))


def test_a_recorded_run_needs_no_model(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    CachedModel(Fake(), LabelCache(path, "v1")).masks(frames(10))
    recorded = CachedModel(None, LabelCache.recorded(path))
    phrases, masks = recorded.masks(frames(10, 99))
    assert phrases == [("a person",), ()]
    assert masks[0, 0, 0] == pytest.approx(10 / 255)
    assert recorded.verdicts(frames(5), ACTIONS[:1]) == [True]
    assert LabelCache(path, "v1").mask(frames(99)[0]) is None  # what it did not know is not remembered as nothing
    recorded.close()


def test_a_recording_is_of_one_revision(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; record labels into it first"):
        LabelCache.recorded(tmp_path / "nothing")
    LabelCache(tmp_path / "labels", "v1")
    LabelCache(tmp_path / "labels", "v2")
    with pytest.raises(UserError, match=r"labels of one revision, it holds v1, v2; give another file"):
        LabelCache.recorded(tmp_path / "labels")
    (tmp_path / "other").write_bytes(b"not a database at all, but long enough to be taken for one" * 20)
    with pytest.raises(UserError, match="file is not a database"):
        LabelCache.recorded(tmp_path / "other")


def test_a_failed_batch_leaves_nothing_behind(tmp_path: Path) -> None:
    model = Fake()
    cache = LabelCache(tmp_path / "labels", "v1")
    model.fault = ModelError("down")
    with pytest.raises(ModelError):
        CachedModel(model, cache).masks(frames(1, 2))
    assert len(cache) == 0


def test_runs_may_share_a_file(tmp_path: Path) -> None:
    path, count = tmp_path / "labels", 200
    LabelCache(path, "v1").close()
    write = (
        "import sys, pathlib, numpy as np; from semore_fast.guidance.label_cache import LabelCache\n"
        "cache = LabelCache(pathlib.Path(sys.argv[1]), 'v1')\n"
        f"for i in range({count}): cache.put_verdict(np.full((3, 4, 4), i % 250, np.uint8), "
        "np.full(2, float(sys.argv[2]), np.float32), i % 2 == 0)"
    )
    root = Path(__file__).parents[1]
    writers = [subprocess.Popen([sys.executable, "-c", write, str(path), str(n)], cwd=root) for n in (1, 2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    cache = LabelCache(path, "v1")
    assert len(cache) == 2 * count
    assert cache.verdict(np.full((3, 4, 4), 3, np.uint8), np.full(2, 2.0, np.float32)) is False


def test_the_cache_is_used_from_the_services_thread(tmp_path: Path) -> None:
    cache = LabelCache(tmp_path / "labels", "v1")
    found: list[bool | None] = []
    thread = threading.Thread(target=lambda: found.append(cache.verdict(frames(1)[0], ACTIONS[0])))
    thread.start()
    thread.join()
    assert found == [None]


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(b"not a database, and long enough to be read as one " * 30)
    with pytest.raises(
        UserError, match=r"--guide\.cache .*labels cannot be used: file is not a database; give another"
    ):
        LabelCache(tmp_path / "labels", "v1")


def test_a_damaged_file_is_the_models_failure_not_the_runs(tmp_path: Path) -> None:
    cache = LabelCache(tmp_path / "labels", "v1")
    cache.put_verdict(frames(1)[0], ACTIONS[0], True)
    with sqlite3.connect(tmp_path / "labels") as other:
        other.execute("DROP TABLE labels")
    with pytest.raises(ModelError, match="label cache"):
        cache.verdict(frames(1)[0], ACTIONS[0])
