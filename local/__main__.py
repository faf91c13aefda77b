"""`python -m local`, which `make run` calls."""

import sys

from local.errors import LocalError
from local.interruption import listen
from local.options import read_options
from local.supervisor import Supervisor


def main() -> int:
    listen()
    try:
        Supervisor(read_options()).run()
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
