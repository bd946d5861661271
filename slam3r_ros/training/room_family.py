"""The family of rooms: every random range of the renderer, as one value."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class RoomFamily:
    """Ranges that rooms and camera paths are drawn from. The defaults are the family of the embedded weights and of the
    demo.
    """

    room_length: Range = (4.0, 7.0)
    """Extent along world x, metres."""
    room_width: Range = (4.0, 6.0)
    """Extent along world y, metres."""
    room_height: Range = (2.5, 3.0)
    """Extent along world z (up), metres."""
    box_count: tuple[int, int] = (4, 8)
    """Number of boxes, both ends included."""
    box_footprint: Range = (0.35, 1.2)
    """Side of a box on the floor, metres."""
    box_height: Range = (0.35, 2.0)
    """Height of a box, metres."""
    share_of_rotated_boxes: float = 0.5
    """Probability that a box does not stand parallel to the walls."""
    field_of_view: Range = (50.0, 65.0)
    """Angle of view across the centre square of the image, degrees."""
    camera_height: Range = (1.1, 1.7)
    """Height of the camera above the floor, metres."""
    camera_pitch: Range = (-22.0, 6.0)
    """Angle of the optical axis above the horizon, degrees."""
    camera_speed: Range = (0.3, 0.7)
    """Mean speed of a path, metres a second."""
    styles_by_surface: bool = True
    """Walls, floor, ceiling and boxes each have patterns and colours of their own kind; otherwise any may have any."""
    turn_of_gaze: float = 35.0
    """Largest change of the viewing direction from one waypoint to the next (about one metre), degrees."""
    clearance: float = 0.5
    """Least distance from the camera to any wall or box, metres."""
