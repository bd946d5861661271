"""The map as nodes of viser's scene, each of which follows the map's snapshots.

- `clouds`: the points, one node a keyframe.
- `cameras`: the keyframes' cameras with their images, and the live camera.
- `lines`: the path and the loops.
- `node_pose`: poses as viser's nodes have them.
- `ground`: the grid on the floor.
- `map_scene`: all of them.
"""
