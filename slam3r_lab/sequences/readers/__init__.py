"""From a folder to a sequence: one module a layout, chosen by the files that are there.

- `choose`: the layout of a folder is recognised by its files, or is given by name.
- `layout`: this is what a layout is, and what the readers of all layouts share.
- `folder`: images lie with ``depth/``, ``poses.txt`` and ``intrinsics.txt``, as ``slam3r_lab render`` writes them.
- `tum_rgbd`: lists of files and the true poses are associated by time, as in TUM RGB-D (Sturm et al. 2012).
- `seven_scenes`: every frame has files of its own for colour, depth and pose, as in 7-Scenes (Shotton et al. 2013).
- `replica`: images and depth lie in ``results/`` and all poses in ``traj.txt``, as in Replica rendered for iMAP.
"""

from slam3r_lab.sequences.readers.choose import LAYOUTS, open_sequence, sequence_folders

__all__ = ["LAYOUTS", "open_sequence", "sequence_folders"]
