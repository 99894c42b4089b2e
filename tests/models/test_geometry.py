"""Size, jump and receptive field of a map: the lecture's formulas and its worked examples."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from transferlab.models.geometry import Axis, SlidingWindow, j_out, joined, n_out, r_out


def test_two_convolutions_of_three_pixels_and_stride_two_see_three_and_seven():
    fields, jumps, jump, field = [], [], 1, 1
    for _ in range(2):
        field = r_out(field, jump, kernel=3)
        jump = j_out(jump, stride=2)
        fields.append(field)
        jumps.append(jump)

    assert (fields, jumps) == ([3, 7], [2, 4])


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        # AlexNet: conv1, pool1, conv2, pool2, conv3, conv4, conv5, pool5, fc6
        (
            [(11, 4, 0), (3, 2, 0), (5, 1, 2), (3, 2, 0), *[(3, 1, 1)] * 3, (3, 2, 0), (6, 1, 0)],
            [(55, 4, 11), (27, 8, 19), (27, 8, 51), (13, 16, 67), (13, 16, 99), (13, 16, 131),
             (13, 16, 163), (6, 32, 195), (1, 32, 355)],
        ),
    ],
)  # fmt: skip
def test_alexnet_sees_195_pixels_before_and_355_in_its_first_fully_connected_layer(
    windows: list[tuple[int, int, int]], expected: list[tuple[int, int, int]]
):
    axis, found = Axis(227), []
    for kernel, stride, pad in windows:
        axis = axis.through(SlidingWindow(kernel, stride, pad, pad))
        found.append((axis.size, axis.jump, axis.field))

    assert found == expected


def test_sizes_round_down_or_up_as_torch_rounds():
    windows = [
        window
        for window in itertools.product(
            range(3, 12), (2, 3, 5), (1, 2, 3), (0, 1, 2), (False, True)
        )
        if window[3] <= window[1] // 2 and window[0] + 2 * window[3] >= window[1]
    ]
    assert len(windows) > 200
    for size, kernel, stride, pad, ceil in windows:
        x = torch.empty(1, 1, size, size, device="meta")
        expected = F.max_pool2d(x, kernel, stride, pad, ceil_mode=ceil).shape[-1]

        assert n_out(size, kernel=kernel, stride=stride, pad=pad, ceil=ceil) == expected


def test_a_window_that_would_begin_in_the_padding_is_dropped():
    assert n_out(2, kernel=2, stride=2, pad=1, ceil=True) == 2
    assert n_out(3, kernel=2, stride=2, pad=1, ceil=True) == 2
    assert n_out(110, kernel=3, stride=2, ceil=True) == 55
    assert n_out(110, kernel=3, stride=2) == 54


def test_a_dilated_window_spans_more_and_padding_may_be_on_one_side():
    assert Axis(10).through(SlidingWindow(3, dilation=2)) == Axis(6, 1, 5)
    assert Axis(112, 2, 3).through(SlidingWindow(3, 2, before=0, after=1)) == Axis(56, 4, 7)


def test_what_is_joined_sees_what_its_widest_input_sees():
    assert joined(28, [Axis(28, 8, 27), Axis(28, 8, 59), Axis(28, 8, 43)]) == Axis(28, 8, 59)


def test_a_map_that_is_broadcast_is_not_counted():
    assert joined(14, [Axis(1, 16, 500), Axis(14, 16, 91)]) == Axis(14, 16, 91)


def test_what_no_window_defines_stays_undefined():
    assert Axis(14, None, None).through(SlidingWindow(3, 2, 1, 1)) == Axis(7, None, None)
    assert joined(7, [Axis(7, None, None), Axis(7, 32, 91)]) == Axis(7, None, None)
