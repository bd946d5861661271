"""ROS 2 bags without ROS: what is recorded, in the order of recording.

- `bag`: a file, a folder with metadata.yaml, or the parts of a split recording.
- `compression`: bags whose whole file is compressed.
- `mcap`: .mcap files, with or without index and summary, cut ones too.
- `sqlite`: .db3 files.
- `messages`: what each of these gives, topics and recorded messages.
"""
