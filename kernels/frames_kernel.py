"""The kernel behind `frames.py`: uint8 planes in, pixels with their channels side by side out.

Reading wants neighbouring threads on neighbouring pixels of a plane, writing wants them on neighbouring bytes of a
pixel, and 9 or 6 channels fit no power of two. So a thread reads four pixels of every plane, has all it needs for
every output, and what it makes changes hands through shared memory before it is written. `frames.md` has the figures.

Shape legend: S stored frames, R rows (one window of K frames each), K frames in a stack, C = 3K channels, H and W sides
of a stored frame, h and w sides of an output, Q groups of four neighbouring pixels. Tuples hold a group's tensors [Q].
"""

# ruff: noqa: RUF005, SIM102  (Triton knows no starred tuples, and decides an `is None` only in an `if` of its own)

import triton
import triton.language as tl

SCALE = tl.constexpr(1 / 255)
GROUP = tl.constexpr(4)  # pixels a thread makes; with any number of channels they end at a multiple of four elements


@triton.jit
def _origin(offsets_R2, row, axis: tl.constexpr, SIDE: tl.constexpr):
    """One coordinate of a shift or a crop; a step beyond the picture's side shows the same, and then fits 32 bits."""
    if offsets_R2 is None:
        return 0
    else:  # a return inside the branch would not keep the compiler from what follows it
        return tl.minimum(tl.maximum(tl.load(offsets_R2 + row * 2 + axis), -SIDE), SIDE).to(tl.int32)


@triton.jit
def _side_by_side(values_Q, COUNT: tl.constexpr, LOG_WIDTH: tl.constexpr, Q: tl.constexpr):
    """[Q, 2 ** LOG_WIDTH] from a tuple of COUNT tensors [Q]; columns beyond COUNT are filler.

    A join halves the tuple and gives the column's number its next lower bit.
    """
    for _ in tl.static_range((1 << LOG_WIDTH) - COUNT):
        values_Q = values_Q + (values_Q[0],)
    for level in tl.static_range(LOG_WIDTH):
        joined = ()
        for i in tl.static_range(1 << (LOG_WIDTH - 1 - level)):
            joined = joined + (tl.join(values_Q[i], values_Q[i + (1 << (LOG_WIDTH - 1 - level))]),)
        values_Q = joined
    return tl.reshape(values_Q[0], (Q, 1 << LOG_WIDTH))


@triton.jit
def _store(
    out, row, tile, values_Q, COUNT: tl.constexpr, LOG_WIDTH: tl.constexpr, LENGTH: tl.constexpr, Q: tl.constexpr
):
    """Writes a tile of a row of `out`: COUNT elements a group, LENGTH elements a row.

    The tile changes hands through shared memory on the way, so that neighbouring threads write neighbouring bytes.
    """
    first = (tile * Q + tl.arange(0, Q)) * COUNT
    column = tl.arange(0, 1 << LOG_WIDTH)
    place = first[:, None] + column[None, :]
    wide = _side_by_side(values_Q, COUNT, LOG_WIDTH, Q)
    tl.store(out + row * LENGTH + place, wide, mask=(column[None, :] < COUNT) & (place < LENGTH))


@triton.jit
def _sources(
    origin_y, origin_x, tile, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, OUT_WIDTH: tl.constexpr, Q: tl.constexpr
):
    """Where each pixel of a group comes from: GROUP offsets [Q] into a plane.

    What lies outside the picture is moved to its border, pixels behind the output's last one too: no load needs a mask.
    """
    sources_Q = ()
    for p in tl.static_range(GROUP):
        pixel_Q = (tile * Q + tl.arange(0, Q)) * GROUP + p
        y_Q = tl.minimum(tl.maximum(pixel_Q // OUT_WIDTH + origin_y, 0), HEIGHT - 1)
        x_Q = tl.minimum(tl.maximum(pixel_Q % OUT_WIDTH + origin_x, 0), WIDTH - 1)
        sources_Q = sources_Q + (y_Q * WIDTH + x_Q,)
    return sources_Q


@triton.jit
def _frame(plane, sources_Q, PLANE: tl.constexpr):
    """One frame's values: 3 GROUP tensors [Q], colour after colour."""
    values_Q = ()
    for colour in tl.static_range(3):
        for p in tl.static_range(GROUP):
            values_Q = values_Q + (tl.load(plane + colour * PLANE + sources_Q[p]),)
    return values_Q


@triton.jit
def _stack(values_Q, centre_Q, mask, sources_Q, offset, dtype: tl.constexpr, K: tl.constexpr):
    """x/255 - offset, or x m/255^2 - offset where there is a mask, pixel after pixel; centred, (x - c)/255 [m/255]."""
    out_Q = ()
    for p in tl.static_range(GROUP):
        mask_Q = None
        if mask is not None:
            mask_Q = tl.load(mask + sources_Q[p]).to(tl.float32) * SCALE
        for c in tl.static_range(3 * K):
            x_Q = values_Q[p + GROUP * c]
            if centre_Q is not None:
                x_Q = x_Q.to(tl.int32) - centre_Q[p + GROUP * (c % 3)].to(tl.int32)
            x_Q = x_Q.to(tl.float32) * SCALE
            if mask is not None:
                x_Q = x_Q * mask_Q
            if centre_Q is None:
                x_Q = x_Q - offset
            out_Q = out_Q + (x_Q.to(dtype),)
    return out_Q


@triton.jit
def _residual(values_Q, dtype: tl.constexpr, K: tl.constexpr, ABSOLUTE: tl.constexpr):
    """(newer - older)/255, pixel after pixel, the newest pair of frames first."""
    out_Q = ()
    for p in tl.static_range(GROUP):
        for back in tl.static_range(1, K):
            for colour in tl.static_range(3):
                newer_Q = values_Q[p + GROUP * (3 * (K - back) + colour)].to(tl.int32)
                step_Q = newer_Q - values_Q[p + GROUP * (3 * (K - back - 1) + colour)].to(tl.int32)
                if ABSOLUTE:
                    step_Q = tl.abs(step_Q)
                out_Q = out_Q + ((step_Q.to(tl.float32) * SCALE).to(dtype),)
    return out_Q


@triton.jit
def frames_kernel(
    frames_S3HW,
    masks_SHW,
    centre_3HW,
    slots_RK,
    shift_R2,
    crop_R2,
    stack_RhwC,
    residual_RhwC,
    masked_RhwC,
    stored,
    masked_rows,
    offset,
    K: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    OUT_HEIGHT: tl.constexpr,
    OUT_WIDTH: tl.constexpr,
    ABSOLUTE: tl.constexpr,
    LOG_STACK: tl.constexpr,
    LOG_RESIDUAL: tl.constexpr,
    Q: tl.constexpr,
):
    """A program makes Q groups of one row. Rows run fastest, so rows that share frames meet in the L2 cache."""
    row, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    pixels: tl.constexpr = OUT_HEIGHT * OUT_WIDTH
    dtype: tl.constexpr = stack_RhwC.dtype.element_ty
    origin_y = _origin(shift_R2, row, 0, HEIGHT) + _origin(crop_R2, row, 0, HEIGHT)
    origin_x = _origin(shift_R2, row, 1, WIDTH) + _origin(crop_R2, row, 1, WIDTH)
    sources_Q = _sources(origin_y, origin_x, tile, HEIGHT, WIDTH, OUT_WIDTH, Q)
    values_Q = ()
    slot = tl.full((), 0, tl.int64)
    for k in tl.static_range(K):
        slot = tl.load(slots_RK + row * K + k)
        tl.device_assert((slot >= 0) & (slot < stored), "a slot lies outside the stored frames")
        values_Q = values_Q + _frame(frames_S3HW + slot * (3 * HEIGHT * WIDTH), sources_Q, HEIGHT * WIDTH)
    centre_Q = None
    if centre_3HW is not None:
        centre_Q = _frame(centre_3HW, sources_Q, HEIGHT * WIDTH)
    stack_Q = _stack(values_Q, centre_Q, None, sources_Q, offset, dtype, K)
    _store(stack_RhwC, row, tile, stack_Q, GROUP * 3 * K, LOG_STACK, pixels * 3 * K, Q)
    if residual_RhwC is not None:
        residual_Q = _residual(values_Q, dtype, K, ABSOLUTE)
        _store(residual_RhwC, row, tile, residual_Q, GROUP * 3 * (K - 1), LOG_RESIDUAL, pixels * 3 * (K - 1), Q)
    if masked_RhwC is not None:
        if row < masked_rows:
            # The mask is the newest frame's, and its slot was loaded last.
            mask = masks_SHW + slot * (HEIGHT * WIDTH)
            masked_Q = _stack(values_Q, centre_Q, mask, sources_Q, offset, dtype, K)
            _store(masked_RhwC, row, tile, masked_Q, GROUP * 3 * K, LOG_STACK, pixels * 3 * K, Q)
