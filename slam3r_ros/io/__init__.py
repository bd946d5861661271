"""Files and images: what comes in as frames (`sources`, `image_decoding`), what goes out (`ply`, `tum`)."""
