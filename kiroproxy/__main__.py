"""``python -m kiroproxy`` is the same program as the ``kiroproxy`` command."""

import sys

from kiroproxy.cli import main

if __name__ == "__main__":
    sys.exit(main())
