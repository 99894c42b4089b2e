"""What steers a terminal or a spreadsheet is spelled out; all other text stays as it is."""

import pytest

from transferlab.runtime.escapes import escaped, inert, restored


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("a\nb\rc\td\x00\x7f", r"a\nb\rc\td\x00\x7f"),
        ("\x9b2J", r"\x9b2J"),  # the CSI of C1
        ("cod\u202egnp.\u2069\u200f\u061c", r"cod\u202egnp.\u2069\u200f\u061c"),
        ("a\u2028b\u2029\ufeff", r"a\u2028b\u2029\ufeff"),
        ("caf\udce9", r"caf\xe9"),  # a byte of a file name that is not UTF-8
        ("\ud83d", r"\ud83d"),
        ("日本語 café \u200d \\x1b", "日本語 café \u200d \\x1b"),
    ],
)
def test_characters_that_are_no_text_are_escaped(text: str, shown: str):
    assert escaped(text) == shown
    assert escaped(shown) == shown


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"), ("\r=1", "'\r=1"), ("'=1", "''=1"), ("''@", "'''@"),
        ("A3B+", "A3B+"), ("'quoted'", "'quoted'"), ("", ""), ("'", "'"), ("a=1", "a=1"),
    ],
)  # fmt: skip
def test_a_text_that_begins_like_a_formula_is_text_in_a_spreadsheet(text: str, cell: str):
    assert inert(text) == cell
    assert restored(cell) == text
