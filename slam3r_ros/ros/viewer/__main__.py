"""``python -m slam3r_ros.ros.viewer``: the node `slam3r_viewer`, as the launcher scripts/slam3r_viewer starts it."""

import sys

from slam3r_ros.networks.cpu import prepare_process

prepare_process()  # before anything imports torch

from slam3r_ros.ros.viewer.viewer_node import main  # noqa: E402

sys.exit(main())
