"""The order in which images were taken, by the names of their files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
"""A whole name that is one number, as Python and C write them."""
_DECIMAL = re.compile(r"(?<![0-9.])[0-9]+\.([0-9]+)(?![0-9]|\.[0-9])")
"""A number with a point inside a name; 9.05.10 is none."""

_Key: TypeAlias = tuple[tuple[int, Decimal, str], ...]


def in_order(files: Iterable[Path]) -> list[Path]:
    """Files in the natural order of their names: 2 before 10, 0.25 before 0.5, upper and lower case alike."""
    found = sorted(files)
    stems = [file.stem for file in found]
    has_decimals = _are_decimals(stems)
    if has_decimals and all(_NUMBER.fullmatch(stem) for stem in stems):
        return sorted(found, key=lambda file: (Decimal(file.stem), file.name))
    return sorted(found, key=lambda file: (_key(file.stem, has_decimals), file.name))


def _are_decimals(stems: Iterable[str]) -> bool:
    """Whether what follows a point is a fraction (0.25 before 0.5), not a number of its own (1.9 before 1.10).

    It differs only where the lengths do: numbers of their own have no zeros before them, fractions none behind.
    """
    fractions = {match[1] for stem in stems for match in _DECIMAL.finditer(stem)}
    longer = [fraction for fraction in fractions if len(fraction) > 1]
    return any(text.startswith("0") for text in longer) or not any(text.endswith("0") for text in longer)


def _key(stem: str, has_decimals: bool) -> _Key:
    """Numbers compare by their value, and before other text."""
    number = rf"{_DECIMAL.pattern}|[0-9]+" if has_decimals else "[0-9]+"
    parts, position = [], 0
    for match in re.finditer(number, stem):
        if match.start() > position:
            parts.append((1, Decimal(0), stem[position : match.start()].casefold()))
        parts.append((0, Decimal(match[0]), ""))
        position = match.end()
    if position < len(stem):
        parts.append((1, Decimal(0), stem[position:].casefold()))
    return tuple(parts)
