"""Films of a reconstruction: the map as it grows, along the camera's path, from above, or from all around.

- `film`: `make_film`, from a reconstruction to a file.
- `timeline`: what is known of the map at each moment of the film.
- `camera_moves`: where each picture of a film is seen from.
- `picture`: one picture of a film: the map, the input beside it, words.
- `video_file`: pictures as H.264 in an MP4 file.
- `tuning`: the constants of all of that.
"""
