"""betacrew.grade: the report as objects."""

from __future__ import annotations

import pathlib
import sys

import betacrew
import pytest

CASES = ["gaps/one", "framing/half-packet"]


def test_a_good_client_passes(clients: pathlib.Path) -> None:
    command = [sys.executable, "client.py", "{host}", "{port}"]
    report = betacrew.grade(command, CASES, cwd=clients, seed=2)
    assert report.grade == "A" and report.passed and report.failures == ()
    assert report.must == betacrew.Passes(2, 2)
    assert [case.id for case in report.cases] == CASES


def test_a_naive_client_fails_with_a_cause(clients: pathlib.Path) -> None:
    command = [sys.executable, "naive.py", "{host}", "{port}"]
    page = clients / "page.html"
    report = betacrew.grade(command, CASES, cwd=clients, html=page, timeout=5)
    assert not report.passed
    failed = report.case("framing/half-packet")
    assert failed.cause is not None and failed.cause.id == "split-packet"
    assert failed.fix is not None and f"to do     {failed.fix}" in str(report)
    assert "cause     " in str(report) and "betacrew serve" in str(failed)
    assert page.read_text().startswith("<!doctype html>")


def test_what_cannot_be_graded_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(betacrew.BetacrewError, match="no-such-program") as caught:
        betacrew.grade(["./no-such-program", "{port}"], CASES, cwd=tmp_path)
    assert caught.value.exit_code == 2
    with pytest.raises(betacrew.BetacrewError, match="no-such-case"):
        betacrew.grade(["true"], ["no-such-case"], cwd=tmp_path)
