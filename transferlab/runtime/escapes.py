"""Names from a store, a data set or the environment, shown without effect on what shows them.

A terminal obeys control characters, a spreadsheet computes a cell that begins like a formula, and
no encoding has the surrogates by which Python keeps bytes that are not UTF-8.
"""

import re

# C0, DEL and C1; marks and overrides of the direction of text, separators of lines and paragraphs
# (Unicode 15, 23.2 and 5.8); surrogates
_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_FORMULA = re.compile(r"'*[=+\-@\t\r]")  # CWE-1236; apostrophes, so that it can be undone


def escaped(text: str) -> str:
    """The text in one line, with an escape such as `\\x1b` for each character that is no text."""
    if text.isprintable():  # which nothing of _STEERING is
        return text
    return _STEERING.sub(lambda match: _spelled(match[0]), text)


def inert(text: str) -> str:
    """A text that a spreadsheet does not compute: one that begins like a formula follows a `'`."""
    return f"'{text}" if _FORMULA.match(text) else text


def restored(cell: str) -> str:
    """The text of which `inert` has made a cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _spelled(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # the byte of a file name, see PEP 383
        return f"\\x{number - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
