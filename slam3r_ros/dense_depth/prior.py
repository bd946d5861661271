"""Depths that are known otherwise, such as the networks', where parallax tells little or nothing."""

from __future__ import annotations

import numpy as np

from slam3r_ros.dense_depth.posed_view import DepthMap

MIN_COMMON_PIXELS = 100
"""Fewest pixels that both know, with which the prior's scale is set; with fewer it is left as it is."""


def with_prior(measured: DepthMap, prior: DepthMap) -> DepthMap:
    """Both depth images of the same view in one, of log depths the mean by inverse variance.

    The prior's scale is set first, by the median ratio where both know a depth. Where the two differ by more than three
    sigmas one of them is wrong, and the surer one stays.
    """
    common = measured.is_known & prior.is_known
    ratio = 0.0
    if np.count_nonzero(common) >= MIN_COMMON_PIXELS:
        ratio = float(np.median(np.log(measured.depth[common] / prior.depth[common])))
    weight, other = 1 / np.square(measured.sigma), 1 / np.square(prior.sigma)
    own, given = np.log(measured.depth), np.log(prior.depth) + np.float32(ratio)
    differ = common & (np.abs(own - given) > 3 * np.sqrt(np.square(measured.sigma) + np.square(prior.sigma)))
    weight, other = np.where(differ & (weight < other), 0, weight), np.where(differ & (weight >= other), 0, other)
    total = weight + other
    known = total > 0
    safe = np.where(known, total, 1)
    mean = (np.where(weight > 0, weight * own, 0) + np.where(other > 0, other * given, 0)) / safe
    return DepthMap(
        np.where(known, np.exp(mean), np.nan).astype(np.float32),
        np.where(known, 1 / np.sqrt(safe), np.inf).astype(np.float32),
    )
