"""The topic ~/grid over DDS: a camera in front of a wall, on a floor."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from outputs_harness import EmptyMap, Scene, image_header, moved
from ros_harness import FIRST_NS, wait_until

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.slam import Slam
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import rotation_from_vector
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.occupancy.grid import OccupancyGrid as OccupancyGrid_
from slam3r_ros.ros.output.occupancy import GridOutput
from slam3r_ros.ros.output.outputs import Outputs
from slam3r_ros.ros.output.tuning import TUNING
from slam3r_ros.ros.parameters.node_settings import NodeSettings
from slam3r_ros.ros.quality_of_service import LATCHED

SCALE, WALL_M, HEIGHT_M = 2.0, 4.0, 1.2
CAMERA = Camera(160, 120, 100.0, 100.0, 79.5, 59.5)
SETTINGS: dict[str, Any] = {
    "scale": SCALE,
    "publish_grid": True,
    "grid_base_height": HEIGHT_M,
    "grid_resolution": 0.1,
    "grid_period": 0.05,
    "tf_mode": "none",
}


SLAM = cast("Slam", EmptyMap())


def view_of_the_wall(number: int = 0, z: float = 0.0) -> KeyframeView:
    """What a camera sees that is ``z`` scene units nearer to the wall than the first."""
    rows = np.tile(np.arange(120)[:, None], (1, 160))
    down = (rows - CAMERA.cy) / CAMERA.fy
    wall = np.full(rows.shape, WALL_M / SCALE - z)
    floor = np.where(down > 0, HEIGHT_M / SCALE / np.maximum(down, 1e-6), np.inf)
    depth = np.minimum(wall, floor).astype(np.float32)
    image = np.zeros((120, 160, 3), np.uint8)
    header = image_header(FIRST_NS + number)
    return KeyframeView(number, number, header, moved(z=z), CAMERA, image, depth, np.ones_like(depth))


def cell(message: OccupancyGrid, x: float, y: float) -> int:
    info = message.info
    column = math.floor((x - info.origin.position.x) / info.resolution)
    row = math.floor((y - info.origin.position.y) / info.resolution)
    if not (0 <= row < info.height and 0 <= column < info.width):
        return -1
    cells: NDArray[np.int8] = np.array(message.data, np.int8).reshape(info.height, info.width)
    return int(cells[row, column])


def newest(outputs: Outputs, grids: list[OccupancyGrid]) -> OccupancyGrid:
    """The next message after what was observed so far."""
    known = len(grids)

    def has_come() -> bool:
        outputs.publish_due(SLAM)
        return len(grids) > known

    wait_until(has_come, "a grid")
    return grids[-1]


def test_the_wall_is_occupied_and_the_floor_before_it_free(scene: Scene) -> None:
    outputs = scene.outputs(**SETTINGS)
    grids: list[OccupancyGrid] = scene.camera.listen(OccupancyGrid, "/slam3r/grid", LATCHED)
    outputs.publish(view_of_the_wall())
    grid = newest(outputs, grids)
    assert grid.header.frame_id == "map" and grid.info.resolution == np.float32(0.1)
    assert cell(grid, WALL_M + 0.02, 0.03) == 100 and cell(grid, WALL_M + 0.02, 1.0) == 100
    assert [cell(grid, x, 0.03) for x in (1.0, 2.5, 3.7)] == [0, 0, 0]
    assert cell(grid, WALL_M + 0.5, 0.03) == -1 and cell(grid, 1.0, 2.5) == -1
    outputs.destroy()


def test_it_follows_loops_scales_and_resets(scene: Scene) -> None:
    outputs = scene.outputs(**SETTINGS)
    grids: list[OccupancyGrid] = scene.camera.listen(OccupancyGrid, "/slam3r/grid", LATCHED)
    outputs.publish(view_of_the_wall())
    newest(outputs, grids)
    turn = rotation_from_vector([0.0, -math.pi / 2, 0.0])  # about the camera's y axis, which points down: to the left
    outputs.publish(MapCorrection(np.array([0]), Sim3([1.0], turn[None], [[0.0, 0.0, 1.0]])))
    grid = newest(outputs, grids)
    assert cell(grid, SCALE + 0.03, WALL_M + 0.02) == 100 and cell(grid, SCALE + 0.03, 2.0) == 0
    outputs.set_scale(2 * SCALE, SLAM)
    grid = newest(outputs, grids)
    assert cell(grid, 2 * SCALE + 0.03, 2 * WALL_M + 0.02) == 100
    outputs.reset(SLAM)
    wait_until(lambda: grids[-1].info.width == 0 and not grids[-1].data, "an empty grid")
    outputs.destroy()


def test_keyframes_from_before_the_scale_is_known_come_into_the_grid_with_it(scene: Scene) -> None:
    turn = rotation_from_vector([0.0, -math.pi / 2, 0.0])
    images, shifts = [], np.array([[0.011, 0.007, 0.013], [1.02, 0.005, 0.017]])  # off the borders of cells
    for scale in (SCALE, 0.0):
        outputs = scene.outputs(**SETTINGS | {"scale": scale})
        grid = outputs._layers._layers[GridOutput]
        assert isinstance(grid, GridOutput)
        outputs.publish(view_of_the_wall(0, z=0.5))  # another view of it follows, which replaces it
        outputs.publish(view_of_the_wall())
        outputs.publish(view_of_the_wall(1, z=0.25))
        outputs.publish(MapCorrection(np.array([0, 1]), Sim3([1.0, 1.0], np.stack([np.eye(3), turn]), shifts)))
        if not scale:
            assert "no ~/grid: the scale of the map is not known" in scene.log.newest.text and len(grid._grid) == 0
            outputs.set_scale(SCALE, SLAM)
        assert len(grid._grid) == 2
        images.append(grid._grid.image())
        outputs.destroy()
    np.testing.assert_array_equal(images[0].cells, images[1].cells)
    assert images[0].origin == images[1].origin and (images[0].cells == 100).any()


def test_keyframes_that_wait_for_a_scale_are_bounded(scene: Scene) -> None:
    outputs = scene.outputs(**SETTINGS | {"scale": 0.0})
    grid = outputs._layers._layers[GridOutput]
    assert isinstance(grid, GridOutput)
    for number in range(3 * TUNING.most_waiting_for_scale):
        few = np.ones((4, 4), np.float32)
        grid.observe(replace(view_of_the_wall(number), depth=few, confidence=few), outputs.scale)
    waiting = list(grid._waiting)
    assert len(waiting) <= TUNING.most_waiting_for_scale
    assert waiting[0] < 10 and waiting[-1] == 3 * TUNING.most_waiting_for_scale - 1
    outputs.reset(SLAM)
    assert not grid._waiting
    outputs.destroy()


def test_other_heights_hold_from_the_next_keyframe_on_and_other_cells_at_once(scene: Scene) -> None:
    outputs = scene.outputs(**SETTINGS)
    grid = outputs._layers._layers[GridOutput]
    assert isinstance(grid, GridOutput)
    outputs.publish(view_of_the_wall())
    outputs.change_settings(NodeSettings.from_values(SETTINGS | {"grid_resolution": 0.2}), SLAM)
    finer = OccupancyGrid_(0.2)
    for key, scan in grid._grid._scans.items():
        finer.put(key, scan)
    np.testing.assert_array_equal(grid._grid.image().cells, finer.image().cells)
    assert grid._grid.image().resolution == 0.2 and len(grid._grid) == 1
    above = SETTINGS | {"grid_min_height": 5.0, "grid_max_height": 6.0}
    outputs.change_settings(NodeSettings.from_values(above), SLAM)
    outputs.publish(view_of_the_wall(1))
    first, second = grid._grid._scans.values()
    assert first.is_obstacle.any() and not second.is_obstacle.any()
    outputs.destroy()
