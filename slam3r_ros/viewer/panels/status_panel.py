"""The state of the map and of whoever makes it, always on top."""

from __future__ import annotations

import html

import viser

from slam3r_ros.viewer.map_model import MapSnapshot
from slam3r_ros.viewer.map_status import MapStatus

_COLOURS = {"TRACKING": "#2fb344", "LOST": "#e03131", "PAUSED": "#f08c00", "INITIALIZING": "#1c7ed6"}
"""Colours of the states; all others are grey."""
_OTHER = "#868e96"


class StatusPanel:
    """Text above the other panels."""

    def __init__(self, gui: viser.GuiApi) -> None:
        self._html = gui.add_html("")

    def update(self, snapshot: MapSnapshot, drawn_points: int, grid_cell: float) -> None:
        """Show the state of a snapshot."""
        self._html.content = status_html(snapshot, drawn_points, grid_cell)


def status_html(snapshot: MapSnapshot, drawn_points: int, grid_cell: float) -> str:
    """The panel's text. What others have said goes in as text, whatever it holds."""
    status = snapshot.status
    state = "PAUSED" if status.is_paused else status.state
    badge = (
        f'<span style="background:{_COLOURS.get(state, _OTHER)};color:white;border-radius:4px;padding:1px 7px;'
        f'font-weight:600;font-size:0.85em">{html.escape(state.replace("_", " "))}</span>'
    )
    rows = "".join(
        f'<tr><td style="opacity:0.65;padding-right:0.8em;white-space:nowrap">{html.escape(name)}</td>'
        f"<td>{html.escape(value)}</td></tr>"
        for name, value in status_rows(snapshot, drawn_points, grid_cell)
    )
    return (
        f'<div style="padding:0.5em 0.9em 0.2em;font-size:0.85em;line-height:1.45">{badge} '
        f'<span class="slam3r-reason">{html.escape(status.reason)}</span>'
        f'<table style="margin-top:0.35em;border-spacing:0">{rows}</table></div>'
    )


def status_rows(snapshot: MapSnapshot, drawn_points: int, grid_cell: float) -> list[tuple[str, str]]:
    """Names and values of what is known."""
    status, scale, has_map = snapshot.status, snapshot.metres_per_unit, bool(snapshot.chunks)
    rows = [
        ("Frames", _frames(status)),
        ("Latency", "" if status.latency_ms is None else f"{status.latency_ms:.0f} ms from image to pose"),
        ("Memory", "" if status.memory_bytes is None else f"{status.memory_bytes / 2**20:.0f} MB"),
        ("Map", _map(status, len(snapshot.chunks)) if has_map or status.keyframes is not None else ""),
        ("Shown", f"{drawn_points:,} points" if has_map else ""),
        ("Lengths", _lengths(scale) if has_map else ""),
        ("Grid", f"{grid_cell:g} {snapshot.unit_name} a cell" if grid_cell else ""),
    ]
    return [(name, value) for name, value in rows if value]


def _lengths(metres_per_unit: float) -> str:
    if not metres_per_unit:
        return "scene units (scale unknown: measure it)"
    return f"metres ({metres_per_unit:.4g} m to a scene unit)"


def _frames(status: MapStatus) -> str:
    if status.frame_rate is None:
        return ""
    received = "" if status.frame_rate_received is None else f" of {status.frame_rate_received:.1f}"
    dropped = "" if status.frames_dropped is None else f", {status.frames_dropped:,} dropped"
    return f"{status.frame_rate:.1f}{received} a second{dropped}"


def _map(status: MapStatus, shown_keyframes: int) -> str:
    points = "" if status.map_points is None else f"{status.map_points:,} points, "
    loops = "" if not status.loops_closed else f", {status.loops_closed} loops closed"
    return f"{points}{shown_keyframes} keyframes{loops}"
