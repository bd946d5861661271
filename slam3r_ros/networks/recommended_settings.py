"""The settings that a set of weights recommends: the file settings.yaml beside its networks.

Confidences (above 1) and accuracy differ from one set of weights to another, and so do the thresholds that fit them and
the work that the networks are worth. The file names settings as `slam3r_ros.settings` does, by stage::

    window: {stride: 3, radius: 1}
    map: {point_confidence: 1.4}

Weights without such a file are taken for published ones.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from slam3r_ros.networks.errors import WeightsError
from slam3r_ros.setting_spec import RECOMMENDED, SettingError, specs_of
from slam3r_ros.settings import SlamSettings

SETTINGS_FILE = "settings.yaml"
"""Name of the file in a directory of weights."""

_FORMER_NAMES = {
    "point_confidence": "register.point_confidence",
    "shrink_below": "initialize.shrink_below",
    "initialize_confidence": "initialize.minimum_confidence",
    "tracking_confidence": "pose.minimum_confidence",
    "map_confidence": "map.point_confidence",
    "inlier_threshold": "pose.inlier_threshold",
    "stride": "window.stride",
    "radius": "window.radius",
    "scene_frames": "register.scene_frames",
    "retrieval_interval": "register.retrieval_interval",
    "buffer_size": "keyframes.buffer_size",
    "keyframe_interval": "keyframes.interval",
    "tracks": "pose.tracks",
}
"""Names that settings.yaml had for settings until version 0.1, for weights that were made before; still read."""


def recommended_settings(directory: Path) -> SlamSettings:
    """The settings that the weights in a directory recommend; those of the published weights where it names none.

    In the result nothing is left to the weights. Raises WeightsError for a file that cannot be read, and for what is no
    setting, or none in which weights have a say.
    """
    published, path = SlamSettings.of_published_weights(), directory / SETTINGS_FILE
    if not path.is_file():
        return published
    try:
        document: object = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise WeightsError(f"{path}: {error}") from error
    known = [spec.name for spec in specs_of(SlamSettings) if spec.published is not None]
    values = _by_dotted_name(document)
    if values is None or not values.keys() <= set(known):
        raise WeightsError(f"{path}: expected a mapping with some of {', '.join(known)}, got {document!r}")
    try:
        settings = published.with_values(values)
    except SettingError as error:
        raise WeightsError(f"{path}: {error}") from error
    for name in values:
        if settings.value(name) is RECOMMENDED:
            raise WeightsError(f"{path}: {name}: expected what these weights recommend, got {values[name]!r}")
    return settings


def _by_dotted_name(document: object) -> dict[str, object] | None:
    """The file's values by the present names of the settings; None where the file holds no mapping."""
    if not isinstance(document, dict):
        return None
    values: dict[str, object] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            values |= {f"{name}.{inner}": each for inner, each in value.items()}
        else:
            values[_FORMER_NAMES.get(name, str(name))] = value
    return values
