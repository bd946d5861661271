"""``python -m slam3r_lab`` is the command line ``slam3r_lab``."""

import sys

from slam3r_lab.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
