"""python3 -m gruserve.export: the command without an installation."""

import sys

from gruserve.export.command import main

sys.exit(main())
