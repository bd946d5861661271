"""How much one visitor of the app may bring along, and how long the app waits."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1 << 20


class UploadError(ValueError):
    """Something uploaded cannot be used; the message names it and says why in one sentence."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What an upload may be at most."""

    total_bytes: int = 2048 * MEBIBYTE
    """Bytes of all files of one visitor together, those unpacked from an archive included."""
    files: int = 5000
    """Files of one visitor, those unpacked from an archive included."""
    pixels: int = 40_000_000
    """Width times height of an image or of a video's frame; 8K video has 33 million."""
    video_seconds: float = 3600.0
    """Duration of a video."""
    video_frames: int = 216_000
    """Frames of a video: an hour at 60 a second."""


@dataclass(frozen=True, slots=True)
class AppTuning:
    """Times and sizes of the app that are chosen by hand."""

    grace_s: float = 60.0
    """Seconds for which a visitor who left, as when the page is loaded again or a phone is locked, keeps run and
    files."""
    most_visitors: int = 50
    """Visitors at once, those who have just left included."""
    upload_idle_s: float = 60.0
    """Seconds without a byte after which a half upload is given up."""
    free_bytes: int = 512 * MEBIBYTE
    """Bytes that must stay free on the disk of the scratch folder."""
    inspection_s: float = 120.0
    """Seconds that the inspection of an upload may take."""
    inspection_bytes: int = 4096 * MEBIBYTE
    """Address space of the process that inspects an upload; a file that needs more is refused."""
    stop_s: float = 60.0
    """Seconds in which a run that was asked to stop has to end; after them its process is killed."""
    progress_period_s: float = 0.2
    """Seconds from one message about the progress of a run to the next."""
