"""The program ``betacrew``: where it is, and how it is run to its end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from typing import Optional, Sequence

#: Variable that names the program, instead of the one that was installed with this package.
VARIABLE = "BETACREW_BINARY"


class BetacrewError(Exception):
    """Failure of the program, with its message and its exit code.

    The exit codes are those of the command line: 1 unexpected, 2 wrong use, 3 incomplete,
    4 the exchange misbehaved, 5 unreachable, 6 a file.
    """

    def __init__(self, message: str, exit_code: Optional[int] = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def program() -> str:
    """Returns the path of the program.

    This is the file that ``BETACREW_BINARY`` names, else the one installed with this package,
    else the first on ``PATH``.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if os.path.isfile(named):
            return os.path.abspath(named)
        raise BetacrewError(f"{VARIABLE} names {named}, where no file is: correct or unset it")
    name = "betacrew.exe" if os.name == "nt" else "betacrew"
    folders = [sysconfig.get_path("scripts")]
    user = f"{os.name}_user"
    if user in sysconfig.get_scheme_names():
        folders.append(sysconfig.get_path("scripts", scheme=user))
    for folder in folders:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
    found = shutil.which("betacrew")
    if found:
        return found
    raise BetacrewError(
        f"the program betacrew is neither in {folders[0]} nor on PATH: "
        f"reinstall this package, or name the program in {VARIABLE}"
    )


def as_path(path: "str | os.PathLike[str]") -> str:
    """Returns a path that the program does not take for a flag or for stdin."""
    text = os.fspath(path)
    return os.path.join(os.curdir, text) if text.startswith("-") else text


def run(arguments: Sequence[str]) -> str:
    """Runs the program to its end, and returns its stdout."""
    done = subprocess.run(
        [program(), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        raise failure(done.stderr, done.returncode)
    return done.stdout.decode("utf-8")


def failure(stderr: bytes, exit_code: int) -> BetacrewError:
    """Returns the error for a program that has failed."""
    text = stderr.decode("utf-8", "replace").strip()
    text = text[len("betacrew: ") :] if text.startswith("betacrew: ") else text
    return BetacrewError(text or f"betacrew ended with exit code {exit_code}", exit_code)
