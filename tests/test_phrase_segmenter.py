"""What CRIS and CLIPSeg share: pictures and phrases to masks, in any batch."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from phrase_models import (
    TINY,
    VOCAB,
    clip_tokenizer,
    frames,
    tiny_clipseg_segmenter,
    tiny_cris_segmenter,
)

from semore.guidance import Snapshot
from semore.guidance.cris_tokens import CrisTokenizer, clip_tokenizer_from_files, load_clip_tokenizer
from semore.guidance.phrase_segmenter import PictureFormat

KINDS = {"cris": tiny_cris_segmenter, "clipseg": tiny_clipseg_segmenter}
PHRASES = [("a car", "a dog"), (), ("a dog",), ("a car", "red", "zoo")]


@pytest.fixture(params=KINDS)
def make(request):
    return KINDS[request.param]


def one_by_one(segmenter, pictures, phrases):
    """Each pair through the whole network by itself."""
    return [
        torch.stack([segmenter.segment_batch(picture[None], [(phrase,)])[0] for phrase in named])
        if named
        else torch.zeros(1, *picture.shape[1:])
        for picture, named in zip(pictures, phrases, strict=True)
    ]


def test_a_mask_is_the_clamped_sum_of_its_phrases_masks(make):
    segmenter, pictures = make(), frames()
    masks = segmenter.segment_batch(pictures, PHRASES)
    assert masks.shape == (4, 48, 48)
    assert masks.dtype == torch.float32
    each = one_by_one(segmenter, pictures, PHRASES)
    torch.testing.assert_close(masks, torch.stack([m.sum(0).clamp(max=1) for m in each]), atol=1e-5, rtol=1e-5)
    assert all(m.min() >= 0 and m.max() <= 1 for m in each)
    sums = torch.stack([m.sum(0) for m in each])
    assert (sums > 1).any(), "nothing was clamped"
    assert ((masks > 0) & (masks < 1)).any(), "everything was clamped"
    assert (each[0][0] - each[0][1]).abs().max() > 1e-3, "phrases make no difference"
    assert (each[0][1] - each[2][0]).abs().max() > 1e-3, "pictures make no difference"


@pytest.mark.parametrize("max_batch", [1, 2, 5])
def test_chunks_and_neighbours_make_no_difference(make, max_batch):
    pictures = frames()
    masks = make().segment_batch(pictures, PHRASES)
    torch.testing.assert_close(make(max_batch).segment_batch(pictures, PHRASES), masks, atol=1e-5, rtol=1e-5)
    order = [3, 0, 2]
    shuffled = make(max_batch).segment_batch(pictures[order], [PHRASES[i] for i in order])
    torch.testing.assert_close(shuffled, masks[order], atol=1e-5, rtol=1e-5)


def test_without_phrases_a_mask_is_zero_and_nothing_is_run(make):
    segmenter = make()
    segmenter._encode_pictures = None  # would raise
    masks = segmenter.segment_batch(frames(2), [(), ()])
    assert torch.equal(masks, torch.zeros(2, 48, 48))
    assert segmenter.segment_batch(frames(0), []).shape == (0, 48, 48)
    assert not make().segment_batch(frames(), PHRASES)[1].any()


def test_each_picture_and_phrase_is_encoded_once_and_chunks_keep_their_size(make):
    segmenter = make(max_batch=2)
    seen = {"pictures": [], "phrases": [], "pairs": []}
    pictures, phrases, pairs = segmenter._encode_pictures, segmenter._encode_phrases, segmenter._logits
    segmenter._encode_pictures = lambda x: seen["pictures"].append(len(x)) or pictures(x)
    segmenter._encode_phrases = lambda x: seen["phrases"].append(x) or phrases(x)
    segmenter._logits = lambda x, y: seen["pairs"].append(len(y[0])) or pairs(x, y)
    segmenter.segment_batch(frames(), PHRASES)
    assert seen["pictures"] == [2, 1]
    assert seen["phrases"] == [["a car", "a dog"], ["red", "zoo"]]
    assert seen["pairs"] == [2, 1, 2, 1]


def test_one_frame_as_the_protocol_asks(make):
    segmenter, picture = make(), frames(1)
    mask = segmenter.segment(Snapshot(picture[0].numpy()), ["a car", "red"])
    assert mask.dtype == np.float32
    np.testing.assert_array_equal(mask, segmenter.segment_batch(picture, [("a car", "red")])[0].numpy())
    assert not segmenter.segment(Snapshot(picture[0].numpy()), ()).any()


def test_the_network_is_frozen_in_eval_mode_and_masks_carry_no_gradient(make):
    segmenter = make()
    assert not segmenter._network.training
    assert not any(p.requires_grad for p in segmenter._network.parameters())
    weight = torch.ones(48, 48, requires_grad=True)
    (segmenter.segment_batch(frames(1), [("red",)]) * weight).sum().backward()  # an inference tensor would raise


def test_a_network_of_bfloat16_gives_float32_masks_close_to_those_of_float32(make):
    segmenter, half = make(), make()
    half._network.bfloat16()
    masks, coarse = (s.segment_batch(frames(), PHRASES) for s in (segmenter, half))
    assert coarse.dtype == torch.float32
    assert 0 < (coarse - masks).abs().mean() < 0.05


@pytest.mark.parametrize(
    ("pictures", "phrases", "message"),
    [
        (torch.zeros(1, 3, 8, 8), [("a",)], "uint8"),
        (torch.zeros(1, 3, 8, 9, dtype=torch.uint8), [("a",)], "square"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), [("a",)], "square"),
        (frames(2), [("a",)], "2 frames but 1 tuples"),
        (frames(1), ["car"], "got the string 'car'"),
        (frames(1), [("car", " ")], "a phrase is blank"),
    ],
)
def test_bad_input_is_refused(make, pictures, phrases, message):
    with pytest.raises(ValueError, match=message):
        make().segment_batch(pictures, phrases)
    with pytest.raises(ValueError, match="got the string"):
        make().segment(Snapshot(frames(1)[0].numpy()), "car")


def test_bad_settings_are_refused(make):
    with pytest.raises(ValueError, match="max_batch must be at least 1"):
        make(max_batch=0)
    with pytest.raises(ValueError, match="revision must name"):
        make(revision="")


# pictures


def test_pictures_are_resized_and_normalised():
    form = PictureFormat(side=4, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    same = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    mean, std = torch.tensor(form.mean).view(3, 1, 1), torch.tensor(form.std).view(3, 1, 1)
    torch.testing.assert_close(form.prepare(same) * std + mean, same / 255)
    flat = torch.full((1, 3, 10, 10), 51, dtype=torch.uint8)
    torch.testing.assert_close(form.prepare(flat) * std + mean, torch.full((1, 3, 4, 4), 0.2))
    # A step stays in [0, 1] although cubic interpolation overshoots.
    step = torch.zeros(1, 3, 3, 3, dtype=torch.uint8)
    step[..., 1:] = 255
    sharp = PictureFormat(side=32, mean=(0, 0, 0), std=(1, 1, 1)).prepare(step)
    assert (sharp.min(), sharp.max()) == (0, 1)


def test_cris_masks_are_resized_bicubically_with_corners_aligned():
    segmenter = tiny_cris_segmenter()
    logits = 8 * torch.randn(2, 16, 16)
    wanted = F.interpolate(logits.sigmoid()[None], (48, 48), mode="bicubic", align_corners=True)[0]
    assert wanted.min() < 0 or wanted.max() > 1
    torch.testing.assert_close(segmenter._fit(logits, 48), wanted.clamp(0, 1))
    torch.testing.assert_close(segmenter._fit(logits, 48)[:, ::47, ::47], logits.sigmoid()[:, ::15, ::15])


def test_cris_runs_at_another_side():
    masks = tiny_cris_segmenter(side=96).segment_batch(frames(1), [("red",)])
    assert (masks - tiny_cris_segmenter().segment_batch(frames(1), [("red",)])).abs().max() > 1e-4
    with pytest.raises(ValueError, match="side must be a multiple of 32"):
        tiny_cris_segmenter(side=50)


# tokens

START, END = VOCAB["<|startoftext|>"], VOCAB["<|endoftext|>"]


def test_phrases_become_ids_padded_with_zero():
    tokens = CrisTokenizer(clip_tokenizer(), TINY)(["A  car", "dog!", "abcdefghijkl"])
    ids = [
        [START, VOCAB["a</w>"], VOCAB["car</w>"], END],
        [START, *(VOCAB[t] for t in ("d", "o", "g</w>", "!</w>")), END],
    ]
    ids.append([START, *(VOCAB[c] for c in "abcdefg"), END])
    assert tokens.tolist() == [row + [0] * (9 - len(row)) for row in ids]
    assert tokens.dtype == torch.int64


def test_a_tokenizer_comes_from_a_directory_or_from_files(tmp_path):
    clip_tokenizer().save_pretrained(tmp_path / "whole")
    pair = tmp_path / "pair"
    pair.mkdir()
    (pair / "vocab.json").write_text(json.dumps(VOCAB))
    (pair / "merges.txt").write_text("#version: 0.2\nc a\nca r</w>\n")
    wanted = CrisTokenizer(clip_tokenizer(), TINY)(["a car"])
    for tokenize in (
        load_clip_tokenizer(tmp_path / "whole", TINY),
        load_clip_tokenizer(pair, TINY),
        clip_tokenizer_from_files(pair / "vocab.json", pair / "merges.txt", TINY),
    ):
        assert torch.equal(tokenize(["a car"]), wanted)
    with pytest.raises(ValueError, match=r"no CLIP tokenizer in .*; it needs tokenizer.json"):
        load_clip_tokenizer(tmp_path, TINY)
    (pair / "merges.txt").write_text("c a r\n")
    with pytest.raises(ValueError, match=r"two tokens a line"):
        load_clip_tokenizer(pair, TINY)


def test_a_tokenizer_of_another_model_is_refused():
    tokenizer = clip_tokenizer()
    tokenizer.add_tokens(["another"])
    with pytest.raises(ValueError, match="end token has the largest id"):
        CrisTokenizer(tokenizer, TINY)
