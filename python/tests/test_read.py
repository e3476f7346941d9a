"""betacrew.read: recordings as tables."""

from __future__ import annotations

import pathlib
import subprocess

import betacrew
import pytest

pytest.importorskip("pyarrow")


@pytest.fixture
def recording(tmp_path: pathlib.Path) -> pathlib.Path:
    file = tmp_path / "session.tape"
    with betacrew.Exchange(tape="random:100000", seed=3, drop="1%") as exchange:
        outputs = ["-o", str(file), "-o", str(tmp_path / "session.csv")]
        subprocess.run([betacrew.program(), "fetch", "-q", exchange.address, *outputs], check=True)
    return file


def test_every_format_is_the_same_table(recording: pathlib.Path) -> None:
    table = betacrew.read(recording)
    assert table.num_rows == 100_000
    assert table.column_names == [
        "symbol", "buySellIndicator", "quantity", "price", "sequence", "arrived", "origin"
    ]
    assert table["sequence"].to_pylist() == list(range(1, 100_001))
    csv = betacrew.read(recording.with_suffix(".csv"))
    assert csv.schema == table.schema and csv["price"] == table["price"]


def test_what_is_missing_is_an_error_unless_allowed(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "-gaps.csv"
    head = "symbol,buySellIndicator,quantity,price,sequence\n"
    file.write_text(head + "AAPL,B,1,2,1\nAAPL,B,1,2,3\n")
    with pytest.raises(betacrew.BetacrewError, match="2") as caught:
        betacrew.read(file)
    assert caught.value.exit_code == 3
    assert betacrew.read(file, allow_gaps=True)["sequence"].to_pylist() == [1, 3]


def test_what_is_no_recording_says_why(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(betacrew.BetacrewError, match="cannot read") as caught:
        betacrew.read("-none.tape")
    assert caught.value.exit_code == 6
    (tmp_path / "bad.csv").write_text("nonsense\n")
    with pytest.raises(betacrew.BetacrewError, match="bad.csv"):
        betacrew.read("bad.csv")
