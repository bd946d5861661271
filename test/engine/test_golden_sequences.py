from pathlib import Path

import numpy as np
import pytest
from engine_events import only_map_updates

from slam3r_lab.evaluation.parity import compare, sequence_settings
from slam3r_ros.engine.slam import Slam
from slam3r_ros.networks.weights import Networks
from slam3r_ros.types import Frame


@pytest.mark.parametrize("sequence", ["sequence_stride1_fifo", "sequence_stride2", "sequence_stride6_rounds"])
def test_the_offline_result_is_reproduced_frame_by_frame(golden: Path, sequence: str) -> None:
    rows = list(compare(golden / sequence))
    assert len(rows) == 9
    assert [row for row in rows if not row.passed] == []


def test_every_frame_is_answered_as_soon_as_its_last_member_has_come(golden: Path, golden_networks: Networks) -> None:
    options = {"win_r": 2, "initial_winsize": 4, "conf_thres_i2p": 1.5, "num_scene_frame": 3, "buffer_size": 5}
    settings = sequence_settings(options, stride=2)
    with np.load(golden / "sequence_stride2" / "expected.npz") as file:
        images = file["images"][:20]
    slam = Slam(golden_networks, settings)
    delays = {}
    for number, image in enumerate(images):
        delays |= {update.index: number - update.index for update in only_map_updates(slam.push(Frame(number, image)))}
    assert set(delays) == set(range(16))
    assert all(delays[index] == 4 for index in range(5, 16))
