"""The hand-tuned values of the live page, together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ViewerTuning:
    """Bounds of memory and bandwidth, and what the page looks like; none of them is a setting of the visitor."""

    updates_per_second: float = 15.0
    """Times a second that the scene follows the map."""
    panel_updates_per_second: float = 2.0
    """Times a second that state and images beside the map are renewed."""
    most_stored_points: int = 4_000_000
    """Largest number of points of the whole map that the page keeps, 11 bytes each; when more come, every keyframe
    keeps half of its points."""
    least_stored_points: int = 500
    """Number of points of a keyframe that are always kept."""
    most_keyframes: int = 2000
    """Largest number of keyframes that the page keeps; when more come, every second of the older ones goes."""
    always_kept_keyframes: int = 32
    """Number of newest keyframes that are kept whatever their number."""
    most_path_points: int = 4096
    """Largest number of positions of the path; when more come, every second one goes."""
    path_piece_points: int = 256
    """Number of positions in one line of the path: only the last line is sent again while the camera moves."""
    most_loops: int = 1000
    """Largest number of closed loops that are drawn."""
    most_frustums: int = 80
    """Largest number of keyframes that are drawn as cameras, those at equal steps among all that can be
    told apart."""
    frustum_distance: float = 0.035
    """Distance between neighbouring keyframes that are drawn as cameras, as a fraction of the map's size, unless they
    look elsewhere."""
    thumbnail_height: int = 64
    """Height, in pixels, of the image inside a keyframe's camera."""
    points_sent_per_update: int = 120_000
    """Points after which the rest of what has changed waits for the next update: 1 MB an update, 16 MB a second."""
    budget_period_s: float = 1.0
    """Seconds between two decisions on how finely each keyframe is drawn."""
    default_budget: int = 800_000
    """Number of points that are drawn at most, until a visitor changes it."""
    largest_budget: int = 3_000_000
    """Largest number of points that a visitor may have drawn."""
    default_point_size: float = 0.35
    """Width of a point until a visitor changes it, as a percentage of the map's size."""
    default_hidden_percent: float = 15.0
    """Share of the points, the least confident ones, that is hidden until a visitor changes it, percent."""
    frustum_size: float = 0.025
    """Depth of a keyframe's camera as a fraction of the map's size."""
    live_frustum_size: float = 0.05
    """Depth of the live camera as a fraction of the map's size."""
    outlier_percent: float = 2.0
    """Share of the points at either end of each axis, percent, that the map's size and its floor leave out."""
    first_person_near: float = 0.07
    """Distance, as a fraction of the map's size, below which first person draws nothing: it is larger than a camera."""
    usual_near: float = 0.001
    """The same in all other views."""
    follow_time_s: float = 0.35
    """Time constant with which a visitor's view follows the camera."""
    pick_angles_rad: tuple[float, ...] = (0.004, 0.008, 0.016, 0.032)
    """Angles between a click's ray and a point below which the point is hit; the next one is tried where none is."""
    export_s: float = 300.0
    """Seconds that the making of a file to download, or of one picture of a film, may take."""
    play_period_s: float = 0.25
    """Seconds from one keyframe to the next while the timeline plays."""


TUNING = ViewerTuning()
"""The values in use."""


@dataclass(frozen=True, slots=True)
class DrawingTuning:
    """How a browser keeps up: given to the script of `level_of_detail` by these names."""

    frame_ms: float = 46.0
    """Time from one frame to the next, milliseconds, above which fewer points are drawn while the picture changes:
    a little less than 20 frames a second allow."""
    fast_ms: float = 40.0
    """The same, below which more points are drawn."""
    growth: float = 1.15
    """Factor by which the number of points grows in a step."""
    steepest: float = 0.25
    """Smallest factor by which it falls in a step."""
    frames_per_step: int = 3
    """Number of frames from one change of the number of points to the next."""
    skipped_frames: int = 2
    """Number of frames after a rest whose times say nothing of the points: they wait for a frame with all of them."""
    rest_ms: float = 300.0
    """Time without a frame, milliseconds, after which all points are drawn."""
    first_points: int = 100_000
    """Number of points with which a browser that draws in software begins, until it is known what it can do."""
    least_points: int = 20_000
    """Number of points that are drawn whatever it takes."""
    widening: float = 2.0
    """Largest factor by which points are wider where fewer are drawn."""
    coarse_share: float = 0.5
    """Share of the points below which a browser that draws in software has fewer pixels too, until the picture
    rests."""
    coarse_ratio: float = 0.5
    """Factor of the number of pixels in each direction then."""
    look_ms: float = 250.0
    """Time from one look for a new scene to the next, milliseconds."""


DRAWING = DrawingTuning()
"""The values in use."""
