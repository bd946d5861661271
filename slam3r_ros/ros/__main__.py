"""``python -m slam3r_ros.ros``: the node, as the launcher scripts/slam3r_node starts it."""

import sys

from slam3r_ros.networks.cpu import prepare_process

prepare_process()  # before anything imports torch

from slam3r_ros.ros.node import main  # noqa: E402

sys.exit(main())
