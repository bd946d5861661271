"""Which names of frames go together."""

from __future__ import annotations

from typing import Protocol

from slam3r_ros.setting_spec import SettingError


class FrameSettings(Protocol):
    """The parameters that name frames, and those that say what the frames are for."""

    @property
    def map_frame(self) -> str:
        """Frame of the map."""

    @property
    def base_frame(self) -> str:
        """Frame of the robot; empty for the camera itself."""

    @property
    def odom_frame(self) -> str:
        """Frame of odometry."""

    @property
    def tf_mode(self) -> str:
        """Which transforms are published."""

    @property
    def invert_tf(self) -> bool:
        """Whether the transform is published the other way round."""

    @property
    def scale_source(self) -> str:
        """What the scale is estimated by."""


def frame_of_visual_odometry(settings: FrameSettings) -> str:
    """Return odom_frame, unless that is the robot's or no name for it."""
    is_robots = settings.tf_mode == "map_to_odom" or settings.scale_source == "tf"
    is_free = not is_robots and settings.odom_frame not in ("", settings.map_frame, settings.base_frame)
    return settings.odom_frame if is_free else f"visual_{settings.odom_frame or 'odom'}"


def check_frames(settings: FrameSettings) -> None:
    """Raise SettingError naming a frame that is missing, no name, or another one too."""
    mode, odom = settings.tf_mode, settings.odom_frame
    for name in ("map_frame", "base_frame", "odom_frame"):
        if getattr(settings, name).startswith("/"):
            raise SettingError(f"{name}: tf2 frames have no leading slash, got '{getattr(settings, name)}'")
    if mode == "map_to_odom" and (not settings.base_frame or not odom):
        raise SettingError("base_frame, odom_frame: expected names, which tf_mode: map_to_odom needs")
    if mode.startswith("map_to_odom") and settings.invert_tf:
        raise SettingError(f"invert_tf: expected false with tf_mode: {mode}, got true")
    if settings.map_frame == settings.base_frame:
        raise SettingError(f"base_frame: expected another frame than map_frame, got '{settings.base_frame}' for both")
    if mode != "map_to_odom_to_base":
        return
    if not odom:
        raise SettingError("odom_frame: expected a name, which tf_mode: map_to_odom_to_base needs")
    if odom in (settings.map_frame, settings.base_frame):
        raise SettingError(f"odom_frame: expected another frame than map_frame and base_frame, got '{odom}'")
    if settings.scale_source == "tf":
        raise SettingError(
            "tf_mode: expected map_to_odom with scale_source: tf, since odom_frame is the robot's then, got "
            "'map_to_odom_to_base'"
        )
