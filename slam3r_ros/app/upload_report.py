"""What the inspection of an upload finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class UploadKind(Enum):
    """What was uploaded."""

    VIDEO = "video"
    IMAGES = "images"
    BAG = "bag"


@dataclass(frozen=True, slots=True)
class UploadReport:
    """What an upload is."""

    kind: UploadKind
    summary: str
    """What it is, for people: half a sentence without a full stop."""
    topics: tuple[str, ...] = ()
    """Image topics of a bag."""
