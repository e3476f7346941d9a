"""pytest plugin: exchanges as fixtures, and tests that run in many scenarios.

``betacrew_exchange`` is an exchange for one test. A marker configures it, and another one runs the
test once for each scenario::

    @pytest.mark.betacrew(tape="classic", seed=7)
    def test_one(betacrew_exchange): ...

    @pytest.mark.betacrew_scenarios()              # all in which a client can record everything
    def test_all(betacrew_exchange):
        assert my_client(betacrew_exchange.address) == betacrew_exchange.packets()

``betacrew_exchange_factory`` starts as many exchanges as a test needs. Exchanges end with their
test. If the test fails, its report has the commands that repeat them, and their logs.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Generator, Iterator, List, Protocol

import pytest

from ._exchange import Exchange
from ._scenarios import scenarios

_EXCHANGES = pytest.StashKey[List[Exchange]]()


class ExchangeFactory(Protocol):
    """Starts an exchange with the arguments of :class:`betacrew.Exchange`."""

    def __call__(self, **arguments: Any) -> Exchange: ...


def pytest_configure(config: pytest.Config) -> None:
    """Declares the markers."""
    config.addinivalue_line(
        "markers", "betacrew(**arguments): arguments of the betacrew_exchange of this test"
    )
    config.addinivalue_line(
        "markers",
        "betacrew_scenarios(*patterns): runs the test once for each built-in scenario whose name "
        "matches, or for all in which a client can record every packet",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test once for each scenario of its marker."""
    marker = metafunc.definition.get_closest_marker("betacrew_scenarios")
    if marker is None:
        return
    if "betacrew_exchange" not in metafunc.fixturenames:
        raise pytest.UsageError(
            f"{metafunc.function.__name__}: betacrew_scenarios needs the fixture betacrew_exchange"
        )
    names = _chosen(marker.args)
    metafunc.parametrize("betacrew_exchange", names, indirect=True, ids=names)


def _chosen(patterns: "tuple[str, ...]") -> List[str]:
    all_of_protocol = [entry for entry in scenarios() if "betacrew" in entry.protocols]
    if not patterns:
        # Those of other protocols play other faults in the exercise's protocol than they are for.
        others = ("soup-", "mold-")
        chosen = [entry for entry in all_of_protocol if not entry.name.startswith(others)]
        return [entry.name for entry in chosen if entry.recoverable]
    names = [entry.name for entry in all_of_protocol]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise pytest.UsageError(
                f"betacrew_scenarios: no scenario matches {pattern!r}; "
                "`betacrew scenarios` lists them"
            )
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


@pytest.fixture
def betacrew_exchange_factory(request: pytest.FixtureRequest) -> Iterator[ExchangeFactory]:
    """Function that starts exchanges; they end with the test."""
    started = request.node.stash.setdefault(_EXCHANGES, [])

    def start(**arguments: Any) -> Exchange:
        exchange = Exchange(**arguments).start()
        started.append(exchange)
        return exchange

    yield start
    for exchange in started:
        exchange.close()


@pytest.fixture
def betacrew_exchange(
    request: pytest.FixtureRequest, betacrew_exchange_factory: ExchangeFactory
) -> Exchange:
    """Exchange with the arguments of the markers."""
    marker = request.node.get_closest_marker("betacrew")
    arguments = dict(marker.kwargs) if marker is not None else {}
    if hasattr(request, "param"):
        arguments["scenario"] = request.param
    return betacrew_exchange_factory(**arguments)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the exchanges of a failed test to its report."""
    report = yield
    if report.when == "call" and report.failed:
        for exchange in item.stash.get(_EXCHANGES, []):
            text = "\n".join([f"$ {exchange.command}", *exchange.log])
            report.sections.append(("betacrew exchange", text))
    return report
