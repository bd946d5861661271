"""Lets `pip install .` install the engine and the command line without ROS; colcon uses CMakeLists.txt instead.

Version and description are package.xml's; everything else is in setup.cfg.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from setuptools import setup

package = ElementTree.parse(Path(__file__).parent / "package.xml").getroot()
setup(version=package.findtext("version"), description=package.findtext("description"))
