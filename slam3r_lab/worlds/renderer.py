"""Colour, depth and pose of what a camera sees in a world."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slam3r_ros.geometry.camera import Camera

from .effects import CameraEffects
from .ray_casting import RAYS, Bundles, RayCaster
from .shading import Shader
from .world import World

TILE = 8
"""Side of the tiles whose rays form a bundle, pixels."""
_SUBPIXELS = ((-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25))


def camera_from_field_of_view(degrees: float, width: int, height: int) -> Camera:
    """Pinhole camera whose centre square (side min(width, height)) spans this angle."""
    focal = 0.5 * min(width, height) / math.tan(math.radians(degrees) / 2)
    return Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


@dataclass(frozen=True, slots=True, eq=False)
class RenderedFrame:
    """One rendered image with its truth."""

    colour: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    depth: NDArray[np.float32]
    """(H, W) z-depth in the camera, metres; 0 where there is none (the sky)."""
    T_world_camera: NDArray[np.float64]
    """(4, 4) camera to world, metres, camera axes x right, y down, z forward."""
    camera: Camera


class WorldRenderer:
    """Renders views of one world: one ray a pixel with filtered textures, and four more for every pixel on an edge
    between surfaces.
    """

    def __init__(
        self, world: World, camera: Camera, effects: CameraEffects | None = None, device: torch.device | str = "cpu"
    ) -> None:
        self._device = torch.device(device)
        self._camera, self._effects = camera, effects
        self._caster = RayCaster(world, self._device)
        self._shader = Shader(world, self._caster, self._device)
        self._pixel = _tile_pixels(camera.height, camera.width).to(self._device)

    def render(self, poses: NDArray[np.float64], at_once: int | None = None) -> Iterator[RenderedFrame]:
        """The views from poses T_world_camera (F, 4, 4), `at_once` of them in one go (default: by device)."""
        at_once = at_once or (1 if self._device.type == "cpu" else 16)
        for start in range(0, len(poses), at_once):
            part = poses[start : start + at_once]
            colour, depth = self.render_tensors(part)
            if self._effects is None:
                images = (colour * 255).round().to(torch.uint8).cpu().numpy()
            else:
                images = self._effects.apply(colour, depth, poses, start, self._camera)
            for image, z, pose in zip(images, depth.cpu().numpy(), part, strict=True):
                yield RenderedFrame(image, z, pose, self._camera)

    def render_tensors(self, poses: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """Colours (F, H, W, 3) in [0, 1] and z-depths (F, H, W), metres, 0 for none, of poses (F, 4, 4)."""
        pose = torch.from_numpy(np.ascontiguousarray(poses)).float().to(self._device)
        frames, tiles = len(poses), len(self._pixel)
        height, width = self._camera.height, self._camera.width
        columns, rows = self._pixel % width, torch.div(self._pixel, width, rounding_mode="floor")
        directions = self._directions(pose[:, None], columns.float(), rows.float()).flatten(0, 1)
        bundles = Bundles(pose[:, :3, 3].repeat_interleave(tiles, 0), directions)
        hits = self._caster.nearest(bundles)
        colour, surface, has_depth = self._shader.shade(bundles, hits, 1.0 / self._camera.fx)
        depth = torch.where(has_depth, hits.distance.view(-1), 0.0)
        pixels = height * width
        image = colour.new_empty((frames, pixels, 3))
        image[:, self._pixel.view(-1)] = colour.view(frames, -1, 3)
        z, surfaces = (values.new_empty((frames, pixels)) for values in (depth, surface))
        z[:, self._pixel.view(-1)] = depth.view(frames, -1)
        surfaces[:, self._pixel.view(-1)] = surface.view(frames, -1)
        self._smooth_edges(image, surfaces.view(frames, height, width), pose)
        return image.view(frames, height, width, 3), z.view(frames, height, width)

    def _directions(self, pose: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
        """World directions (..., 3, RAYS), with z = 1 in the camera, of pixels (..., RAYS) in poses (..., 4, 4)."""
        camera = self._camera
        x, y = (columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy
        rotation = pose[..., :3, :3, None]
        return x[..., None, :] * rotation[..., 0, :] + y[..., None, :] * rotation[..., 1, :] + rotation[..., 2, :]

    def _smooth_edges(self, image: Tensor, surface: Tensor, pose: Tensor) -> None:
        """Replace the colours of pixels on edges by the mean of rays around their middles."""
        width = surface.shape[2]
        edges = _edges(surface).flatten(1)[:, self._pixel.view(-1)]
        rays_a_pixel = RAYS // len(_SUBPIXELS)
        pixel_groups, owners = [], []
        for frame in range(len(edges)):
            pixels = self._pixel.view(-1)[edges[frame]]
            if len(pixels):
                missing = -len(pixels) % rays_a_pixel
                padded = torch.cat([pixels, pixels[-1:].expand(missing)]).view(-1, rays_a_pixel)
                pixel_groups.append(padded)
                owners.append(torch.full((len(padded),), frame, device=padded.device))
        if not pixel_groups:
            return
        pixels, owner = torch.cat(pixel_groups), torch.cat(owners)
        columns, rows = (pixels % width).float(), torch.div(pixels, width, rounding_mode="floor").float()
        shifted_columns = torch.cat([columns + x for x, _ in _SUBPIXELS], dim=1)
        shifted_rows = torch.cat([rows + y for _, y in _SUBPIXELS], dim=1)
        bundles = Bundles(pose[owner, :3, 3], self._directions(pose[owner], shifted_columns, shifted_rows))
        hits = self._caster.nearest(bundles)
        colour, _, _ = self._shader.shade(bundles, hits, 1.0 / self._camera.fx, soft_shadows=False)
        mean = colour.view(len(pixels), len(_SUBPIXELS), rays_a_pixel, 3).mean(dim=1)
        image[owner[:, None].expand_as(pixels), pixels] = mean


def _tile_pixels(height: int, width: int) -> Tensor:
    """(tiles, RAYS) indices of the pixels of square tiles; tiles at the lower and right edge repeat the last ones."""
    rows = torch.arange(-(-height // TILE) * TILE).clamp(max=height - 1).view(-1, 1, TILE, 1)
    columns = torch.arange(-(-width // TILE) * TILE).clamp(max=width - 1).view(1, -1, 1, TILE)
    return (rows * width + columns).reshape(-1, TILE * TILE)


def _edges(surface: Tensor) -> Tensor:
    """(F, H, W) bool: pixels one of whose four neighbours lies on another surface."""
    edge = torch.zeros_like(surface, dtype=torch.bool)
    across = surface[:, :, 1:] != surface[:, :, :-1]
    down = surface[:, 1:] != surface[:, :-1]
    edge[:, :, 1:] |= across
    edge[:, :, :-1] |= across
    edge[:, 1:] |= down
    edge[:, :-1] |= down
    return edge
