"""`python -m lowres`: the command line, for where the script `lowres` is not on the path."""

import sys

from lowres.app.main import main

if __name__ == "__main__":
    sys.exit(main())
