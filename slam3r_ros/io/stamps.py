"""Time stamps as decimal seconds in text, without the loss that a float would bring."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation


def stamp_ns_from_text(text: str) -> int:
    """Integer nanoseconds of decimal seconds ("1341841278.842700"). Raises ValueError when it is no finite number."""
    try:
        seconds = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"expected a time in seconds, got '{text}'") from None
    if not seconds.is_finite() or abs(seconds) >= 10**12:
        raise ValueError(f"expected a time in seconds, got '{text}'")
    return round(seconds * 10**9)


def text_from_stamp_ns(stamp_ns: int) -> str:
    """Decimal seconds with all nine digits."""
    seconds, nanoseconds = divmod(abs(stamp_ns), 10**9)
    return f"{'-' if stamp_ns < 0 else ''}{seconds}.{nanoseconds:09d}"
