"""What a distribution lacks is found in its sources: names, keywords, fields of messages, and attributes."""

from __future__ import annotations

from pathlib import Path

import pytest

from slam3r_lab.commands.main import main
from slam3r_lab.distributions.check import check
from slam3r_lab.distributions.sources import Distribution

FILES = {
    "rclpy/package.xml": "<package/>",
    "rclpy/rclpy/__init__.py": "def init(*, args=None, context=None): pass\n",
    "rclpy/rclpy/node.py": (
        "from rclpy.impl import _rclpy\n"
        "class Node:\n"
        "    def __init__(self, node_name, *, context=None): self.handle = 1\n"
        "    def put(self, message): pass\n"
        "    def create_subscription(self, kind, topic, callback, qos, *, raw=False): pass\n"
        "class Managed(Node):\n"
        "    def __init__(self, node_name, **kwargs): pass\n"
    ),
    "rclpy/rclpy/qos.py": "from rclpy.made import *\nclass Policy:\n    LATCHED = 1\n",
    "sensor_msgs/package.xml": "<package/>",
    "sensor_msgs/msg/Image.msg": "uint8 RAW=0\nstd_msgs/Header header # of it\nuint32 height\nuint8[] data\n",
    "std_srvs/package.xml": "<package/>",
    "std_srvs/srv/SetBool.srv": "bool data\n---\nbool success\n",
}


@pytest.fixture
def distribution(tmp_path: Path) -> Path:
    folder = tmp_path / "humble"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def missing_of(code: str, distribution: Path, tmp_path: Path) -> tuple[list[str], list[str]]:
    (tmp_path / "slam3r_ros").mkdir()
    (tmp_path / "slam3r_ros" / "a.py").write_text(code)
    report = check(tmp_path, Distribution(distribution))
    return [text.partition(" ")[0] for text in report.missing], [text.partition(" ")[0] for text in report.optional]


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("import rclpy\nrclpy.init(args=None, context=1)", []),
        ("import rclpy\nrclpy.init(domain_id=1)", ["rclpy.init(domain_id=)"]),
        ("import rclpy\nrclpy.start()", ["rclpy.start"]),
        ("from rclpy.node import Node, Gone", ["rclpy.node.Gone"]),
        ("from rclpy.gone import Node", ["rclpy.gone.Node"]),
        ("from rclpy.node import Managed\nManaged('a', context=1)", []),
        ("from rclpy.node import Managed\nManaged('a', cli=1)", ["rclpy.node.Managed(cli=)"]),
        ("from rclpy.qos import Policy\nPolicy.LATCHED, Policy.BEST", ["rclpy.qos.Policy.BEST"]),
        ("from rclpy.qos import Compiled", []),
        ("from rclpy.node import Node\nn.create_subscription(1, raw=True)", []),
        ("from rclpy.node import Node\nn.create_subscription(1, events=2)", ["create_subscription(events=)"]),
        ("from rclpy.node import Node\nqueue.put(1, timeout=2)", []),  # as that of queue.Queue
        ("from rclpy.node import Node\nn.put(1, depth=2)", ["put(depth=)"]),
        ("from sensor_msgs.msg import Image\nImage(height=1, data=b'')\nImage.RAW", []),
        ("from sensor_msgs.msg import Image\nImage(depth=1)", ["sensor_msgs.msg.Image(depth=)"]),
        ("from std_srvs.srv import SetBool\nSetBool.Request(data=True)\nSetBool.Response(success=True)", []),
        ("from std_srvs.srv import SetBool\nSetBool.Request(success=True)", ["std_srvs.srv.SetBool.Request(success=)"]),
    ],
)
def test_what_is_missing_is_named(code: str, missing: list[str], distribution: Path, tmp_path: Path) -> None:
    assert missing_of(code, distribution, tmp_path) == (missing, [])


def test_an_import_that_is_tried_may_be_missing(distribution: Path, tmp_path: Path) -> None:
    code = "try:\n    from rclpy.events import Loop\nexcept ImportError:\n    from rclpy.node import Node as Loop\n"
    assert missing_of(code, distribution, tmp_path) == ([], ["rclpy.events.Loop"])


def test_a_folder_without_sources_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["distributions", str(tmp_path)]) == 2
    assert f"no package.xml in '{tmp_path}'" in capsys.readouterr().err


def test_this_repository_is_compared_with_a_folder(distribution: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["distributions", str(distribution)]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("humble: ") and "missing: rclpy.clock.Clock" in shown
