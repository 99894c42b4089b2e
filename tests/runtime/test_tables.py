"""Aligned text, literally."""

from transferlab.runtime import tables


def test_cells_are_padded_to_their_column_and_lines_have_no_trailing_space():
    rows = [("failed", "A1B", "see log"), ("queued", "baseB", "")]

    assert tables.aligned(rows) == ["failed  A1B    see log", "queued  baseB"]


def test_named_columns_are_right_aligned():
    assert tables.aligned([("a", "1"), ("bc", "10")], right=(1,)) == ["a    1", "bc  10"]


def test_a_column_without_text_is_omitted():
    assert tables.aligned([("a", "", "b"), ("c", "", "d")]) == ["a  b", "c  d"]
    assert tables.table(("run", ""), [("A1B", "")]) == ["run", "---", "A1B"]


def test_rows_without_any_text_are_empty_lines():
    assert tables.aligned([("", ""), ("", "")]) == ["", ""]


def test_no_rows_are_no_lines():
    assert tables.aligned([]) == []


def test_a_table_has_its_heading_and_a_rule_as_wide_as_each_column():
    assert tables.table(("run", "top-1"), [("baseA", "0.5"), ("A1B", "0.25")], right=(1,)) == [
        "run    top-1",
        "-----  -----",
        "baseA    0.5",
        "A1B     0.25",
    ]
    assert tables.table(("run", "top-1"), []) == ["run  top-1", "---  -----"]


def test_a_cell_with_control_characters_is_part_of_one_line():
    assert tables.table(("run", "note"), [("a\nb", "\x1b[2J"), ("c", "d")]) == [
        "run   note",
        "----  -------",
        r"a\nb  \x1b[2J",
        "c     d",
    ]
