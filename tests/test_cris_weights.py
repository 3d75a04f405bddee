"""From a pickled checkpoint to a checked safetensors file and into the model; hostile and wrong files are refused."""

import pickle
import sys

import pytest
import torch
from phrase_models import TINY, clip_tokenizer, frames, tiny_cris, tiny_cris_segmenter
from safetensors.torch import load_file, save_file

from semore_fast.guidance.convert_cris import convert, main
from semore_fast.guidance.cris_weights import WeightsError, file_sha256, load_cris, load_cris_segmenter
from semore_fast.guidance.unpickle_cris import main as unpickle


def checkpoint(path):
    """As the public training script writes one."""
    state = {f"module.{name}": tensor for name, tensor in tiny_cris().state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {"state": {}}, "prec": {"a": torch.ones(1)}}, path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "cris.safetensors"
    save_file({f"module.{name}": tensor for name, tensor in tiny_cris().state_dict().items()}, path)
    return path


def changed(weights, path, change):
    tensors = load_file(weights)
    change(tensors)
    save_file(tensors, path)
    return path


def refused(path, match, **options):
    with pytest.raises(ValueError, match=match) as caught:
        load_cris(path, TINY, **options)
    assert isinstance(caught.value, WeightsError)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert ";" in str(caught.value), "no fix is named"


def test_a_checkpoint_is_converted_and_loaded(tmp_path, capsys):
    out = tmp_path / "cris.safetensors"
    main([str(checkpoint(tmp_path / "best.pth")), str(out)])
    digest = capsys.readouterr().out.split()[0]
    assert digest == file_sha256(out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.pth", "cris.safetensors"]
    assert load_file(out).keys() == {f"module.{name}" for name in tiny_cris().state_dict()}

    clip_tokenizer().save_pretrained(tmp_path / "tokenizer")
    segmenter = load_cris_segmenter(out, tmp_path / "tokenizer", TINY, sha256=digest.upper(), max_batch=2)
    assert segmenter.revision == digest
    phrases = [("a car",), ("red", "zoo")]
    assert torch.equal(
        segmenter.segment_batch(frames(2), phrases), tiny_cris_segmenter(2).segment_batch(frames(2), phrases)
    )
    with pytest.raises(WeightsError, match="exists; remove it"):
        convert(tmp_path / "best.pth", out)


class Hostile:
    """A pickle that creates a file when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_hostile_pickle_is_refused_and_does_nothing(tmp_path):
    bad, planted, out = tmp_path / "bad.pth", tmp_path / "planted", tmp_path / "out.safetensors"
    torch.save({"state_dict": {"module.x": torch.ones(1)}, "epoch": Hostile(planted)}, bad)
    with pytest.raises(WeightsError, match="refused: not a checkpoint of plain tensors") as caught:
        convert(bad, out)
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.pth"]
    torch.load(bad, weights_only=False)
    assert planted.exists(), "the pickle was not hostile, so the test shows nothing"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 1}, "no state_dict"),
        ({"state_dict": {}}, "no state_dict"),
        ([1, 2], "no state_dict"),
        ({"state_dict": {"x": torch.ones(1), "y": 3}}, "not a tensor in its state_dict: 'y'"),
    ],
)
def test_other_checkpoints_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pth")
    assert message in unpickle(str(tmp_path / "a.pth"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps({"state_dict": Hostile("planted")}, 2)])
def test_files_that_are_no_checkpoints_are_refused(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pth").write_bytes(content)
    assert "not a checkpoint of plain tensors" in unpickle("a.pth", "out")
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


def test_tensors_that_share_storage_are_kept(tmp_path):
    whole = torch.arange(6.0).view(2, 3)
    torch.save({"state_dict": {"a": whole, "b": whole.T, "c": whole[1]}}, tmp_path / "a.pth")
    assert unpickle(str(tmp_path / "a.pth"), str(tmp_path / "out")) is None
    tensors = load_file(tmp_path / "out")
    assert torch.equal(tensors["b"], whole.T)
    assert torch.equal(tensors["c"], whole[1])


def test_paths_that_cannot_be_used_are_refused_before_anything_is_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", None)  # no child can start
    with pytest.raises(WeightsError, match=r"no checkpoint at .*; give the path"):
        convert(tmp_path / "none.pth", tmp_path / "out")
    (tmp_path / "some.pth").touch()
    with pytest.raises(WeightsError, match=r"no directory .*; make it first"):
        convert(tmp_path / "some.pth", tmp_path / "sub" / "out")


def test_weights_load_with_or_without_the_wrapper_s_prefix_and_from_half_precision(weights, tmp_path):
    plain = tmp_path / "plain.safetensors"
    save_file(
        {n.removeprefix("module."): t.half() if t.is_floating_point() else t for n, t in load_file(weights).items()},
        plain,
    )
    own = tiny_cris().state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in load_cris(weights, TINY).state_dict().items())
    model = load_cris(plain, TINY)
    assert not model.training
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_a_missing_or_damaged_file_is_refused(weights, tmp_path):
    refused(tmp_path / "none.safetensors", "no weights at .*convert_cris")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights.read_bytes()[:-100])
    refused(damaged, "not a readable safetensors file.*convert_cris")
    refused(checkpoint(tmp_path / "best.pth"), "not a readable safetensors file.*convert_cris")


def test_another_hash_is_refused(weights):
    load_cris(weights, TINY, sha256=file_sha256(weights))
    refused(weights, "has SHA-256 .* not 00ff", sha256="00ff")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("module.proj.txt.bias"), r"1 missing \(first: proj.txt.bias\)"),
        (lambda t: t.update(more=torch.ones(1)), r"1 unknown \(first: more\)"),
        (
            lambda t: t.update({"module.proj.txt.bias": torch.ones(2)}),
            r"1 of another shape or kind \(first: proj.txt.bias \[2\] instead of \[73\]\)",
        ),
        (lambda t: t.update({"module.proj.txt.bias": torch.ones(73, dtype=torch.int32)}), "another shape or kind"),
        (lambda t: t["module.proj.txt.bias"].fill_(torch.nan), r"1 not finite \(first: proj.txt.bias\)"),
    ],
)
def test_wrong_tensors_are_refused(weights, tmp_path, change, message):
    refused(changed(weights, tmp_path / "wrong.safetensors", change), message)
