"""CLIPSeg through transformers: our split of its forward pass, and where its weights may come from."""

import json

import pytest
import torch
import torch.nn.functional as F
from phrase_models import CLIPSEG_PICTURES, clip_tokenizer, frames, tiny_clipseg, tiny_clipseg_segmenter

from semore.guidance.clipseg import load_clipseg

PREPROCESSING = {
    "size": {"height": 32, "width": 32},
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,
}


def save(path, **changes):
    tiny_clipseg().save_pretrained(path)
    clip_tokenizer().save_pretrained(path)
    (path / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING | changes))
    return path


def test_masks_are_those_of_the_model_s_own_forward_pass():
    pictures, phrases = frames(2, 32), ["a car", "red"]
    model = tiny_clipseg()
    ids = clip_tokenizer()(phrases, padding=True, return_tensors="pt")
    mean, std = (torch.tensor(three).view(3, 1, 1) for three in (CLIPSEG_PICTURES.mean, CLIPSEG_PICTURES.std))
    with torch.no_grad():
        logits = model(**ids, pixel_values=(pictures / 255 - mean) / std).logits
    masks = tiny_clipseg_segmenter().segment_batch(pictures, [(phrase,) for phrase in phrases])
    torch.testing.assert_close(masks, logits.sigmoid(), atol=1e-5, rtol=1e-5)
    assert masks.std() > 0.01


def test_frames_of_another_size_are_resized_there_and_back():
    pictures = frames(1, 16)
    form = CLIPSEG_PICTURES
    mean, std = (torch.tensor(three).view(3, 1, 1) for three in (form.mean, form.std))
    large = F.interpolate(pictures / 255, (32, 32), mode="bilinear", align_corners=False)
    ids = clip_tokenizer()(["red"], return_tensors="pt")
    with torch.no_grad():
        logits = tiny_clipseg()(**ids, pixel_values=(large - mean) / std).logits
    wanted = F.interpolate(logits.sigmoid()[None], (16, 16), mode="bicubic", align_corners=False)[0].clamp(0, 1)
    masks = tiny_clipseg_segmenter().segment_batch(pictures, [("red",)])
    torch.testing.assert_close(masks, wanted, atol=1e-5, rtol=1e-5)


def test_a_saved_model_comes_back_from_its_directory(tmp_path):
    loaded = load_clipseg(save(tmp_path), revision="mine", max_batch=3)
    assert loaded.revision == "mine"
    assert loaded._pictures == CLIPSEG_PICTURES
    phrases = [("a car",), ("red", "zoo")]
    built = tiny_clipseg_segmenter().segment_batch(frames(2), phrases)
    torch.testing.assert_close(loaded.segment_batch(frames(2), phrases), built, atol=1e-6, rtol=1e-6)


def test_a_model_on_the_hub_needs_a_full_commit():
    for revision in ("main", "v1", "583b388", ""):
        with pytest.raises(ValueError, match="no directory; for a model on the hub give its full commit"):
            load_clipseg("CIDAS/clipseg-rd64-refined", revision=revision)


def test_a_pickle_in_place_of_safetensors_is_not_opened(tmp_path):
    save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(tiny_clipseg().state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        load_clipseg(tmp_path, revision="mine")


@pytest.mark.parametrize(
    "changes", [{"size": {"height": 32, "width": 48}}, {"size": {"shortest_edge": 32}}, {"resample": 0}]
)
def test_picture_settings_we_cannot_follow_are_refused(tmp_path, changes):
    with pytest.raises(ValueError, match="must give a square size"):
        load_clipseg(save(tmp_path, **changes), revision="mine")


def test_the_old_way_to_write_a_size(tmp_path):
    loaded = load_clipseg(save(tmp_path, size=32, resample=3), revision="mine")
    assert (loaded._pictures.side, loaded._pictures.interpolation) == (32, "bicubic")
