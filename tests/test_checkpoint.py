import contextlib
import errno
import hashlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import subprocess
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from semore_fast import checkpoint, disk, tensor_file
from semore_fast.checkpoint import DamagedCheckpointError, list_checkpoints, load_latest, save, verify
from semore_fast.errors import UserError


@pytest.fixture(autouse=True)
def synced(monkeypatch):
    """The descriptors synced. Nothing waits for the disk: the tests of power loss tell what syncing is for."""
    descriptors = []
    monkeypatch.setattr(os, "fsync", descriptors.append)
    return descriptors


def content(step):
    """Tensors and meta that tell their step in every file."""
    frames = np.full((5, 3, 4, 4), step % 256, np.uint8)
    agent = {"weight": torch.full((3, 2), float(step)), "half": torch.tensor([step], dtype=torch.bfloat16)}
    return {"agent": agent, "replay": {"frames": frames, "cursor": np.array(step)}}, {"step": step, "big": 2**70}


def save_content(directory, step, **options):
    return save(directory, step, *content(step), **options)


def assert_is(loaded, step):
    tensors, meta = content(step)
    assert (loaded.step, loaded.meta) == (step, meta)
    for group, leaves in tensors.items():
        assert loaded.tensors[group].keys() == leaves.keys()
        for name, leaf in leaves.items():
            found = loaded.tensors[group][name]
            assert found.dtype == leaf.dtype
            assert found.shape == leaf.shape
            assert (found == leaf).all()


def files_of(path):
    return sorted(entry for entry in path.iterdir() if entry.is_file())


def test_what_was_saved_is_loaded(tmp_path):
    saved = save_content(tmp_path / "checkpoints", 7)
    loaded = load_latest(tmp_path / "checkpoints")
    assert_is(loaded, 7)
    assert (loaded.path, loaded.notices, saved.notices) == (saved.path, (), ())
    assert saved.size_bytes == sum(file.stat().st_size for file in saved.path.glob("*.safetensors"))


def test_syncing_reaches_the_system(tmp_path, synced):
    descriptor = disk.create(tmp_path / "file")
    disk.fsync(descriptor)
    os.close(descriptor)
    assert synced == [descriptor]


def test_nothing_saved_yet(tmp_path):
    assert load_latest(tmp_path) is None
    assert load_latest(tmp_path / "nowhere") is None


def test_the_newest_are_kept_in_the_order_of_saving(tmp_path):
    for step in (100, 200, 300, 150):
        save_content(tmp_path, step, keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["000004-step-150", "000003-step-300"]
    assert sorted(os.listdir(tmp_path)) == ["000003-step-300", "000004-step-150"]
    assert_is(load_latest(tmp_path), 150)
    with pytest.raises(ValueError, match="keep must be at least 1"):
        save_content(tmp_path, 1, keep=0)


def test_other_tools_read_the_files(tmp_path):
    path = save_content(tmp_path, 3).path
    assert load_file(path / "agent.safetensors")["weight"].tolist() == [[3.0, 3.0]] * 3
    assert load_file(path / "replay.safetensors")["frames"].shape == (5, 3, 4, 4)
    subprocess.run(["sha256sum", "--check", "--strict", "manifest.sha256"], cwd=path, check=True, capture_output=True)
    for name, entry in json.loads((path / "manifest.json").read_text())["files"].items():
        assert hashlib.sha256((path / name).read_bytes()).hexdigest() == entry["sha256"]


NUMPY_TYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]
TORCH_TYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16]
TORCH_TYPES += [torch.int8, torch.uint8, torch.bool]


def test_every_dtype_shape_and_layout_comes_back(tmp_path):
    generator = np.random.default_rng(0)
    base = generator.integers(0, 100, (6, 4, 5))
    arrays = {f"array {kind} é": base.astype(kind) for kind in NUMPY_TYPES}
    arrays |= {"scalar": np.array(3.5), "empty": np.zeros((0, 4)), "transposed": base.T, "strided": base[::2, ::-1]}
    arrays["broadcast"] = np.broadcast_to(np.arange(5, dtype=np.int16), (300_000, 5))
    arrays["0 odd"] = np.ones(3, bool)
    tensors = {f"tensor {kind}": torch.from_numpy(base).to(kind) for kind in TORCH_TYPES}
    tensors |= {"t": torch.from_numpy(base).permute(2, 0, 1), "zero": torch.zeros(0, 3), "one": torch.tensor(2.0)}
    tensors["alias"] = tensors["one"]
    tensors["parameter"] = torch.nn.Parameter(torch.ones(2))
    save(tmp_path, 1, {"all": arrays | tensors}, {})
    loaded = load_latest(tmp_path).tensors["all"]
    assert loaded.keys() == arrays.keys() | tensors.keys()
    for name, array in arrays.items():
        assert isinstance(loaded[name], np.ndarray)
        assert loaded[name].dtype == array.dtype
        assert loaded[name].flags.aligned
        np.testing.assert_array_equal(loaded[name], array)
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor.detach())


def test_loaded_tensors_are_ours_and_arrays_are_read_only_maps(tmp_path):
    saved = save_content(tmp_path, 3).path
    loaded = load_latest(tmp_path)
    (saved / "agent.safetensors").write_bytes(bytes((saved / "agent.safetensors").stat().st_size))
    assert (loaded.tensors["agent"]["weight"] == 3).all()
    loaded.tensors["agent"]["weight"].zero_()
    assert isinstance(loaded.tensors["replay"]["frames"], np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        loaded.tensors["replay"]["frames"][:] = 0
    shutil.rmtree(loaded.path)
    assert (loaded.tensors["replay"]["frames"] == 3).all()


@pytest.mark.parametrize("value", [np.zeros(2, complex), np.array(["a"]), np.array([None]), np.zeros(2, ">f4")])
def test_a_dtype_that_cannot_be_saved_is_named(tmp_path, value):
    with pytest.raises(TypeError, match=r"bad: dtype .* cannot be saved"):
        save(tmp_path / "c", 1, {"agent": {"bad": value}}, {})
    assert not (tmp_path / "c").exists()


def test_bad_meta_and_groups_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        save(tmp_path / "c", 1, {}, {"loss": float("nan")})
    for group in ("../up", "", "A b"):
        with pytest.raises(ValueError, match="lower-case identifier"):
            save(tmp_path / "c", 1, {group: {}}, {})
    assert not (tmp_path / "c").exists()


def test_streaming_keeps_no_second_copy():
    array = np.zeros((64, 1 << 20), np.uint8)
    size, chunks = tensor_file.stream({"contiguous": array, "strided": array[:, ::2]})
    lengths = [chunk.nbytes for chunk in chunks]
    assert sum(lengths) == size
    assert max(lengths) <= 1 << 20


# Damage


def test_every_flipped_byte_and_truncation_is_found_and_passed_over(tmp_path):
    save_content(tmp_path, 1)
    newest = save_content(tmp_path, 2).path
    generator = random.Random(0)
    files = files_of(newest)
    assert len(files) == 4
    for trial in range(400):
        file = files[trial % len(files)]
        whole = file.read_bytes()
        position = generator.randrange(len(whole))
        flipped = bytes([whole[position] ^ (1 << generator.randrange(8))])
        cut = trial % 5 == 0
        file.write_bytes(whole[:position] if cut else whole[:position] + flipped + whole[position + 1 :])
        with pytest.raises(DamagedCheckpointError):
            verify(newest)
        file.write_bytes(whole)
    verify(newest)


@pytest.mark.parametrize("name", ["agent.safetensors", "manifest.json", "manifest.sha256", "replay.safetensors"])
@pytest.mark.parametrize("damage", ["torn", "missing", "flipped"])
def test_a_damaged_checkpoint_is_passed_over_with_its_file_named(tmp_path, name, damage):
    save_content(tmp_path, 1)
    file = save_content(tmp_path, 2).path / name
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 1
    {
        "torn": lambda: file.write_bytes(whole[:-1]),
        "missing": file.unlink,
        "flipped": lambda: file.write_bytes(whole),
    }[damage]()
    loaded = load_latest(tmp_path)
    assert_is(loaded, 1)
    expected = "instead of" if damage == "torn" and name.endswith("tensors") else ""
    assert expected in loaded.notices[0]
    assert f"000002-step-2/{'manifest' if 'manifest' in name else name}" in loaded.notices[0]
    assert loaded.notices[-1] == "fell back to 000001-step-1"
    assert save_content(tmp_path, 2).path.name == "000003-step-2"
    assert_is(load_latest(tmp_path), 2)


def test_when_all_are_damaged_nothing_is_started_afresh(tmp_path):
    for step in (1, 2):
        (save_content(tmp_path, step).path / "agent.safetensors").unlink()
    with pytest.raises(UserError, match=r"no checkpoint in .* is whole: 000002-step-2/agent.* 000001-step-1/agent"):
        load_latest(tmp_path)


def test_a_checkpoint_of_a_later_format_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT_VERSION", 9)
    save_content(tmp_path, 1)
    monkeypatch.undo()
    with pytest.raises(UserError, match="format version 9, this program reads 1"):
        load_latest(tmp_path)


# Faults at every operation

PRIMITIVES = ("create", "write", "fsync", "rename", "make_directory", "remove_tree")


class Dead(BaseException):
    """Stands for the end of the process: nothing of ours may run after it."""


class FaultyDisk:
    """Makes the N-th primitive of `disk` fail, and remembers what a loss of power would undo.

    `how`: "error" fails once with EIO; "full" fails every write from then on; "before", "after" and "half" kill
    the process before, after or in the middle of the operation.
    """

    def __init__(self, monkeypatch, index, how):
        self.index, self.how = index, how
        self.count, self.reached = 0, False
        self.unsynced, self.unlisted, self.renames = set(), set(), []
        for name in PRIMITIVES:
            monkeypatch.setattr(disk, name, self.wrap(name, getattr(disk, name)))

    def wrap(self, name, operation):
        def run(*arguments):
            number = self.count
            self.count += 1
            if self.how == "full" and number >= self.index and name in ("create", "write", "make_directory"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self.how == "error" and number == self.index:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            killed = self.how in ("before", "after", "half") and number >= self.index
            if killed and (number > self.index or self.how == "before"):
                raise Dead
            result = self.half(name, operation, *arguments) if killed else operation(*arguments)
            self.remember(name, result, arguments)
            if killed:
                raise Dead
            return result

        return run

    def half(self, name, operation, *arguments):
        if self.how == "half" and name == "write":
            return operation(arguments[0], arguments[1][: len(arguments[1]) // 2])
        if self.how == "half" and name == "remove_tree":
            return files_of(arguments[0])[0].unlink() if files_of(arguments[0]) else None
        return operation(*arguments)

    def remember(self, name, result, arguments):
        if name in ("create", "write"):
            inode = os.fstat(result if name == "create" else arguments[0]).st_ino
            self.unsynced.add(inode)
            self.unlisted |= {(arguments[0].parent.stat().st_ino, inode)} if name == "create" else set()
        elif name == "fsync":
            synced = os.fstat(arguments[0]).st_ino
            self.unsynced.discard(synced)
            self.unlisted = {pair for pair in self.unlisted if pair[0] != synced}
            self.renames = [pair for pair in self.renames if pair[1].parent.stat().st_ino != synced]
        elif name == "rename":
            self.renames.append(arguments)

    def lose_power(self, directory, *, undo_renames):
        """Halve files that were not synced, and undo creations and renames that were not, as a disk may."""
        for source, target in reversed(self.renames if undo_renames else []):
            if target.exists():
                target.rename(source)
        unlisted = {inode for _, inode in self.unlisted}
        for file in [entry for entry in directory.rglob("*") if entry.is_file()]:
            inode = file.stat().st_ino
            if inode in unlisted:
                file.unlink()
            elif inode in self.unsynced:
                os.truncate(file, file.stat().st_size // 2)


def prepare(directory, earlier):
    for step in range(1, earlier + 1):
        save_content(directory, step)


def attempts(tmp_path, monkeypatch, how, earlier, keep=2):
    """Yield (directory, faulty disk) after a save with a fault at each operation in turn, and one without."""
    for index in range(200):
        directory = tmp_path / f"{how}-{index}"
        prepare(directory, earlier)
        with monkeypatch.context() as patch, contextlib.suppress(Dead, UserError):
            faulty = FaultyDisk(patch, index, how)
            save_content(directory, 9, keep=keep)
        faulty.reached = faulty.count > index
        if not faulty.reached:
            assert index > 10
            assert_is(load_latest(directory), 9)
        yield directory, faulty
        if not faulty.reached:
            return
    pytest.fail("the fault was never out of reach")


def assert_old_or_new(directory, earlier):
    loaded = load_latest(directory)
    if loaded is None:
        assert earlier == 0
    else:
        assert_is(loaded, loaded.step)
        assert loaded.step in ({earlier, 9} if earlier else {9})


@pytest.mark.parametrize("earlier", [0, 1, 2])
@pytest.mark.parametrize("how", ["error", "full", "before", "after", "half"])
def test_a_fault_at_any_operation_leaves_the_old_or_the_new(tmp_path, monkeypatch, how, earlier):
    for directory, _ in attempts(tmp_path, monkeypatch, how, earlier):
        assert_old_or_new(directory, earlier)
        for path in list_checkpoints(directory):
            verify(path)  # half removed ones too are out of sight
        save_content(directory, 10)
        loaded = load_latest(directory)
        assert_is(loaded, 10)
        assert loaded.notices == ()
        assert not list(directory.glob(".*")), "debris of the failed save"
        assert len(list_checkpoints(directory)) <= 2


@pytest.mark.parametrize("undo_renames", [False, True])
@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("keep", [1, 2])
def test_a_loss_of_power_at_any_operation_leaves_the_old_or_the_new(tmp_path, monkeypatch, how, undo_renames, keep):
    for directory, faulty in attempts(tmp_path, monkeypatch, how, keep, keep):
        faulty.lose_power(directory, undo_renames=undo_renames)
        loaded = load_latest(directory)
        assert_is(loaded, loaded.step)
        assert loaded.step in ((keep, 9) if faulty.reached else (9,))
        assert loaded.notices == ()  # what is not synced is never published


def test_a_failed_save_leaves_no_debris_and_names_the_fix(tmp_path, monkeypatch):
    prepare(tmp_path, 1)
    FaultyDisk(monkeypatch, 3, "full")
    with pytest.raises(UserError, match=r"No space left on device; make room .*earlier checkpoints are untouched"):
        save_content(tmp_path, 9)
    assert os.listdir(tmp_path) == ["000001-step-1"]


def test_an_old_checkpoint_that_cannot_be_removed_does_not_fail_the_save(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    prepare(tmp_path, 2)
    monkeypatch.setattr(disk, "remove_tree", refuse)
    (notice,) = save_content(tmp_path, 9).notices
    assert "000001-step-1 not removed yet: Permission denied" in notice
    assert_is(load_latest(tmp_path), 9)


def test_room_is_asked_for_before_writing(tmp_path, monkeypatch):
    prepare(tmp_path, 1)
    monkeypatch.setattr(disk, "free_bytes", lambda _: 1_200_000)
    with pytest.raises(UserError, match=r"it needs 2 MB, 1.2 MB are free; make room"):
        save(tmp_path, 9, {"replay": {"frames": np.zeros(2_000_000, np.uint8)}}, {})
    assert_is(load_latest(tmp_path), 1)


def test_a_file_size_limit_of_the_system(tmp_path):
    prepare(tmp_path, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(UserError, match="File too large"):
            save(tmp_path, 9, {"replay": {"frames": np.zeros(3 << 20, np.uint8)}}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == ["000001-step-1"]
    assert_is(load_latest(tmp_path), 1)


# Kills


def save_for_ever(directory, started):
    step = load_latest(directory).step if list_checkpoints(directory) else 0
    while True:
        step += 1
        save_content(directory, step)
        started.set()


def test_a_run_killed_at_random_times_always_goes_on(tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["semore_fast.checkpoint", __name__])
    generator = random.Random(0)
    reached = 0
    for _ in range(6):
        started = context.Event()
        process = context.Process(target=save_for_ever, args=(tmp_path, started))
        process.start()
        assert started.wait(60)
        time.sleep(generator.uniform(0.0, 0.1))
        process.kill()
        process.join()
        loaded = load_latest(tmp_path)
        assert loaded.notices == ()
        assert_is(loaded, loaded.step)
        assert loaded.step > reached
        reached = loaded.step
