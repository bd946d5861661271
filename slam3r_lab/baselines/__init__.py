"""Baselines, so that a figure means something: without looking, with one view, and offline with COLMAP.

- `run`: `run_baseline` runs a baseline by its name; the others are called from here.
- `result`: this is what every baseline returns, its poses and, if it has any, its points.
- `motion`: the camera stands still or moves at constant velocity; the images are not looked at.
- `one_view`: I2P makes a pointmap of each single image, and optical flow chains these from frame to frame.
- `colmap`: COLMAP (Schoenberger and Frahm 2016) makes poses and sparse points offline, through `pycolmap`.
"""

from slam3r_lab.baselines.result import BaselineError, BaselineResult
from slam3r_lab.baselines.run import BASELINES, run_baseline

__all__ = ["BASELINES", "BaselineError", "BaselineResult", "run_baseline"]
