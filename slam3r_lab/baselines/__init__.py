"""Baselines, so that a figure means something: without looking, with one view, and offline with COLMAP."""

from slam3r_lab.baselines.result import BaselineError, BaselineResult
from slam3r_lab.baselines.run import BASELINES, run_baseline

__all__ = ["BASELINES", "BaselineError", "BaselineResult", "run_baseline"]
