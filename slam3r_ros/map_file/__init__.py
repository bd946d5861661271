"""The map file ``NAME.slam3r``: everything that was mapped, in one SQLite database, written a keyframe at a time.

- `schema`: the tables, the version of the schema, and how older files are brought to it.
- `errors`: what can be wrong with a map file.
- `facts`: what a file says of the run that made it: weights, settings, scale.
- `codecs`: images, depths, confidences, points and poses as bytes, and back.
- `paths`: names of map files.
- `file_lock`: one process writes a file.
- `connection`: how a database is opened to be read, written, or copied.
- `database`: the engine's events as rows, in transactions.
- `sessions`: what was mapped in one go, and what is kept apart.
- `open_file`: the file that is being written, with its lock and its database.
- `writer`: the thread that writes a file while the map grows.
- `reader`: a file as a `Reconstruction` whose keyframes are read when they are asked for.
- `editing`: points that are removed from a file, and its scale.
- `loading`: a file as the engine begins with it, to localize the camera in it and to go on mapping.
- `merging`: two files of one place become one.
- `salvage`: what can be read of a damaged file, into a new one.
- `summary`: what is inside a file, in words.
"""
