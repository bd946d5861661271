"""Oracle networks: substitutes of I2P and L2W that answer from a sequence's true depth and poses, with chosen error.

With them the engine, its poses, map and buffer are measured apart from any weights. The way of an answer:

    settings -> views -> errors | drift -> image_to_points | local_to_world -> networks
"""

from slam3r_lab.oracle.networks import OracleNetworks, oracle_networks
from slam3r_lab.oracle.settings import ORACLE_SETTINGS, OracleSettingError, OracleSettings
from slam3r_lab.oracle.views import OracleError

__all__ = [
    "ORACLE_SETTINGS",
    "OracleError",
    "OracleNetworks",
    "OracleSettingError",
    "OracleSettings",
    "oracle_networks",
]
