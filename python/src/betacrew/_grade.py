"""The grader, with its report as objects."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ._program import as_path, failure, program

#: Exit code of ``betacrew grade`` if a must did not pass.
_FAILED = 10


@dataclass(frozen=True)
class Passes:
    """Number of cases that passed, out of a total."""

    passed: int
    of: int


@dataclass(frozen=True)
class Cause:
    """Likely cause of a failure. The id never changes its meaning."""

    id: str
    text: str


@dataclass(frozen=True)
class Case:
    """Result of one case."""

    id: str
    #: must or should.
    severity: str
    #: pass, flaky, fail or not run.
    verdict: str
    requirement: str
    about: str
    expected: Optional[str]
    actual: Optional[str]
    cause: Optional[Cause]
    #: What to do about a failure, in one sentence; None if its cause is not known.
    fix: Optional[str]
    #: Commands that repeat the case.
    by_hand: Tuple[str, ...]
    #: The case in the JSON report, with the timeline of the wire.
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def passed(self) -> bool:
        """True if the case passed in every run."""
        return self.verdict == "pass"

    def __str__(self) -> str:
        lines = [f"{self.id}: {self.verdict}. {self.about}"]
        if not self.passed:
            lines.append(f"  required  {self.requirement}")
            lines.append(f"  expected  {self.expected}")
            lines.append(f"  actual    {self.actual}")
            if self.cause is not None:
                lines.append(f"  cause     {self.cause.text}")
            if self.fix is not None:
                lines.append(f"  to do     {self.fix}")
            lines.append("  by hand   " + "\n            ".join(self.by_hand))
        return "\n".join(lines)


@dataclass(frozen=True)
class GradeReport:
    """Result of grading a client."""

    #: A, B, C, D or F; None if no case was run.
    grade: Optional[str]
    must: Passes
    should: Passes
    not_run: int
    cases: Tuple[Case, ...]
    #: The whole JSON report.
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def passed(self) -> bool:
        """True if every must passed."""
        return self.must.passed == self.must.of

    @property
    def failures(self) -> Tuple[Case, ...]:
        """Cases that did not pass, shoulds as well."""
        return tuple(case for case in self.cases if not case.passed)

    def case(self, id: str) -> Case:
        """Returns the result of a case."""
        for case in self.cases:
            if case.id == id:
                return case
        raise KeyError(id)

    def __str__(self) -> str:
        head = f"grade {self.grade}, must {self.must.passed} of {self.must.of}"
        return "\n".join([head, *map(str, self.failures)])


def grade(
    command: Sequence["str | os.PathLike[str]"],
    cases: Sequence[str] = (),
    *,
    output: Optional["str | os.PathLike[str]"] = None,
    timeout: Optional[float] = None,
    port: "int | str | None" = None,
    workdir: Optional[str] = None,
    jobs: Optional[int] = None,
    repeat: Optional[int] = None,
    seed: Optional[int] = None,
    strict: bool = False,
    cwd: Optional["str | os.PathLike[str]"] = None,
    html: Optional["str | os.PathLike[str]"] = None,
    junit: Optional["str | os.PathLike[str]"] = None,
) -> GradeReport:
    """Grades a client in any language, in all cases or in those that are named.

    ``command`` is the client's, such as ``["python3", "client.py", "{host}", "{port}"]``; without
    ``{port}`` the client is expected to connect to port 3000, and ``port="any"`` is for one that
    reads ``BETACREW_PORT``. ``timeout`` is the limit of a case in seconds. A client that fails is
    a report; a client that cannot be started is a :class:`BetacrewError`.
    """
    with tempfile.TemporaryDirectory(prefix="betacrew-") as folder:
        report = os.path.join(folder, "report.json")
        arguments: List[str] = ["grade", f"--json={report}"]
        values: Dict[str, Any] = {
            "--timeout": None if timeout is None else f"{max(round(timeout * 1000), 1)}ms",
            "--port": port,
            "--workdir": workdir,
            "--jobs": jobs,
            "--repeat": repeat,
            "--seed": seed,
            "--output": output if output == "-" or output is None else as_path(output),
            "--html": None if html is None else os.path.abspath(html),
            "--junit": None if junit is None else os.path.abspath(junit),
        }
        arguments += [f"{flag}={value}" for flag, value in values.items() if value is not None]
        if strict:
            arguments.append("--strict")
        arguments += [*cases, "--", *(os.fspath(word) for word in command)]
        done = subprocess.run(
            [program(), *arguments],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode not in (0, _FAILED):
            raise failure(done.stderr, done.returncode)
        with open(report, encoding="utf-8") as file:
            return _report(json.load(file))


def _report(raw: Mapping[str, Any]) -> GradeReport:
    return GradeReport(
        grade=raw["grade"],
        must=Passes(**raw["must"]),
        should=Passes(**raw["should"]),
        not_run=raw["notRun"],
        cases=tuple(_case(case) for case in raw["cases"]),
        raw=raw,
    )


def _case(raw: Mapping[str, Any]) -> Case:
    run = raw.get("run") or {}
    cause = run.get("cause")
    return Case(
        id=raw["id"],
        severity=raw["severity"],
        verdict=raw["verdict"],
        requirement=raw["requirement"],
        about=raw["about"],
        expected=run.get("expected"),
        actual=run.get("actual"),
        cause=None if cause is None else Cause(cause["id"], cause["text"]),
        fix=(run.get("advice") or {}).get("fix"),
        by_hand=tuple(raw["byHand"]),
        raw=raw,
    )
