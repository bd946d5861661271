"""From a folder to a sequence: one module a layout, chosen by the files that are there."""

from slam3r_lab.sequences.readers.choose import LAYOUTS, open_sequence, sequence_folders

__all__ = ["LAYOUTS", "open_sequence", "sequence_folders"]
