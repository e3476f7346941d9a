"""Recordings as tables."""

from __future__ import annotations

import os
import subprocess
import tempfile
from typing import TYPE_CHECKING, List, Optional

from ._program import as_path, failure, program

if TYPE_CHECKING:
    import pyarrow


def read(
    path: "str | os.PathLike[str]",
    *,
    format: Optional[str] = None,
    payload: Optional[str] = None,
    session: Optional[str] = None,
    allow_gaps: bool = False,
) -> "pyarrow.Table":
    """Reads a recording in any format of ``betacrew convert`` as a pyarrow table.

    The program decodes the file and sends the columns through a pipe, so there is no second
    decoder. ``format`` is needed if the end of the name does not say it; ``payload`` is orders,
    itch50 or opaque; ``session`` chooses one of a capture. Missing packets are an error, with exit
    code 3, unless ``allow_gaps`` is set. pyarrow must be installed.
    """
    import pyarrow.ipc

    arguments: List[str] = ["convert", as_path(path), "-", "--to", "arrow"]
    for flag, value in (("--from", format), ("--payload", payload), ("--session", session)):
        if value is not None:
            arguments.append(f"{flag}={value}")
    if allow_gaps:
        arguments.append("--allow-gaps")
    # A file takes any number of messages, where a pipe that nobody reads would fill.
    with tempfile.TemporaryFile() as stderr:
        with subprocess.Popen(
            [program(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
        ) as child:
            assert child.stdout is not None
            table = None
            try:
                table = pyarrow.ipc.open_stream(child.stdout).read_all()
            except pyarrow.ArrowInvalid as error:
                # The program says why it has written nothing, or only a part.
                broken: Optional[Exception] = error
            else:
                broken = None
            # The program ends once its pipe is closed, if it still writes.
            child.stdout.close()
            code = child.wait()
        if code != 0:
            stderr.seek(0)
            raise failure(stderr.read(), code) from None
    if broken is not None:
        raise broken
    return table
