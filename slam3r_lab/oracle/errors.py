"""Errors with the correlation that real networks' errors have.

Measured on two rendered sequences with the embedded weights (112 px, 30 images a second): after the best similarity of
each view, the error is 2.3 times as large along the viewing ray as in either direction across; along the ray its
correlation is 0.92 at 1 pixel, 0.59 at 8, 0.45 at 16, 0.19 at 32, across 0.98, 0.85, 0.67, 0.33; in time 0.95 after 1
image, 0.67 after 10, 0.42 after 30 (across: 0.98, 0.83, 0.54). Half of L2W's squared error is that of whole views
misplaced, which is ``placement`` here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_lab.oracle.settings import OracleSettings
from slam3r_lab.oracle.views import TrueView
from slam3r_ros.geometry.se3 import Array, rotation_from_vector

ALONG_RAY = ((0.12, 0.009), (0.30, 0.027), (0.58, 0.143))
"""Share of the variance, and radius of the Gaussian blur of white noise as a share of the image's width."""
ACROSS_RAY = ((0.15, 0.027), (0.85, 0.15))
BLOBS = ((1.0, 0.06),)
"""Of outliers."""
ALONG_FACTOR, ACROSS_FACTOR = 1.0, 0.43
"""Standard deviation along, and in each direction across, of noise whose mean length is 1."""
PLACEMENT_FACTOR = 0.5
"""Standard deviation of each of a view's three angles, three shifts and its scale's logarithm."""
CORRELATED_FRAMES = 20
"""Frames from one independent draw to the next; between them errors change smoothly."""
SURE_CONFIDENCE, NO_CONFIDENCE = 4.0, 1.0
LARGEST_FACTOR = 2.5
"""Of an outlier's depth; the smallest is its inverse."""
LEAST_TOLERANCE = 0.02
"""A calibrated oracle's confidence above 1 has halved at this relative error, or at ``noise`` if that is larger."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Points as an oracle gives them."""

    points: Array
    """(H, W, 3) metres in the view's own camera."""
    confidence: NDArray[np.float32]
    """(H, W) from 1, for what is not known, to SURE_CONFIDENCE."""


class Errors:
    """Draws the errors of one oracle: a function of seed, network and frame alone."""

    def __init__(self, settings: OracleSettings, image_size: tuple[int, int], network: str) -> None:
        self._settings = settings
        self._size = image_size
        self._network = network
        self._anchor = lru_cache(maxsize=64)(self._draw_field)

    def answer(self, number: int, view: TrueView, *, placed: bool) -> Answer:
        """The answer for view ``number``; ``placed``: whether it is asked for in the frame of other views."""
        truth, valid = view.points_camera.astype(np.float64), view.valid
        points = self._with_outliers(number, self._with_noise(number, truth))
        if placed and self._settings.placement:
            points = self._misplaced(number, points, valid)
        return Answer(points, self._confidence(points, truth, valid))

    def _with_noise(self, number: int, points: Array) -> Array:
        noise = self._settings.noise
        if not noise:
            return points
        along = 1 + noise * ALONG_FACTOR * self._field(number, "along", ALONG_RAY)
        distance = np.linalg.norm(points, axis=-1)
        noisy = points * np.maximum(along, 0.05)[..., None]
        for axis, name in enumerate(("x", "y")):  # across the optical axis: near enough across the ray
            noisy[..., axis] += noise * ACROSS_FACTOR * distance * self._field(number, name, ACROSS_RAY)
        return noisy

    def _with_outliers(self, number: int, points: Array) -> Array:
        share = self._settings.outliers
        if not share:
            return points
        blobs = self._field(number, "blobs", BLOBS)
        wrong = blobs > np.quantile(blobs, 1 - share)
        factor = LARGEST_FACTOR ** np.tanh(2 * self._field(number, "factor", BLOBS))
        return np.where(wrong[..., None], points * factor[..., None], points)

    def _misplaced(self, number: int, points: Array, valid: NDArray[np.bool_]) -> Array:
        """The view turned about the middle of its points, shifted and scaled."""
        if not valid.any():
            return points
        spread = self._settings.placement * PLACEMENT_FACTOR
        draws = spread * np.array([self._series(number, f"placement {i}") for i in range(7)])
        middle, distance = points[valid].mean(axis=0), np.linalg.norm(points[valid], axis=-1).mean()
        rotation = rotation_from_vector(draws[:3])
        placed: Array = math.exp(draws[6]) * (points - middle) @ rotation.T + middle + distance * draws[3:6]
        return placed

    def _confidence(self, points: Array, truth: Array, valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        sure = np.full(self._size, SURE_CONFIDENCE)
        if self._settings.calibrated:
            error = np.linalg.norm(points - truth, axis=-1) / np.maximum(np.linalg.norm(truth, axis=-1), 1e-6)
            tolerance = max(self._settings.noise, LEAST_TOLERANCE)
            sure = NO_CONFIDENCE + (SURE_CONFIDENCE - NO_CONFIDENCE) * tolerance / (tolerance + error)
        return np.where(valid, sure, NO_CONFIDENCE).astype(np.float32)

    def scale_of(self, number: int) -> float:
        """A factor from about 0.5 to 2: the scale of one I2P call is its own."""
        return math.exp(0.3 * self._series(number, "scale", every_frame=True))

    def _series(self, number: int, name: str, *, every_frame: bool = False) -> float:
        """One number of a series of mean 0 and variance 1."""
        period = 1 if every_frame else CORRELATED_FRAMES
        values = [float(self._random(name, number // period + k).standard_normal()) for k in (0, 1)]
        return float(_between(values[0], values[1], number % period / period))

    def _field(self, number: int, name: str, parts: tuple[tuple[float, float], ...]) -> Array:
        """(H, W) of mean 0 and variance 1."""
        first, second = (self._anchor(name, parts, number // CORRELATED_FRAMES + k) for k in (0, 1))
        return np.asarray(_between(first, second, number % CORRELATED_FRAMES / CORRELATED_FRAMES))

    def _draw_field(self, name: str, parts: tuple[tuple[float, float], ...], anchor: int) -> Array:
        random = self._random(name, anchor)
        height, width = self._size
        field = np.zeros(self._size)
        for share, radius in parts:
            sigma = radius * width
            border = math.ceil(3 * sigma)
            white = random.standard_normal((height + 2 * border, width + 2 * border))
            kernel = cv2.getGaussianKernel(2 * border + 1, sigma)
            smooth = cv2.sepFilter2D(white, cv2.CV_64F, kernel, kernel)[border:-border, border:-border]
            field += math.sqrt(share) / float((kernel**2).sum()) * smooth
        return field

    def _random(self, name: str, anchor: int) -> np.random.Generator:
        return np.random.default_rng([self._settings.seed, crc32(f"{self._network} {name}".encode()), anchor])


def _between(first: Array | float, second: Array | float, share: float) -> Array | float:
    """Between two independent draws, of their variance."""
    return ((1 - share) * first + share * second) / math.hypot(1 - share, share)
