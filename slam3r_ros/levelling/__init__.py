"""Which way is up: a map begins with the axes of its first camera, and is turned upright when the vertical is known.

- `up_estimate`: one direction from many observations of it, whatever they come from.
- `floor_plane`: the direction of the floor's normal, from the depths of keyframes.
- `correction`: the turn that makes the map upright.
- `tuning`: the constants that were tuned by hand.
"""
