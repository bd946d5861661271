"""The pair of oracles of one sequence."""

from __future__ import annotations

from dataclasses import dataclass, replace

from slam3r_lab.oracle.drift import drifting_path
from slam3r_lab.oracle.errors import Errors
from slam3r_lab.oracle.image_to_points import OracleImageToPoints
from slam3r_lab.oracle.local_to_world import OracleLocalToWorld
from slam3r_lab.oracle.settings import OracleSettings
from slam3r_lab.oracle.views import TrueViews
from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.settings import SlamSettings

LEAST_INLIER_THRESHOLD = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class OracleNetworks:
    """Oracles for `engine.slam.Slam`, in the place of trained networks."""

    i2p: OracleImageToPoints
    l2w: OracleLocalToWorld
    name: str
    recommended: SlamSettings


def oracle_networks(
    sequence: ImageSequence, setting: str | OracleSettings = "exact", *, image_size: tuple[int, int] = (112, 112)
) -> OracleNetworks:
    """The oracles of a sequence: the engine must be given the images of this sequence.

    ``setting`` is text such as ``exact`` or ``noise=0.05,calibrated`` (`OracleSettings.parse`); ``image_size`` (H, W)
    that of the networks they stand for. Raises OracleSettingError.
    """
    settings = OracleSettings.parse(setting) if isinstance(setting, str) else setting
    config = NetworkConfig(image_size=image_size)
    views = TrueViews(sequence, image_size)
    poses = [frame.T_world_camera for frame in sequence.frames]
    true_path = drifting_path(poses, replace(settings, scale_drift=0.0, pose_drift=0.0))
    i2p = OracleImageToPoints(config, views, true_path, Errors(settings, image_size, "i2p"))
    path, errors = drifting_path(poses, settings), Errors(settings, image_size, "l2w")
    l2w = OracleLocalToWorld(config, views, path, errors, shrink=settings.shrink)
    name = setting if isinstance(setting, str) else str(setting)
    return OracleNetworks(i2p, l2w, f"oracle:{name or 'exact'}", recommended_for(settings))


def recommended_for(settings: OracleSettings) -> SlamSettings:
    """Thresholds that fit these answers: confidence is 4 where sure and 1 where nothing is known. Visual odometry is
    off, so that the engine's answer is that of the networks."""
    return SlamSettings.of_published_weights().with_values(
        {
            "register.point_confidence": 1.5,
            "initialize.shrink_below": 1.0,
            "initialize.minimum_confidence": 1.1,
            "pose.minimum_confidence": 1.1,
            "map.point_confidence": 1.5,
            "pose.tracks": "off",
            "pose.inlier_threshold": max(LEAST_INLIER_THRESHOLD, settings.noise / 2),
        }
    )
