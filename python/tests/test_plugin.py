"""The pytest plugin, on clients that are right and on one that is not."""

from __future__ import annotations

import pathlib
import shutil

import pytest

SUITE = """
    import json, subprocess
    import pytest

    def record(exchange, command, folder):
        command = [*command, exchange.host, str(exchange.port)]
        subprocess.run(command, cwd=folder, timeout=30)
        rows = json.loads((folder / "output.json").read_text())
        return [row["sequence"] for row in rows]

    @pytest.mark.betacrew_scenarios("one-gap", "half-packet", "resend-p*")
    def test_client(betacrew_exchange, tmp_path):
        expected = [packet.sequence for packet in betacrew_exchange.packets()]
        assert record(betacrew_exchange, {command}, tmp_path) == expected
"""


def run(pytester: pytest.Pytester, command: "list[str]") -> pytest.RunResult:
    pytester.makepyfile(SUITE.replace("{command}", repr(command)))
    return pytester.runpytest_inprocess("-p", "betacrew.pytest_plugin")


def test_good_clients_pass_in_every_scenario(
    pytester: pytest.Pytester, clients: pathlib.Path
) -> None:
    commands = [["python3", str(clients / "client.py")]]
    if shutil.which("node"):
        commands.append(["node", str(clients / "client.js")])
    for command in commands:
        result = run(pytester, command)
        result.assert_outcomes(passed=3)


def test_a_failure_shows_the_command_and_the_log(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import socket
        import pytest

        @pytest.mark.betacrew_scenarios("clean", "one-gap")
        def test_stream_alone(betacrew_exchange):
            address = (betacrew_exchange.host, betacrew_exchange.port)
            with socket.create_connection(address, timeout=10) as connection:
                connection.sendall(bytes([1, 0]))
                data = b"".join(iter(lambda: connection.recv(4096), b""))
            assert len(data) == 17 * len(betacrew_exchange.packets())
        """
    )
    result = pytester.runpytest_inprocess("-p", "betacrew.pytest_plugin")
    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    assert "betacrew exchange" in text
    assert "$ betacrew serve --scenario one-gap --seed " in text
    assert "INFO connection 1: streaming 13 of 14, dropping 5" in text


def test_markers_configure_and_the_factory_starts_several(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.betacrew(tape="sample:3", drop=0, seed=4)
        def test_marker(betacrew_exchange):
            assert len(betacrew_exchange.packets()) == 3
            assert betacrew_exchange.seed == 4

        def test_factory(betacrew_exchange_factory):
            one = betacrew_exchange_factory(tape="classic")
            other = betacrew_exchange_factory(tape="sample:2")
            assert one.port != other.port
            assert one.state()["tape"] == "classic"
        """
    )
    result = pytester.runpytest_inprocess("-p", "betacrew.pytest_plugin")
    result.assert_outcomes(passed=2)


def test_without_names_all_recoverable_scenarios_are_chosen(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.betacrew_scenarios()
        def test_all(betacrew_exchange): ...
        """
    )
    result = pytester.runpytest_inprocess("-p", "betacrew.pytest_plugin", "--collect-only", "-q")
    text = result.stdout.str()
    assert "test_all[one-gap]" in text and "test_all[storm]" in text
    assert "test_all[dies]" not in text and "test_all[soup-" not in text


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('@pytest.mark.betacrew_scenarios("nonsense")', "no scenario matches 'nonsense'"),
        ("@pytest.mark.betacrew_scenarios()", "needs the fixture betacrew_exchange"),
    ],
)
def test_wrong_markers_are_refused(pytester: pytest.Pytester, line: str, reason: str) -> None:
    fixture = "betacrew_exchange" if "nonsense" in line else ""
    pytester.makepyfile(f"import pytest\n\n{line}\ndef test_x({fixture}): ...\n")
    result = pytester.runpytest_inprocess("-p", "betacrew.pytest_plugin")
    assert reason in result.stdout.str() + result.stderr.str()
