"""Runs the command: ``python -m network_connections``."""

import sys

from .plugin import main

sys.exit(main())
