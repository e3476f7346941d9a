"""betacrew.Exchange: it runs, is controlled, counts, and ends."""

from __future__ import annotations

import pathlib
import socket
import subprocess
import sys

import betacrew
import pytest

FRAME = 17


def stream(exchange: betacrew.Exchange) -> "list[int]":
    """Requests the stream as a client of the exercise does, and returns its sequences."""
    with socket.create_connection((exchange.host, exchange.port), timeout=10) as connection:
        connection.sendall(bytes([1, 0]))
        data = b"".join(iter(lambda: connection.recv(4096), b""))
    return [int.from_bytes(data[at + 13 : at + 17], "big") for at in range(0, len(data), FRAME)]


def test_it_plays_and_counts_and_ends() -> None:
    with betacrew.Exchange(tape="classic", skip="2-3,11", seed=5, soup=True) as exchange:
        assert stream(exchange) == [1, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14]
        assert exchange.dropped() == [2, 3, 11]
        assert exchange.resent() == []
        assert exchange.counters == betacrew.Counters(11, 0, 3, 0, 1)
        assert exchange.seed == 5
        assert set(exchange.ports) == {"betacrew", "soup"}
        packets = exchange.packets()
        assert [packet.sequence for packet in packets] == list(range(1, 15))
        assert packets[0] == betacrew.Packet("AAPL", "B", 50, 100, 1)
        assert exchange.counters.connections == 1
        assert exchange.command == "betacrew serve --tape classic --skip 2-3,11 --seed 5"
        address = (exchange.host, exchange.port)
    with pytest.raises(OSError):
        socket.create_connection(address, timeout=10).close()
    assert any("dropping 2-3, 11" in line for line in exchange.log), exchange.log
    with pytest.raises(betacrew.BetacrewError, match="does not run"):
        exchange.state()


def test_equal_seeds_drop_equal_packets() -> None:
    runs = []
    for _ in range(2):
        with betacrew.Exchange(tape="random:200", seed=9) as exchange:
            received = stream(exchange)
            assert sorted(received + exchange.dropped()) == list(range(1, 201))
            runs.append(received)
    assert runs[0] == runs[1]


def test_it_has_a_port_for_each_protocol() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        port = receiver.getsockname()[1]
        listen = [f"mold://127.0.0.1:{port}?request=127.0.0.1:0"]
        with betacrew.Exchange(tape="classic", listen=listen) as exchange:
            assert exchange.ports["mold"] == port
            assert set(exchange.ports) == {"betacrew", "mold"}


def test_it_plays_messages_that_are_no_order_packets() -> None:
    with betacrew.Exchange(tape="itch:100", betacrew=False, soup=True, seed=1) as exchange:
        assert exchange.ports == {"soup": exchange.port}
        assert exchange.state()["tape"] == "itch:100"
        command = "betacrew serve --listen soup://127.0.0.1:0 --tape itch:100 --seed 1"
        assert exchange.command == command
    with pytest.raises(betacrew.BetacrewError, match="needs another listener"):
        betacrew.Exchange(betacrew=False)


def test_it_has_no_port_before_it_is_started() -> None:
    with pytest.raises(betacrew.BetacrewError, match="not been started"):
        betacrew.Exchange().address


def test_a_token_of_the_environment_does_not_lock_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BETACREW_HTTP_TOKEN", "long enough")
    with betacrew.Exchange(tape="classic", scenario="clean") as exchange:
        exchange.control.drop(2)
        assert stream(exchange) == list(range(3, 15))


def test_it_is_controlled() -> None:
    with betacrew.Exchange(tape="classic", scenario="clean") as exchange:
        assert len(stream(exchange)) == 14
        exchange.control.drop(2)
        assert stream(exchange) == list(range(3, 15))
        exchange.control.scenario("one-gap")
        assert 5 not in stream(exchange)
        exchange.control.scenario('[[fault]]\nwhat = "drop"\nsequences = 7\n')
        assert 7 not in stream(exchange)
        exchange.control.drop_rate(1)
        assert stream(exchange) == [14]
        exchange.control.clear()
        assert len(stream(exchange)) == 14
        with pytest.raises(betacrew.BetacrewError, match="no built-in scenario"):
            exchange.control.scenario("no-such")


def test_a_scenario_may_be_text_or_a_file(tmp_path: pathlib.Path) -> None:
    text = 'tape = "classic"\n[[fault]]\nwhat = "drop"\nsequences = 4\n'
    file = tmp_path / "mine.toml"
    file.write_text(text)
    for scenario in (text, file):
        with betacrew.Exchange(scenario=scenario) as exchange:
            assert 4 not in stream(exchange)


def test_what_cannot_start_says_why() -> None:
    with pytest.raises(betacrew.BetacrewError, match="did you mean `burst`") as caught:
        betacrew.Exchange(scenario="brust").start()
    assert caught.value.exit_code == 2
    with pytest.raises(betacrew.BetacrewError, match="unexpected argument"):
        betacrew.Exchange(arguments=["--no-such-flag"]).start()


def test_it_ends_with_its_object() -> None:
    exchange = betacrew.Exchange().start()
    process = exchange._process
    assert process is not None
    del exchange
    assert process.wait(10) is not None


def test_the_program_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "betacrew", "version"], stdout=subprocess.PIPE, check=True
    )
    assert done.stdout.startswith(b"betacrew ")
    monkeypatch.setenv("BETACREW_BINARY", "/no/such/file")
    with pytest.raises(betacrew.BetacrewError, match="/no/such/file"):
        betacrew.scenarios()


def test_scenarios_are_listed() -> None:
    listed = {entry.name: entry for entry in betacrew.scenarios()}
    assert len(listed) > 60
    assert listed["one-gap"].protocols == ("betacrew", "mold")
    assert listed["one-gap"].recoverable and not listed["dies"].recoverable
