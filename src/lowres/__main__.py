"""`python -m lowres` is the command `lowres`."""

import sys

from lowres.app.main import main

if __name__ == "__main__":
    sys.exit(main())
