"""A film strip: which moments it shows, and how."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from semore_fast.film_strip import FilmStrip
from semore_fast.video import VideoError

TEXT_PX, PANEL_PX = 24, 192


def strip_of(greys: list[int], attention: bool) -> FilmStrip:
    strip = FilmStrip()
    half = np.zeros((64, 64), np.uint8)
    half[:, :32] = 255
    heat = np.zeros((4, 4), np.float32)
    heat[:2] = 1
    for grey in greys:
        strip.add(np.full((3, 64, 64), grey, np.uint8), half, heat if attention else None, str(grey))
    return strip


def test_moments_are_spread_evenly_from_the_first_to_the_last(tmp_path: Path) -> None:
    strip_of([0, 40, 80, 120, 160, 200, 240], attention=False).save(tmp_path / "strip.jpg", moments=4)
    picture = imread(tmp_path / "strip.jpg")
    assert picture.shape == (TEXT_PX + 2 * PANEL_PX, 4 * PANEL_PX, 3)
    shown = [picture[100, column * PANEL_PX + 96, 0] for column in range(4)]
    np.testing.assert_allclose(shown, [0, 80, 160, 240], atol=4)


def test_an_episode_shorter_than_the_strip_shows_every_step_once(tmp_path: Path) -> None:
    strip_of([10, 200], attention=False).save(tmp_path / "strip.jpg", moments=6)
    assert imread(tmp_path / "strip.jpg").shape[1] == 2 * PANEL_PX


def test_rows_are_camera_mask_and_attention(tmp_path: Path) -> None:
    strip_of([200], attention=True).save(tmp_path / "strip.jpg")
    picture = imread(tmp_path / "strip.jpg").astype(int)
    assert picture.shape[0] == TEXT_PX + 3 * PANEL_PX
    mask, heat = picture[TEXT_PX + PANEL_PX :][:PANEL_PX], picture[TEXT_PX + 2 * PANEL_PX :]
    assert mask[96, 20, 0] > 2 * mask[96, 170, 0]
    assert heat[20, 96, 0] > heat[170, 96, 0] + 60


def test_frames_are_kept_as_they_were_when_added(tmp_path: Path) -> None:
    strip, frame = FilmStrip(), np.full((3, 64, 64), 200, np.uint8)
    strip.add(frame, np.ones((64, 64), np.float32), None, "")
    frame[:] = 0
    strip.save(tmp_path / "strip.jpg")
    assert imread(tmp_path / "strip.jpg")[100, 96, 0] > 190


def test_nothing_to_draw_and_nowhere_to_write_are_said(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no frame was added"):
        FilmStrip().save(tmp_path / "strip.jpg")
    with pytest.raises(VideoError, match="cannot write"):
        strip_of([1], attention=False).save(tmp_path / "none" / "strip.jpg")
