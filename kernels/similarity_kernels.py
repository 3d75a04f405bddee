"""The kernels behind `similarity.py`: window sums, down the rows of a map in registers, along them by reloading.

A channels_last map is h rows of w C elements, and neighbours along a row lie C elements apart. A thread owns columns of
that picture and walks down the rows. Sums along a row reload its neighbours, which the cache holds. Sums down the rows
take three additions a row whatever the window: rows go in blocks of one window's length, and a window is the tail of
one block, summed when that ended, plus the head of the next, summed on the way. Nothing is subtracted again, as running
sums would, so no error builds up.

Shape legend: B batch, C channels, h and w map sides, i and j sides of the map of windows (h - window + 1), M maps of
coefficients, P columns of a program (a column: a place in a row and a channel). A row is a tuple of tensors [P].
"""

# ruff: noqa: RUF005  (Triton knows no starred tuples)

import triton
import triton.language as tl

K1 = tl.constexpr(0.01)
K2 = tl.constexpr(0.03)
MIN_RANGE = tl.constexpr(1e-2)


@triton.jit
def _added(a_P, b_P):
    sums_P = ()
    for i in tl.static_range(len(a_P)):
        sums_P = sums_P + (a_P[i] + b_P[i],)
    return sums_P


@triton.jit
def _zeros(COUNT: tl.constexpr, P: tl.constexpr):
    zeros_P = ()
    for _ in tl.static_range(COUNT):
        zeros_P = zeros_P + (tl.zeros((P,), tl.float32),)
    return zeros_P


@triton.jit
def _no_tails(WINDOW: tl.constexpr, COUNT: tl.constexpr, P: tl.constexpr):
    """What the first block finds above it."""
    tails = ()
    for _ in tl.static_range(WINDOW):
        tails = tails + (_zeros(COUNT, P),)
    return tails


@triton.jit
def _tails(rows, WINDOW: tl.constexpr):
    """For every row of a block the sum of itself and all below it."""
    total = rows[WINDOW - 1]
    tails = (total,)
    for i in tl.static_range(1, WINDOW):
        total = _added(rows[WINDOW - 1 - i], total)
        tails = (total,) + tails
    return tails


@triton.jit
def _window(tails, head, i: tl.constexpr, WINDOW: tl.constexpr):
    """Sum of the last WINDOW rows, the newest of them row `i` of its block."""
    if i + 1 == WINDOW:
        return head
    else:
        return _added(tails[i + 1], head)


@triton.jit
def _moments(x, y, live_P, STEP: tl.constexpr, WINDOW: tl.constexpr, P: tl.constexpr):
    """Sums along one row of x, y, x^2 + y^2 and x y; `x` and `y` point at each window's first element."""
    sums_P = _zeros(4, P)
    for shift in range(WINDOW):
        x_P = tl.load(x + shift * STEP, live_P, other=0).to(tl.float32)
        y_P = tl.load(y + shift * STEP, live_P, other=0).to(tl.float32)
        sums_P = _added(sums_P, (x_P, y_P, x_P * x_P + y_P * y_P, x_P * y_P))
    return sums_P


@triton.jit
def _similarity(sums_P, c1, c2, FOR_X: tl.constexpr, FOR_Y: tl.constexpr, AREA: tl.constexpr):
    """SSIM of windows, and its slopes by their sums of x^2 + y^2, of x y, of x if FOR_X and of y if FOR_Y.

    In sums where the formula has means: both fractions are widened by AREA^2, which `c1` and `c2` must be already. A
    factor 1/AREA, rounded alike for all windows, would shift their mean more than all other roundings.
    """
    x_P, y_P = sums_P[0], sums_P[1]
    means_P, product_P = x_P * x_P + y_P * y_P, x_P * y_P
    a_P, b_P = 1 / (means_P + c1), 1 / (AREA * sums_P[2] - means_P + c2)
    luminance_P = (2 * product_P + c1) * a_P
    structure_P = (2 * (AREA * sums_P[3] - product_P) + c2) * b_P
    similarity_P = luminance_P * structure_P
    slopes_P = (-AREA * similarity_P * b_P, 2 * AREA * luminance_P * b_P)
    a_P, b_P = 2 * structure_P * a_P, 2 * luminance_P * b_P
    if FOR_X:
        slopes_P = slopes_P + (a_P * (y_P - luminance_P * x_P) + b_P * (structure_P * x_P - y_P),)
    if FOR_Y:
        slopes_P = slopes_P + (a_P * (x_P - luminance_P * y_P) + b_P * (structure_P * y_P - x_P),)
    return similarity_P, slopes_P


@triton.jit
def distance_kernel(
    x_BhwC,
    y_BhwC,
    low_B,
    high_B,
    parts_BG,
    slopes_BMijC,
    HEIGHT: tl.constexpr,
    LENGTH: tl.constexpr,
    STEP: tl.constexpr,
    WINDOW: tl.constexpr,
    FOR_X: tl.constexpr,
    FOR_Y: tl.constexpr,
    P: tl.constexpr,
):
    """A program's part of its sample's distance, and the slopes of SSIM by the windows' means where gradients follow.

    LENGTH elements a row (w C), STEP between neighbours (C).
    """
    sample = tl.program_id(0).to(tl.int64)
    column_P = tl.program_id(1) * P + tl.arange(0, P)
    windows: tl.constexpr = LENGTH - (WINDOW - 1) * STEP
    window_rows: tl.constexpr = HEIGHT - WINDOW + 1
    maps: tl.constexpr = 2 + FOR_X + FOR_Y
    area: tl.constexpr = WINDOW * WINDOW
    x, y = x_BhwC + sample * (HEIGHT * LENGTH) + column_P, y_BhwC + sample * (HEIGHT * LENGTH) + column_P
    value_range = tl.maximum(
        tl.load(high_B + sample).to(tl.float32) - tl.load(low_B + sample).to(tl.float32), MIN_RANGE
    )
    c1, c2 = K1 * value_range, K2 * value_range
    c1, c2 = c1 * c1 * (area * area), c2 * c2 * (area * area)
    distance_P = tl.zeros((P,), tl.float32)
    tails = _no_tails(WINDOW, 4, P)
    for block in range((HEIGHT + WINDOW - 1) // WINDOW):
        rows = ()
        head = _zeros(4, P)
        for i in tl.static_range(WINDOW):
            row = block * WINDOW + i
            live_P = (column_P < windows) & (row < HEIGHT)
            new = _moments(x + row * LENGTH, y + row * LENGTH, live_P, STEP, WINDOW, P)
            rows, head = rows + (new,), _added(head, new)
            top = row - (WINDOW - 1)
            live_P = live_P & (top >= 0)
            similarity_P, slopes_P = _similarity(_window(tails, head, i, WINDOW), c1, c2, FOR_X, FOR_Y, area)
            distance_P += tl.where(live_P, 1 - similarity_P, 0.0)
            if slopes_BMijC is not None:
                for m in tl.static_range(maps):
                    place = ((sample * maps + m) * window_rows + top) * windows
                    tl.store(slopes_BMijC + place + column_P, slopes_P[m], live_P)
        tails = _tails(rows, WINDOW)
    part = tl.sum(distance_P) / (window_rows * windows)
    tl.store(parts_BG + sample * tl.num_programs(1) + tl.program_id(1), part)


@triton.jit
def _slope_sums(
    slopes,
    column_P,
    live,
    MAPS: tl.constexpr,
    PICTURE: tl.constexpr,
    WINDOWS: tl.constexpr,
    STEP: tl.constexpr,
    WINDOW: tl.constexpr,
    P: tl.constexpr,
):
    """Sums along one row of the slopes of all windows that hold a column's element; PICTURE elements a map."""
    sums_P = _zeros(MAPS, P)
    for shift in range(WINDOW):
        first_P = column_P - shift * STEP
        live_P = (first_P >= 0) & (first_P < WINDOWS) & live
        new_P = ()
        for m in tl.static_range(MAPS):
            new_P = new_P + (tl.load(slopes + m * PICTURE + first_P, live_P, other=0),)
        sums_P = _added(sums_P, new_P)
    return sums_P


@triton.jit
def gradient_kernel(
    grad_B,
    x_BhwC,
    y_BhwC,
    slopes_BMijC,
    grad_x_BhwC,
    grad_y_BhwC,
    HEIGHT: tl.constexpr,
    LENGTH: tl.constexpr,
    STEP: tl.constexpr,
    WINDOW: tl.constexpr,
    FOR_X: tl.constexpr,
    FOR_Y: tl.constexpr,
    P: tl.constexpr,
):
    """Every element gathers the slopes of the windows it lies in: the mirror image of `distance_kernel`."""
    sample = tl.program_id(0).to(tl.int64)
    column_P = tl.program_id(1) * P + tl.arange(0, P)
    windows: tl.constexpr = LENGTH - (WINDOW - 1) * STEP
    window_rows: tl.constexpr = HEIGHT - WINDOW + 1
    maps: tl.constexpr = 2 + FOR_X + FOR_Y
    picture: tl.constexpr = window_rows * windows
    scale = tl.load(grad_B + sample) / -picture
    tails = _no_tails(WINDOW, maps, P)
    for block in range((HEIGHT + WINDOW - 1) // WINDOW):
        rows = ()
        head = _zeros(maps, P)
        for i in tl.static_range(WINDOW):
            row = block * WINDOW + i
            slopes = slopes_BMijC + sample * (maps * picture) + row * windows
            new = _slope_sums(slopes, column_P, row < window_rows, maps, picture, windows, STEP, WINDOW, P)
            rows, head = rows + (new,), _added(head, new)
            sums_P = _window(tails, head, i, WINDOW)
            place_P = sample * (HEIGHT * LENGTH) + row * LENGTH + column_P
            live_P = (column_P < LENGTH) & (row < HEIGHT)
            x_P = tl.load(x_BhwC + place_P, live_P, other=0).to(tl.float32)
            y_P = tl.load(y_BhwC + place_P, live_P, other=0).to(tl.float32)
            if FOR_X:
                grad_P = scale * (sums_P[2] + 2 * x_P * sums_P[0] + y_P * sums_P[1])
                tl.store(grad_x_BhwC + place_P, grad_P.to(grad_x_BhwC.dtype.element_ty), live_P)
            if FOR_Y:
                grad_P = scale * (sums_P[2 + FOR_X] + 2 * y_P * sums_P[0] + x_P * sums_P[1])
                tl.store(grad_y_BhwC + place_P, grad_P.to(grad_y_BhwC.dtype.element_ty), live_P)
        tails = _tails(rows, WINDOW)
