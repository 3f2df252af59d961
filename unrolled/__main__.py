"""`python -m unrolled` and the `unrolled` command."""

from __future__ import annotations

import sys

from unrolled.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
