"""Oracle networks: substitutes of I2P and L2W that answer from a sequence's true depth and poses, with chosen error.

With them the engine, its poses, map and buffer are measured apart from any weights. In the order in which an answer is
made:

- `settings`: text such as ``noise=0.05,calibrated`` says what is wrong with the answers.
- `views`: the pixels that the engine gives the encoder tell which true view is meant.
- `errors`: the answers get errors that are correlated as those of real networks are.
- `drift`: the true camera path gets turns and a scale that grow along it, as a drifting L2W sees it.
- `answers`: the tokens of the engine carry the numbers of views, and answers become tensors again.
- `image_to_points`: this oracle stands in the place of I2P.
- `local_to_world`: this oracle stands in the place of L2W.
- `networks`: both oracles of one sequence are made as a pair.
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
