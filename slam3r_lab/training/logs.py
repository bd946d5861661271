"""What a run reports at every checkpoint: a line, a row of log.csv, a picture, and TensorBoard."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .config import ConfigurationError
from .pictures import Picture, save_picture

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Logs:
    """Writes into a run's folder; a resumed run goes on in the same files."""

    def __init__(self, directory: Path, tensorboard: str) -> None:
        """`tensorboard`: auto (where installed), on or off. Raises ConfigurationError when it is on and missing."""
        self._directory = directory
        self._board = open_tensorboard(directory / "tensorboard", tensorboard)

    def add(self, row: Mapping[str, float], picture: Picture) -> None:
        """Figures of a checkpoint, `step` among them, and its picture."""
        print(", ".join(f"{name} {value:g}" for name, value in row.items()), flush=True)
        self._append(row)
        step = int(row["step"])
        save_picture(picture, self._directory / "pictures" / f"step_{step:08d}.png")
        if self._board is not None:
            for name, value in row.items():
                self._board.add_scalar(name, value, step)
            self._board.add_image("predictions", picture, step, dataformats="HWC")
            self._board.flush()

    def _append(self, row: Mapping[str, float]) -> None:
        """Add a row to log.csv; a file with other columns is kept under another name."""
        path = self._directory / "log.csv"
        if path.exists() and path.read_text().splitlines()[:1] != [",".join(row)]:
            path.rename(path.with_name(f"log_before_step_{int(row['step'])}.csv"))
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)


def require_tensorboard() -> None:
    """Raise ConfigurationError where TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigurationError("--tensorboard on: TensorBoard is not installed; 'pip install tensorboard'")


def open_tensorboard(directory: Path, setting: str) -> SummaryWriter | None:
    """TensorBoard's writer; None when it is off, or not installed and the setting is auto."""
    if setting == "on":
        require_tensorboard()
    if setting == "off" or importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(directory))
