"""ROS 2 bags without ROS: what is recorded, in the order of recording.

messages   what a storage gives: topics and recorded messages
mcap       .mcap files, with or without index and summary, cut ones too
sqlite     .db3 files
bag        a file, a folder with metadata.yaml, or the parts of a split recording; compressed or not
"""
