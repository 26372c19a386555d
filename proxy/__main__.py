"""`python -m proxy` is `headrace`."""

import sys

from proxy.cli import main

sys.exit(main())
