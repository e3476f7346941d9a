"""README.md: its examples run."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess

import betacrew
import pytest

README = pathlib.Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def my_client(host: str, port: int) -> "list[betacrew.Packet]":
    """Records a session with the program itself."""
    command = [betacrew.program(), "fetch", f"{host}:{port}", "-q", "-o-", "--format=json"]
    rows = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return [
        betacrew.Packet(*(row[name] for name in
                          ("symbol", "buySellIndicator", "quantity", "price", "sequence")))
        for row in rows
    ]


def test_the_exchange(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(BLOCKS[0], {"my_client": my_client})


def test_the_plugin(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(BLOCKS[1])
    result = pytester.runpytest_inprocess("-p", "betacrew.pytest_plugin", "--collect-only", "-q")
    assert len([line for line in result.stdout.lines if "::" in line]) > 60
    result = pytester.runpytest_inprocess("-p", "betacrew.pytest_plugin", "-k", "many or two_lines")
    assert result.parseoutcomes()["passed"] == 2


def test_the_grader_and_tables(
    clients: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clients)
    assert len(BLOCKS) == 4
    # All cases take a while: some are enough here.
    example = BLOCKS[2].replace('"{port}"])', '"{port}"], ["gaps/one", "conduct/resets"])')
    assert example != BLOCKS[2]
    exec(example, {"betacrew": betacrew})
    pytest.importorskip("pandas")
    with betacrew.Exchange() as exchange:
        subprocess.run(
            [betacrew.program(), "fetch", "-q", exchange.address, "-o", "session.tape"], check=True
        )
    exec(BLOCKS[3], {"betacrew": betacrew})
