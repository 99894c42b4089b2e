"""Axes keep their names through views: flattened, transposed, cut into windows and heads."""

from transferlab.models.axes import extent, has, named, viewed


def test_a_flattened_map_is_of_channels_rows_and_columns():
    flat = viewed(named("BCHW", (1, 256, 6, 6)), (1, 9216))

    assert flat is not None
    assert [extent(flat, axis) for axis in "CHW"] == [256, 6, 6]
    assert [factor.axis for factor in flat[-1]] == ["C", "H", "W"]


def test_tokens_become_a_map_again():
    tokens = viewed(named("BHWC", (1, 14, 14, 192)), (1, 196, 192))
    assert tokens is not None
    back = viewed(tokens, (1, 14, 14, 192))

    assert back is not None
    assert [extent(back, axis) for axis in "HWC"] == [14, 14, 192]


def test_windows_are_factors_of_rows_and_columns():
    layout = viewed(named("BHWC", (1, 56, 56, 96)), (1, 8, 7, 8, 7, 96))
    assert layout is not None
    partition = tuple(layout[place] for place in (0, 1, 3, 2, 4, 5))
    windows = viewed(partition, (64, 49, 96))

    assert windows is not None
    assert [extent(windows, axis) for axis in "HWC"] == [56, 56, 96]


def test_shuffled_channels_are_channels():
    split = viewed(named("BCHW", (1, 116, 28, 28)), (1, 2, 58, 28, 28))
    assert split is not None
    shuffled = viewed(tuple(split[place] for place in (0, 2, 1, 3, 4)), (1, 116, 28, 28))

    assert shuffled is not None
    assert extent(shuffled, "C") == 116
    assert {factor.axis for factor in shuffled[1]} == {"C"}


def test_a_slice_has_less_of_an_axis_and_an_index_has_none():
    half = viewed(named("BCHW", (1, 116, 28, 28)), (1, 58, 28, 28))
    first = viewed(named("BNC", (1, 197, 192)), (1, 192))

    assert half is not None and first is not None
    assert [extent(half, axis) for axis in "CHW"] == [58, 28, 28]
    assert not has(first, "N")


def test_names_are_lost_where_a_view_mixes_axes():
    assert viewed(named("BCHW", (1, 3, 4, 4)), (1, 8, 6)) is None
