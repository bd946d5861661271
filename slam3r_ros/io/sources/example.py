"""The clip that is installed with this package."""

from __future__ import annotations

from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "room"
"""A folder with a clip of a rendered room, its camera and its true poses."""
