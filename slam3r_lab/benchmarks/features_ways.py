"""The features that are compared: how an image gets them, and how those of two images are matched."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.loop_closure.tuning import TUNING as LOOP_TUNING
from slam3r_ros.vision.feature_image import FeatureImage, Features
from slam3r_ros.vision.tuning import TUNING

Grey = NDArray[np.uint8]
Positions = NDArray[np.float32]
ORB_FEATURES = 1000


@dataclass(frozen=True, slots=True)
class Way:
    """One kind of features."""

    name: str
    detect: Callable[[Grey], Features]
    """Takes a whole grey image, returns its features, the strongest first."""
    match_ratio: float = TUNING.match_ratio
    """Largest ratio of the distances of the best and the second best match."""
    place_features: int = 300
    """Largest number of features that a place keeps."""


def scaled(grey: Grey, longer_side: int) -> tuple[Grey, float]:
    """An image whose longer side has so many pixels, and the factor that takes its pixels to those of the image."""
    factor = max(grey.shape) / longer_side
    if factor <= 1:
        return grey, 1.0
    size = (round(grey.shape[1] / factor), round(grey.shape[0] / factor))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8), factor


def features_of(
    keypoints: NDArray[np.float32],
    responses: Grey | NDArray[np.float32],
    descriptors: NDArray[np.float32],
    factor: float,
    are_histograms: bool,
) -> Features:
    """Features from positions (N, 2) in a smaller image, their strengths (N,) and descriptors (N, D)."""
    order = np.argsort(-responses, kind="stable")
    pixels = (keypoints.reshape(-1, 2) + 0.5) * factor - 0.5
    return Features(pixels[order].astype(np.float32), descriptors[order].astype(np.float32), are_histograms)


def sift(longer_side: int, *, root: bool = False) -> Callable[[Grey], Features]:
    """SIFT (Lowe 2004), or RootSIFT (Arandjelovic and Zisserman 2012), at a size."""

    def detect(grey: Grey) -> Features:
        small, factor = scaled(grey, longer_side)
        detector = cv2.SIFT.create(
            contrastThreshold=TUNING.sift_contrast_threshold, edgeThreshold=TUNING.sift_edge_threshold
        )
        found, descriptors = detector.detectAndCompute(small, None)
        if descriptors is None:
            return Features(np.empty((0, 2), np.float32), np.empty((0, 128), np.float32))
        pixels = np.array([each.pt for each in found], np.float32)
        responses = np.array([each.response for each in found], np.float32)
        return features_of(pixels, responses, np.asarray(descriptors, np.float32), factor, root)

    return detect


def orb(longer_side: int) -> Callable[[Grey], Features]:
    """ORB (Rublee et al. 2011) at a size; the bits of a descriptor become numbers, so that squared distances are
    Hamming's."""

    def detect(grey: Grey) -> Features:
        small, factor = scaled(grey, longer_side)
        found, descriptors = cv2.ORB.create(ORB_FEATURES, fastThreshold=7).detectAndCompute(small, None)
        if descriptors is None:
            return Features(np.empty((0, 2), np.float32), np.empty((0, 256), np.float32))
        pixels = np.array([each.pt for each in found], np.float32)
        responses = np.array([each.response for each in found], np.float32)
        bits = np.unpackbits(np.asarray(descriptors, np.uint8), axis=1).astype(np.float32)
        return features_of(pixels, responses, bits, factor, are_histograms=False)

    return detect


def engine_features(grey: Grey) -> Features:
    """The engine's own."""
    return FeatureImage(grey, np.eye(3)).features


WAYS = (
    Way("engine", engine_features, place_features=LOOP_TUNING.place_features),
    Way("SIFT 320", sift(320)),
    Way("SIFT 640", sift(640)),
    Way("RootSIFT 320", sift(320, root=True)),
    Way("RootSIFT 640", sift(640, root=True)),
    Way("RootSIFT 320, 600 kept", sift(320, root=True), place_features=600),
    Way("RootSIFT 448, 600 kept", sift(448, root=True), place_features=600),
    Way("RootSIFT 640, 600 kept", sift(640, root=True), place_features=600),
    Way("RootSIFT 640, 1000 kept", sift(640, root=True), place_features=1000),
    Way("ORB 640, 1000 kept", orb(640), match_ratio=0.9, place_features=1000),
)


def external_ways(path: Path) -> tuple[Way, ...]:
    """Features of a Python file outside: its ``WAYS`` are (name, function, match ratio, features kept), where the
    function takes a grey image and returns positions (N, 2), the strongest first, and descriptors (N, D) as whole
    numbers up to 255."""
    spec = importlib.util.spec_from_file_location("external_features", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"features: expected a Python file, got '{path}'")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def detecting(function: Callable[[Grey], tuple[Positions, Positions]]) -> Callable[[Grey], Features]:
        return lambda grey: Features(*function(grey), are_histograms=False)

    return tuple(Way(name, detecting(function), ratio, kept) for name, function, ratio, kept in module.WAYS)
