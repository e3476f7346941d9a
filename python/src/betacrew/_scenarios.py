"""The scenarios that are built into the program."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import List, Tuple

from ._program import run


@dataclass(frozen=True)
class Scenario:
    """A built-in scenario: a tape, and what the exchange does wrong while it plays it."""

    name: str
    group: str
    about: str
    tape: str
    #: Protocols in which it does something: betacrew, soup, mold.
    protocols: Tuple[str, ...]
    #: False if no client of the exercise's protocol can record every packet.
    recoverable: bool


def scenarios() -> List[Scenario]:
    """Returns all built-in scenarios, simple ones first."""
    return [
        Scenario(
            name=entry["name"],
            group=entry["group"],
            about=entry["about"],
            tape=entry["tape"],
            protocols=tuple(entry["protocols"]),
            recoverable=entry["recoverable"],
        )
        for entry in json.loads(run(["scenarios", "--json"]))
    ]
