"""Names of uploaded files, made safe: a name of a visitor's computer never leads out of the scratch folder."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from pathlib import PurePosixPath

_LONGEST_STEM, _LONGEST_SUFFIX = 160, 32
"""Bytes that are kept of a name before and in its suffix; file systems take names of up to 255."""
_RESERVED = frozenset(
    {"CON", "PRN", "AUX", "NUL", *(f"COM{digit}" for digit in range(10)), *(f"LPT{digit}" for digit in range(10))}
)
"""Names that are devices on Windows, with any suffix."""
_PUNCTUATION = frozenset("-_.()+, ")
"""What may stand in a name besides letters, marks and digits of any script."""


def safe_name(name: str) -> str:
    """A name that is a plain, visible file's in any folder and system, as like ``name`` as possible.

    Only what follows the last slash or backslash counts. Letters and digits of every script stay, in Unicode's
    compatibility composition (NFKC); other characters, control characters and those that change the direction of
    writing among them, become ``_``. Leading dots and dashes go, and so does what is too long.
    """
    last = unicodedata.normalize("NFKC", name).replace("\\", "/").rstrip("/").rpartition("/")[2]
    kept = "".join(character if _is_allowed(character) else "_" for character in last)
    path = PurePosixPath(kept.strip(" ").rstrip(". "))
    stem, suffix = path.stem.lstrip(".-_ "), _shortened(path.suffix, _LONGEST_SUFFIX)
    stem = _shortened(stem, _LONGEST_STEM)
    if not stem:
        return f"file{suffix}"
    if stem.partition(".")[0].strip().upper() in _RESERVED:
        stem = f"file_{stem}"
    return f"{stem}{suffix}"


def unused_name(name: str, taken: Collection[str]) -> str:
    """``name``, or ``name`` with a number before its suffix where a file is called so already, in any case."""
    lower = {each.lower() for each in taken}
    path, number, unused = PurePosixPath(name), 1, name
    while unused.lower() in lower:
        number += 1
        unused = f"{path.stem}_{number}{path.suffix}"
    return unused


def _shortened(text: str, most_bytes: int) -> str:
    """As many of the first characters as fit, without blanks and dots at the end."""
    return text.encode()[:most_bytes].decode(errors="ignore").rstrip(". ")


def _is_allowed(character: str) -> bool:
    return character in _PUNCTUATION or unicodedata.category(character)[0] in "LMN"
