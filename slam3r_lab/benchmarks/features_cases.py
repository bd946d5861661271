"""Pairs of views of one place from other directions and in other light, and pairs of two places, with the truth."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_lab.sequences.sequence import ImageSequence
from slam3r_lab.worlds.build import build_world
from slam3r_lab.worlds.family import family_of
from slam3r_lab.worlds.paths.choose import PathSettings, camera_path
from slam3r_lab.worlds.renderer import WorldRenderer, camera_from_field_of_view
from slam3r_lab.worlds.sequence_files import TEXELS_PER_METRE
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid, rotation_from_vector, transform_points

SIZE = (640, 480)
"""Width and height of rendered images."""
SMALL = 10
"""Views are compared at this share of their size, to see how much they have in common."""
DIRECTIONS = (0, 45, 90, 135, 180)
"""Angles between the directions of two views, degrees, and half a step around each."""
POSITION_STEP = 6
"""Every sixth position of the path is looked from, in eight directions."""
LEAST_COMMON, LEAST_COMMON_BEHIND = 0.3, 0.15
"""Smallest share of a view that the other one shows, and the same from 135 degrees on, where more is rare."""
DEPTH_TOLERANCE = 0.05
POSTER_M, POSTER_DISTANCE_M = 0.9, 1.6
"""Side of the picture that hangs in two places, and how far away it is."""
DEPTH_NOISE = 0.05
"""Standard deviation of the logarithm of the depths that are known, which changes slowly over the image."""

OTHER_PLACE, TWINS = "another place", "same picture twice"


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One image with its truth."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    depth: NDArray[np.float32]
    """(H, W) metres along the optical axis, 0 where it is not known."""
    camera: Camera
    T_world_camera: Array
    """(4, 4) metres."""

    @property
    def median_depth(self) -> float:
        """Median of the known depths, metres."""
        return float(np.median(self.depth[self.depth > 0]))

    def points(self) -> Array:
        """(N, 3) points in the camera, of some pixels."""
        rows, columns = np.mgrid[0 : self.camera.height : SMALL, 0 : self.camera.width : SMALL].reshape(2, -1)
        z = self.depth[rows, columns].astype(np.float64)
        x = (columns - self.camera.cx) / self.camera.fx
        y = (rows - self.camera.cy) / self.camera.fy
        return (np.stack([x, y, np.ones_like(x)], axis=1) * z[:, None])[z > 0]


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two views that are compared."""

    source: str
    """Rendered or real."""
    group: str
    """What is different between the two."""
    before: View
    after: View
    is_same: bool
    """Whether they show the same place."""


def common_share(one: View, other: View) -> float:
    """The smaller share of the two views that the other one shows."""
    return min(_seen_share(one, other), _seen_share(other, one))


def _seen_share(one: View, other: View) -> float:
    points = one.points()
    if not len(points):
        return 0.0
    seen, camera = transform_points(invert_rigid(other.T_world_camera) @ one.T_world_camera, points), other.camera
    z = np.maximum(seen[:, 2], 1e-6)
    columns = np.rint(seen[:, 0] / z * camera.fx + camera.cx)
    rows = np.rint(seen[:, 1] / z * camera.fy + camera.cy)
    inside = (seen[:, 2] > 0) & (columns >= 0) & (columns < camera.width) & (rows >= 0) & (rows < camera.height)
    depth = other.depth[rows[inside].astype(int), columns[inside].astype(int)]
    return float(np.count_nonzero(np.abs(depth - z[inside]) <= DEPTH_TOLERANCE * z[inside]) / len(points))


def angle_between(one: Array, other: Array) -> float:
    """Angle between the optical axes of two poses (4, 4), degrees."""
    return float(np.degrees(np.arccos(np.clip(one[:3, 2] @ other[:3, 2], -1, 1))))


def direction_group(degrees: float) -> str:
    """The nearest of `DIRECTIONS`, as the table calls it."""
    nearest = min(DIRECTIONS, key=lambda each: abs(each - degrees))
    return f"{nearest} deg"


# ---- rendered ----------------------------------------------------------------------------------------------------


def rendered_pairs(seed: int, family: str, most: int) -> list[Pair]:
    """Pairs of one world: at most so many of each direction; their light changed; and places without anything in
    common."""
    random, world = np.random.default_rng([seed, 8]), build_world(seed, family_of(family), TEXELS_PER_METRE, "cpu")
    path = camera_path(world, seed, PathSettings(90, 15.0), family_of(family))
    poses = np.array([_turned(T, degrees) for T in path[::POSITION_STEP] for degrees in range(0, 360, 45)])
    camera = camera_from_field_of_view(world.field_of_view, *SIZE)
    small = camera_from_field_of_view(world.field_of_view, SIZE[0] // SMALL, SIZE[1] // SMALL)
    looks = [
        View(frame.colour, frame.depth, small, pose)
        for frame, pose in zip(WorldRenderer(world, small).render(poses), poses, strict=True)
    ]
    chosen = _chosen_pairs(looks, random, most)
    needed = sorted({number for _, one, other in chosen for number in (one, other)})
    large = WorldRenderer(world, camera).render(poses[needed])
    views = {n: View(f.colour, f.depth, camera, poses[n]) for n, f in zip(needed, large, strict=True)}
    pairs = [Pair("rendered", g, views[one], views[other], g != OTHER_PLACE) for g, one, other in chosen]
    lit = [
        replace(pair, group=f"light, {pair.group}", after=replace(pair.after, image=in_other_light(pair.after, random)))
        for pair in pairs
        if pair.group in ("0 deg", "45 deg")
    ]
    return pairs + lit


def _turned(T_world_camera: Array, degrees: float) -> Array:
    """A pose (4, 4) turned about the vertical axis of the world, which is the one nearest to the image's."""
    up = np.zeros(3)
    axis = int(np.argmax(np.abs(T_world_camera[:3, 1])))
    up[axis] = np.radians(degrees)
    return rigid(rotation_from_vector(up) @ T_world_camera[:3, :3], T_world_camera[:3, 3])


def _chosen_pairs(looks: Sequence[View], random: np.random.Generator, most: int) -> list[tuple[str, int, int]]:
    """Group and numbers of pairs, at most so many of each group."""
    found: dict[str, list[tuple[str, int, int]]] = {}
    pairs = list(itertools.combinations(range(len(looks)), 2))
    for position in random.permutation(len(pairs)):
        one, other = pairs[position]
        group = direction_group(angle_between(looks[one].T_world_camera, looks[other].T_world_camera))
        if len(found.get(group, [])) >= most and len(found.get(OTHER_PLACE, [])) >= most:
            continue
        share = common_share(looks[one], looks[other])
        least = LEAST_COMMON if group in ("0 deg", "45 deg", "90 deg") else LEAST_COMMON_BEHIND
        if share == 0:
            group = OTHER_PLACE
        elif share < least or (group == "0 deg" and share > 0.9):
            continue
        if len(found.setdefault(group, [])) < most:
            found[group].append((group, one, other))
    return [pair for group in sorted(found) for pair in found[group]]


def in_other_light(view: View, random: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W, 3) the image in the light of another hour: another exposure, gamma and colour, and a lamp on one side."""
    height, width = view.image.shape[:2]
    x = np.linspace(-1, 1, width)[None, :, None] * random.choice([-1, 1])
    y = np.linspace(-1, 1, height)[:, None, None] * random.uniform(-0.5, 0.5)
    lamp = np.exp(random.uniform(0.3, 0.7) * (x + y))
    gains = random.uniform(0.75, 1.25, 3) * random.choice([0.45, 1.6])
    linear = (view.image / 255.0) ** random.choice([0.55, 1.8]) * lamp * gains
    noise = random.normal(0, 0.015, view.image.shape)
    return np.asarray(np.clip(linear + noise, 0, 1) * 255, np.uint8)


# ---- twins -------------------------------------------------------------------------------------------------------


def twin_pairs(views: Sequence[View], posters: Sequence[NDArray[np.uint8]]) -> Iterator[Pair]:
    """Pairs of two views each of different places, in which the same picture (H, W, 3) hangs before the wall."""
    random = np.random.default_rng(9)
    for number, (one, other) in enumerate(zip(views[::2], views[1::2], strict=False)):
        poster = posters[number % len(posters)]
        yield Pair("rendered", TWINS, hung(one, poster, random), hung(other, poster, random), is_same=False)


def hung(view: View, poster: NDArray[np.uint8], random: np.random.Generator) -> View:
    """A view with a picture before it that is turned a little."""
    tilt = rotation_from_vector(np.radians(random.uniform([-8, -25, -4], [8, 25, 4])))
    centre = np.array([*random.uniform([-0.2, -0.15], [0.2, 0.15]), POSTER_DISTANCE_M])
    side = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * POSTER_M / 2
    corners = side @ tilt.T + centre
    camera, (height, width) = view.camera, poster.shape[:2]
    pixels = corners[:, :2] / corners[:, 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]
    flat = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
    H = cv2.getPerspectiveTransform(flat, pixels.astype(np.float32))
    size = (camera.width, camera.height)
    warped = cv2.warpPerspective(poster, H, size, flags=cv2.INTER_AREA)
    mask = cv2.warpPerspective(np.full((height, width), 255, np.uint8), H, size) > 127
    rows, columns = np.mgrid[0 : camera.height, 0 : camera.width]
    rays = np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones(rows.shape)], axis=-1)
    plane = (tilt[:, 2] @ centre) / (rays @ tilt[:, 2])
    image = np.where(mask[..., None], warped, view.image).astype(np.uint8)
    return replace(view, image=image, depth=np.where(mask, plane, view.depth).astype(np.float32))


# ---- real --------------------------------------------------------------------------------------------------------


def recorded_views(sequence: ImageSequence, most: int) -> list[View]:
    """At most so many views of a sequence with poses and depths, evenly spread."""
    views = []
    for number in np.unique(np.linspace(0, len(sequence) - 1, min(most, len(sequence))).round().astype(int)):
        frame = sequence.frames[number]
        image, depth = sequence.image(frame), sequence.depth(frame)
        camera = sequence.camera_of(image)
        if frame.T_world_camera is None or depth is None or camera is None or not (depth > 0).any():
            continue
        resized = cv2.resize(depth, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_NEAREST)
        views.append(View(image, np.asarray(resized, np.float32), camera, frame.T_world_camera))
    return views


def recorded_pairs(views: Sequence[View], most: int) -> list[Pair]:
    """Pairs of views of one sequence, and the same with their light changed."""
    random = np.random.default_rng(10)
    chosen = _chosen_pairs(views, random, most)
    pairs = [Pair("real", g, views[one], views[other], g != OTHER_PLACE) for g, one, other in chosen]
    lit = [
        replace(pair, group=f"light, {pair.group}", after=replace(pair.after, image=in_other_light(pair.after, random)))
        for pair in pairs
        if pair.group in ("0 deg", "45 deg")
    ]
    return pairs + lit


def foreign_pairs(source: str, one: Sequence[View], other: Sequence[View], most: int) -> list[Pair]:
    """Pairs of views of two different places."""
    random = np.random.default_rng(11)
    pairs = list(itertools.product(one, other))
    chosen = random.permutation(len(pairs))[:most]
    return [Pair(source, OTHER_PLACE, pairs[position][0], pairs[position][1], is_same=False) for position in chosen]


def known_depths(view: View, number: int) -> NDArray[np.float32]:
    """(S, S) depths of the centre square as the engine knows them, NaN where it knows none: they err slowly over the
    image, each view in its own way."""
    side = min(view.depth.shape)
    top, left = ((length - side) // 2 for length in view.depth.shape)
    depth = cv2.resize(view.depth[top : top + side, left : left + side], (112, 112), interpolation=cv2.INTER_NEAREST)
    coarse = np.random.default_rng([number, 12]).normal(0, DEPTH_NOISE, (6, 6)).astype(np.float32)
    error = cv2.resize(coarse, (112, 112), interpolation=cv2.INTER_CUBIC)
    return np.where(depth > 0, depth * np.exp(error), np.nan).astype(np.float32)
