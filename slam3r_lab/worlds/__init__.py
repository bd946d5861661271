"""Worlds made from a seed: geometry, texture, light, camera paths and camera effects.

In the order from a seed to images:

- `family`: a family has every range that worlds, paths and cameras are drawn from.
- `build`: the world of a seed is built, as a plain room or as a place of `layouts`.
- `narrow`: a plain room has a few boxes and one lamp.
- `layouts`: furnished rooms and places outdoors are laid out.
- `parts`: solid parts of four convex shapes are what worlds are built of.
- `textures`: the images that cover the parts are made and sampled.
- `world`: a world is numbers only: its parts, what covers them, its light and its sky.
- `paths`: a camera moves through the world.
- `ray_casting`: the nearest part along each of many rays is found.
- `shapes`: a ray enters and leaves a part's shape at points that have a face, a normal and coordinates.
- `shading`: what a ray meets gets its colour from texture, lamps, shadows, highlights and the sky.
- `effects`: the images get what real cameras do to them, such as motion blur and noise.
- `renderer`: colour, depth and pose of what a camera sees are put together.
- `sequence_files`: a rendered sequence is written to files, with its truth.
"""
