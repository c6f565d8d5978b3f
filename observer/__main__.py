"""`python -m observer`."""

import sys

from observer.cli.main import main

sys.exit(main())
