"""Worlds made from a seed: geometry, texture, light, camera paths and camera effects.

The way from a seed to images, file by file: `family` (ranges that everything is drawn from) -> `layouts` (what stands
where) -> `parts` and `textures` (what it is made of) -> `world` (all of it as numbers) -> `paths` (how a camera moves
through it) -> `ray_casting`, `shapes` (what each pixel sees) -> `shading` (its colour) -> `effects` (what cameras do to
images) -> `renderer`.
"""
