"""The other end of the topics: a player that publishes as a camera, and a recorder of what the node publishes.

- ``player``: publishes a video, a directory of images, a bag or a webcam as a camera topic.
- ``pace``: when each frame of a recording is due.
- ``recorder``: records what the node publishes, and when it was received.
"""
