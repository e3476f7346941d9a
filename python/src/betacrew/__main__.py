"""``python -m betacrew`` runs the program."""

from __future__ import annotations

import os
import subprocess
import sys

from ._program import program


def main() -> int:
    """Runs the program with the arguments of this one, and returns its exit code."""
    command = [program(), *sys.argv[1:]]
    if os.name == "posix":
        os.execv(command[0], command)
    return subprocess.call(command)


if __name__ == "__main__":
    sys.exit(main())
