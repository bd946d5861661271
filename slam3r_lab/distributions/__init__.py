"""Which names and keyword arguments of ROS this repository uses, and whether a distribution has them.

Everything is read from source text, so distributions that are not installed can be checked.

- ``uses``: what this repository imports of ROS, calls with keywords, and takes as attributes.
- ``sources``: what the source folders of a distribution define.
- ``check``: what of the one is missing in the other.
"""
