import av
import numpy as np
import pytest

from semore_fast import video
from semore_fast.overlays import attention_overlay, mask_overlay, text_strip, upscale
from semore_fast.video import VideoError, VideoWriter

RED = (220, 30, 30)


def red_frame(size=64):
    return np.broadcast_to(np.array(RED, np.uint8)[:, None, None], (3, size, size)).copy()


def decode(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return frames, float(stream.average_rate), stream.codec_context.pix_fmt


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_frames_come_back_in_order_with_their_colours(tmp_path, monkeypatch, codec):
    monkeypatch.setattr(video, "CODECS", (codec,))
    path = tmp_path / "episode.mp4"
    greys = [40, 120, 200]
    with VideoWriter(path, fps=5) as writer:
        for grey in greys:
            writer.add(np.full((3, 64, 64), grey, np.uint8))
    assert writer.codec == codec
    frames, fps, pixel_format = decode(path)
    assert fps == 5
    assert pixel_format == "yuv420p"
    assert [frame.shape for frame in frames] == [(24 + 384 + 24, 384, 3)] * 3
    assert [round(float(frame[100:300, 100:300].mean()) / 40) for frame in frames] == [1, 3, 5]


def test_panels_stand_side_by_side(tmp_path):
    path = tmp_path / "episode.mp4"
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 32:] = 255
    attention = np.zeros((4, 4), np.float32)
    attention[:2] = 7.0
    with VideoWriter(path, fps=20) as writer:
        writer.add(red_frame(), mask, attention, "step 1")
        writer.add(red_frame())
    (full, bare), _, _ = decode(path)
    assert full.shape[1] == 3 * 384
    body = full[24:-24].astype(int)
    assert np.abs(body[100:300, 50:300] - RED).max() < 12
    assert body[200, 384 + 80, 0] < 0.5 * body[200, 384 + 300, 0]
    assert body[20, 768 + 200, 1] > body[380, 768 + 200, 1] + 60
    dark = bare[24:-24, 384:].astype(int)
    assert np.abs(dark[50:300, 20:-20] - 0.35 * np.array(RED)).max() < 14


def test_mask_overlay_dims_outside_only():
    panel = upscale(red_frame())
    whole, nothing = np.ones((8, 8), np.float32), np.zeros((8, 8), np.float32)
    assert np.abs(mask_overlay(panel, nothing) - panel * 0.35).max() < 0.51
    assert mask_overlay(panel, whole)[..., 0].min() >= RED[0]
    np.testing.assert_array_equal(mask_overlay(panel, whole), mask_overlay(panel, np.full((8, 8), 255, np.uint8)))


def test_attention_is_normalised_and_lands_where_it_is():
    panel = np.zeros((400, 400, 3), np.uint8)
    attention = np.full((4, 4), 3.0, np.float32)
    attention[3, 0] = 3.001
    heat = attention_overlay(panel, attention).sum(axis=2)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert row >= 350
    assert column < 50
    flat = attention_overlay(panel, np.full((4, 4), 9.0, np.float32))
    assert flat.max() < 10


def test_upscale_repeats_pixels():
    frame = np.arange(3 * 128 * 128, dtype=np.uint32).reshape(3, 128, 128).astype(np.uint8)
    large = upscale(frame)
    assert large.shape == (384, 384, 3)
    np.testing.assert_array_equal(large[1::3, 1::3].transpose(2, 0, 1), frame)


def test_text_is_drawn_and_letters_differ():
    cells = {character: text_strip(character, 10).tobytes() for character in "0123456789abcxyzABCXYZ.-%/"}
    assert len(set(cells.values())) == len(cells)
    assert text_strip(" ", 10).max() == 0
    assert text_strip("8", 10).max() > 150
    np.testing.assert_array_equal(text_strip("ü\n", 20), text_strip("??", 20))
    long = text_strip("x" * 500, 100)
    np.testing.assert_array_equal(long, text_strip("x" * 10, 100))


def test_odd_sizes_are_made_even(tmp_path):
    path = tmp_path / "odd.mp4"
    with VideoWriter(path, fps=20) as writer:
        writer.add(np.zeros((3, 77, 77), np.uint8))
    frames, _, _ = decode(path)
    assert frames[0].shape[0] % 2 == frames[0].shape[1] % 2 == 0


def test_nothing_appears_under_the_name_until_the_end(tmp_path):
    path = tmp_path / "episode.mp4"
    path.write_bytes(b"earlier")
    with VideoWriter(path, fps=20) as writer:
        writer.add(red_frame())
        assert path.read_bytes() == b"earlier"
    assert len(decode(path)[0]) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["episode.mp4"]


def test_an_interrupted_episode_leaves_no_file(tmp_path):
    def interrupted():
        with VideoWriter(tmp_path / "episode.mp4", fps=20) as writer:
            writer.add(red_frame())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def write_one(path, *frames, fps=20):
    with VideoWriter(path, fps=fps) as writer:
        for frame in frames:
            writer.add(*frame)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "no frame"),
        ([(red_frame(64),), (red_frame(48),)], "size and panels"),
        ([(red_frame(),), (red_frame(), np.zeros((8, 8), np.uint8))], "size and panels"),
        ([(red_frame().astype(np.float32),)], "uint8"),
        ([(red_frame(), None, np.full((4, 4), np.nan, np.float32))], "attention"),
        ([(red_frame(), np.zeros((1, 8, 8), np.uint8))], "mask"),
    ],
)
def test_unfit_frames_are_refused_and_leave_no_file(tmp_path, frames, message):
    with pytest.raises(VideoError, match=message):
        write_one(tmp_path / "episode.mp4", *frames)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_says_so(tmp_path, monkeypatch):
    with pytest.raises(VideoError, match="cannot write"):
        write_one(tmp_path / "missing" / "episode.mp4", (red_frame(),))
    with pytest.raises(VideoError, match="fps"):
        write_one(tmp_path / "episode.mp4", (red_frame(),), fps=0)
    monkeypatch.setattr(video, "CODECS", ("no-such-codec",))
    with pytest.raises(VideoError, match="no-such-codec"):
        write_one(tmp_path / "episode.mp4", (red_frame(),))


def test_a_full_disk_is_an_error_not_a_broken_file(tmp_path):
    # /dev/full refuses every byte; the writer reaches it through a link under the partial file's name.
    (tmp_path / ".episode.mp4.partial").symlink_to("/dev/full")
    with pytest.raises(VideoError, match="cannot write"):
        write_one(tmp_path / "episode.mp4", *[(red_frame(),)] * 30)
    assert list(tmp_path.iterdir()) == []
