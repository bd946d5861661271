"""Camera paths, each made from a seed.

- `choose`: the camera path of a seed is found, by one of the ways of moving.
- `motion`: a way of moving is a value with the ranges that a path is drawn from.
- `hand`: a hand walks through free space with a slowly turning gaze.
- `robot`: a wheeled robot stays at one height and looks ahead or to one side.
- `drone`: a drone flies in three dimensions, looks down ahead, and leans into its turns.
- `orbit`: the camera goes round a thing that it looks at.
- `rotation`: the camera turns where it is, with next to no parallax.
- `curves`: smooth B-splines through free space are found at random.
- `poses`: places and viewing directions become poses that shake as their carrier does.
"""
