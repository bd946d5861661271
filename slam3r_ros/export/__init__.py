"""Exports: a reconstruction as files that other programs read.

- `scene`: what is exported, in map axes and in metres where they are known.
- `formats`: the formats by name, and `export`, which writes one of them.
- `glb`: points, cameras and path as a binary glTF.
- `colmap`: undistorted images, cameras, poses and points as COLMAP's text model.
- `observations`: which keyframes see which points, and where.
- `npz`: everything as arrays for NumPy.
- `folders`: folders that are there whole or not at all.
"""
