"""Mock exchange that drops packets on purpose, and a grader of clients.

* :class:`Exchange` runs an exchange beside a test;
* :func:`grade` puts a client's command through the grader's cases;
* :func:`read` reads any recording as a pyarrow table;
* :func:`scenarios` lists what an exchange can do wrong.

The pytest plugin is in :mod:`betacrew.pytest_plugin`.
"""

from __future__ import annotations

from importlib import metadata

from ._exchange import Control, Counters, Exchange, Packet
from ._grade import Case, Cause, GradeReport, Passes, grade
from ._program import BetacrewError, program
from ._read import read
from ._scenarios import Scenario, scenarios

try:
    __version__ = metadata.version("betacrew")
except metadata.PackageNotFoundError:  # run from its sources
    __version__ = "0"

__all__ = [
    "BetacrewError",
    "Case",
    "Cause",
    "Control",
    "Counters",
    "Exchange",
    "GradeReport",
    "Packet",
    "Passes",
    "Scenario",
    "grade",
    "program",
    "read",
    "scenarios",
]
