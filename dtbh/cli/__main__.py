"""``python -m dtbh.cli`` is ``dtbh``."""

import sys

from dtbh.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
