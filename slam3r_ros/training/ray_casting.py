"""Where rays from one point meet a room: the nearest surface, the place on it and its colour."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .rooms import FACES, Room

_FAR = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """First meeting of N rays with the room."""

    distance: torch.Tensor
    """(N,) float32, in units of the ray direction's length (so z-depth in metres when directions have z = 1 in the
    camera).
    """
    surface: torch.Tensor
    """(N,) int64, see `Room`."""
    colour: torch.Tensor
    """(N, 3) float32 in [0, 1], textured and lit."""


@dataclass(slots=True, eq=False)
class _Nearest:
    distance: torch.Tensor
    surface: torch.Tensor


def _axis_times(origin: float, direction: torch.Tensor, half: float) -> tuple[torch.Tensor, torch.Tensor]:
    inverse = 1.0 / torch.where(direction.abs() < 1e-9, torch.full_like(direction, 1e-9), direction)
    centre, reach = inverse * (-origin), inverse.abs() * half
    return centre - reach, centre + reach


def _rotated(vector: tuple[torch.Tensor, ...], yaw: float) -> tuple[torch.Tensor, ...]:
    if yaw == 0.0:
        return vector
    angle = torch.tensor(yaw, dtype=torch.float64)
    cosine, sine = float(torch.cos(angle)), float(torch.sin(angle))
    return cosine * vector[0] + sine * vector[1], -sine * vector[0] + cosine * vector[1], vector[2]


class RayCaster:
    """Casts rays from one point at a time into one room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._textures = room.textures
        self._lamp = torch.tensor(room.lamp, dtype=torch.float32)
        boxes = [
            (room.size / 2, room.size / 2, 0.0),
            *zip(room.box_centre, room.box_half_size, room.box_yaw, strict=True),
        ]
        self._boxes = [(tuple(map(float, centre)), tuple(map(float, half)), float(yaw)) for centre, half, yaw in boxes]
        centres = torch.tensor([centre for centre, _, _ in self._boxes])
        yaws = torch.tensor([yaw for _, _, yaw in self._boxes])
        self._centre, self._cosine, self._sine = centres, torch.cos(yaws), torch.sin(yaws)
        self._half = torch.tensor([half for _, half, _ in self._boxes])

    def cast(self, origin: torch.Tensor, directions: torch.Tensor, pixel_angle: float) -> Hits:
        """Rays from `origin` (3,) along `directions` (N, 3), world, metres; `pixel_angle` is the angle between
        neighbouring rays, radians (for filtering).
        """
        nearest = self._nearest(tuple(float(value) for value in origin), directions.unbind(1))
        points = origin + nearest.distance[:, None] * directions
        colour = self._shade(points, directions, nearest, pixel_angle)
        return Hits(nearest.distance, nearest.surface, colour)

    def _nearest(self, origin: tuple[float, ...], directions: tuple[torch.Tensor, ...]) -> _Nearest:
        result = self._leave_room(origin, directions)
        for index, (centre, half, yaw) in enumerate(self._boxes[1:], start=1):
            offset = tuple(torch.tensor(a - b, dtype=torch.float64) for a, b in zip(origin, centre, strict=True))
            local_origin = tuple(float(value) for value in _rotated(offset, yaw))
            self._enter_box(index, local_origin, _rotated(directions, yaw), half, result)
        return result

    def _leave_room(self, origin: tuple[float, ...], directions: tuple[torch.Tensor, ...]) -> _Nearest:
        centre, half, _ = self._boxes[0]
        distance = torch.full_like(directions[0], _FAR)
        surface = torch.zeros_like(directions[0], dtype=torch.int64)
        for axis in range(3):
            leave = _axis_times(origin[axis] - centre[axis], directions[axis], half[axis])[1]
            face = 2 * axis + (directions[axis] > 0).long()
            surface = torch.where(leave < distance, face, surface)
            distance = torch.minimum(distance, leave)
        return _Nearest(distance, surface)

    def _enter_box(
        self,
        index: int,
        origin: tuple[float, ...],
        directions: tuple[torch.Tensor, ...],
        half: tuple[float, ...],
        result: _Nearest,
    ) -> None:
        spans = [_axis_times(origin[axis], directions[axis], half[axis]) for axis in range(3)]
        enter = torch.maximum(torch.maximum(spans[0][0], spans[1][0]), spans[2][0])
        leave = torch.minimum(torch.minimum(spans[0][1], spans[1][1]), spans[2][1])
        hit = ((enter < leave) & (enter > 0) & (enter < result.distance)).nonzero()[:, 0]
        if len(hit) == 0:
            return
        entered = enter[hit]
        axis_of_hit = torch.where(spans[0][0][hit] == entered, 0, torch.where(spans[1][0][hit] == entered, 1, 2))
        along = torch.stack([direction[hit] for direction in directions], 1).gather(1, axis_of_hit[:, None])[:, 0]
        result.distance[hit] = entered
        result.surface[hit] = FACES * index + 2 * axis_of_hit + (along < 0).long()

    def _shade(
        self, points: torch.Tensor, directions: torch.Tensor, nearest: _Nearest, pixel_angle: float
    ) -> torch.Tensor:
        box = torch.div(nearest.surface, FACES, rounding_mode="floor")
        face = nearest.surface - FACES * box
        axis = torch.div(face, 2, rounding_mode="floor")
        u, v = self._surface_coordinates(points, box, axis)
        outward = (face % 2).float() * 2 - 1
        outward = torch.where(box == 0, -outward, outward)
        normal = self._normal(box, axis, outward)
        length = directions.norm(dim=1)
        slant = ((directions * normal).sum(1).abs() / length).clamp(min=0.08)
        footprint = nearest.distance * length * pixel_angle / slant.sqrt()
        albedo = self._textures.sample(nearest.surface, u, v, footprint * 0.8)
        to_lamp = self._lamp - points
        lamp_distance = to_lamp.norm(dim=1).clamp(min=0.05)
        facing = ((to_lamp * normal).sum(1) / lamp_distance).clamp(min=0.0)
        light = self._room.ambient + 1.1 * (1 - self._room.ambient) * facing / (0.6 + 0.09 * lamp_distance.square())
        return (albedo * light[:, None]).clamp_(0.0, 1.0)

    def _surface_coordinates(
        self, points: torch.Tensor, box: torch.Tensor, axis: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        offset = points - self._centre[box]
        cosine, sine = self._cosine[box], self._sine[box]
        half = self._half[box]
        x = cosine * offset[:, 0] + sine * offset[:, 1] + half[:, 0]
        y = -sine * offset[:, 0] + cosine * offset[:, 1] + half[:, 1]
        z = offset[:, 2] + half[:, 2]
        return torch.where(axis == 0, y, x), torch.where(axis == 2, y, z)

    def _normal(self, box: torch.Tensor, axis: torch.Tensor, outward: torch.Tensor) -> torch.Tensor:
        cosine, sine, zero = self._cosine[box], self._sine[box], torch.zeros_like(outward)
        x = torch.where(axis == 0, cosine, torch.where(axis == 1, -sine, zero))
        y = torch.where(axis == 0, sine, torch.where(axis == 1, cosine, zero))
        z = (axis == 2).float()
        return torch.stack([x, y, z], 1) * outward[:, None]
