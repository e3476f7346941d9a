"""An exchange beside a test: a process that is started, controlled over HTTP, and ended."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
import weakref
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Dict, List, Mapping, Optional, Sequence, Type

from ._program import BetacrewError, as_path, failure, program, run

#: Time that an exchange has to end by itself, in seconds.
_END_PATIENCE = 5.0
#: Time that an HTTP answer may take, in seconds.
_ANSWER_PATIENCE = 10.0
#: Maximum number of sequences in one answer about the strip.
_CELLS_MAX = 4000
#: Error of what only a running exchange has.
_NOT_STARTED = "the exchange has not been started"
#: Variable with a token that changes over HTTP would need.
_TOKEN = "BETACREW_HTTP_TOKEN"
#: Requests to the exchange never go through a proxy.
_HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Packet:
    """One order of a tape."""

    symbol: str
    side: str
    quantity: int
    price: int
    sequence: int


@dataclass(frozen=True)
class Counters:
    """Counts since the exchange started."""

    #: Packets sent in streams, and on request.
    streamed: int
    resent: int
    #: Packets of streams, and resends, that were dropped on purpose.
    dropped: int
    resends_dropped: int
    #: Connections accepted.
    connections: int


class Control:
    """Commands to a running exchange. Each has been carried out when its method returns."""

    def __init__(self, exchange: "Exchange") -> None:
        self._exchange = exchange

    def drop(self, count: int) -> str:
        """Drops the next packets of streams."""
        return self._post("drop", {"next": count})

    def drop_rate(self, share: float) -> str:
        """Drops this share of all packets but the last, from 0 to 1, instead of other faults."""
        return self._post("faults", {"drop": share})

    def scenario(self, scenario: str) -> str:
        """Plays the faults of a scenario from now on: a built-in one, or the text of a TOML file."""
        key = "toml" if "\n" in scenario else "scenario"
        return self._post("faults", {key: scenario})

    def clear(self) -> str:
        """Removes all faults."""
        return self._post("faults", {"clear": True})

    def pause(self) -> str:
        """Stops all sending."""
        return self._post("pause", {})

    def resume(self) -> str:
        """Continues all sending."""
        return self._post("resume", {})

    def cut(self, *, reset: bool = False) -> str:
        """Ends all connections, in order or with a reset."""
        return self._post("cut", {"all": True, "how": "reset" if reset else "close"})

    def _post(self, path: str, body: Mapping[str, Any]) -> str:
        answer = self._exchange._request(f"/api/{path}", body)
        return str(answer["done"])


class Exchange:
    """A mock exchange on free ports of this machine, as a context manager.

    ``tape`` names the packets to play (classic, random:N, a file ...); ``scenario`` the faults: a
    built-in name, a TOML file, or the text of one; ``drop`` and ``skip`` are faults without a
    scenario. Without any of them every fourth packet or so is dropped, as in the exercise.
    ``soup`` adds a listener in SoupBinTCP, ``listen`` further addresses of ``serve --listen``;
    ``betacrew=False`` leaves out the listener of the exercise's protocol, which plays order
    packets only; ``arguments`` are further flags of ``betacrew serve``.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        tape: Optional["str | os.PathLike[str]"] = None,
        scenario: Optional["str | os.PathLike[str]"] = None,
        seed: Optional[int] = None,
        drop: "float | str | None" = None,
        skip: Optional[str] = None,
        pace: Optional[str] = None,
        live: bool = False,
        betacrew: bool = True,
        soup: bool = False,
        listen: Sequence[str] = (),
        arguments: Sequence[str] = (),
        start_timeout: float = 10.0,
    ) -> None:
        self._tape = None if tape is None else os.fspath(tape)
        self._folder: Optional[str] = None
        self._scenario = None if scenario is None else os.fspath(scenario)
        self._values: Dict[str, Any] = {
            "--tape": self._tape,
            "--seed": seed,
            "--drop": drop,
            "--skip": skip,
            "--pace": pace,
        }
        addresses = [f"{self.host}:0"] if betacrew else []
        addresses += [f"soup://{self.host}:0"] if soup else []
        self._listen = [*addresses, *listen]
        if not self._listen:
            raise BetacrewError("betacrew=False needs another listener: soup=True, or listen=[...]")
        self._more = [*(["--live"] if live else []), *arguments]
        #: Addresses in the command, which is on port 3000 of the exercise's protocol without them.
        self._named = [] if betacrew else self._listen
        self._start_timeout = start_timeout
        self._process: Optional["subprocess.Popen[bytes]"] = None
        self._lines: List[str] = []
        self._http: Optional[str] = None
        #: Ports by protocol: betacrew, soup, and mold, where datagrams are sent to.
        self.ports: Dict[str, int] = {}
        #: Seed of the faults: the one that was given, or from the start on the one that was drawn.
        self.seed: Optional[int] = seed
        #: Lines of the exchange's log.
        self.log: List[str] = []

    def __enter__(self) -> "Exchange":
        return self.start()

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def start(self) -> "Exchange":
        """Starts the exchange, and returns once it listens."""
        if self._process is not None:
            raise BetacrewError("this exchange has been started: make another one")
        command = [program(), *self._arguments()]
        # Commands are sent without a token. Only this machine can send them.
        environment = {name: os.environ[name] for name in os.environ if name != _TOKEN}
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._process = process
        # An exchange does not outlive its object, whatever becomes of the test.
        self._finalizer = weakref.finalize(self, _end, process, self._folder)
        assert process.stdout is not None and process.stderr is not None
        listens = threading.Event()
        self._readers = [
            threading.Thread(target=_read_stdout, args=(process.stdout, self._lines, listens)),
            threading.Thread(target=_read_stderr, args=(process.stderr, self.log)),
        ]
        for reader in self._readers:
            reader.daemon = True
            reader.start()
        in_time = listens.wait(self._start_timeout)
        self._take_addresses()
        if self._http is None:
            self._finalizer()
            for reader in self._readers:
                reader.join(_END_PATIENCE)
            if not in_time:
                limit = self._start_timeout
                raise BetacrewError(f"the exchange does not listen after {limit} s: {self.log}")
            raise failure("\n".join(self.log).encode(), process.wait())
        self.seed = int(self.state()["faults"]["seed"])
        return self

    def close(self) -> None:
        """Ends the exchange. The log is complete then."""
        if self._process is None:
            return
        self._finalizer()
        for reader in self._readers:
            reader.join(_END_PATIENCE)

    @property
    def control(self) -> Control:
        """Commands to the exchange."""
        return Control(self)

    @property
    def port(self) -> int:
        """Port of the exercise's protocol; without that, of the first listener."""
        if not self.ports:
            raise BetacrewError(_NOT_STARTED)
        return self.ports.get("betacrew") or next(iter(self.ports.values()))

    @property
    def address(self) -> str:
        """Host and :attr:`port`."""
        return f"{self.host}:{self.port}"

    @property
    def http(self) -> str:
        """URL of the dashboard and of the HTTP API."""
        if self._http is None:
            raise BetacrewError(_NOT_STARTED)
        return self._http

    @property
    def command(self) -> str:
        """Command that runs the same exchange on port 3000, with the same seed.

        Without the exercise's protocol it has the addresses of all listeners.
        """
        words = ["betacrew", "serve"]
        for address in self._named:
            words += ["--listen", address]
        if self._scenario is not None:
            words += ["--scenario", "FILE" if "\n" in self._scenario else self._scenario]
        for flag, value in self._values.items():
            if value is not None and flag != "--seed":
                words += [flag, str(value)]
        return " ".join(map(shlex.quote, [*words, *self._more, "--seed", str(self.seed)]))

    def state(self) -> Dict[str, Any]:
        """Returns the whole state: ``GET /api/state``."""
        return dict(self._request("/api/state"))

    @property
    def counters(self) -> Counters:
        """Counts of packets sent and dropped."""
        counted = self.state()["counters"]
        return Counters(**{name: counted[name] for name in Counters.__dataclass_fields__})

    def dropped(self) -> List[int]:
        """Returns the sequences that were dropped at least once, in order."""
        return [seq for seq, counts in self._strip() if counts[2] > 0]

    def resent(self) -> List[int]:
        """Returns the sequences that were sent on request at least once, in order."""
        return [seq for seq, counts in self._strip() if counts[1] > 0]

    def packets(self) -> List[Packet]:
        """Returns the packets of the tape, as a client must have them at the end.

        Another exchange plays the same tape without faults, so this one counts nothing.
        """
        tape = self._tape or str(self.state()["tape"])
        arguments = ["fetch", "-q", "--output=-", "--format=json"]
        with Exchange(tape=tape, scenario="clean", seed=self.seed) as clean:
            with tempfile.TemporaryDirectory(prefix="betacrew-") as folder:
                file = os.path.join(folder, "packets.tape")
                text = run([*arguments, f"--tape={file}", clean.address])
        return [
            Packet(
                symbol=row["symbol"],
                side=row["buySellIndicator"],
                quantity=row["quantity"],
                price=row["price"],
                sequence=row["sequence"],
            )
            for row in json.loads(text)
        ]

    def _arguments(self) -> List[str]:
        arguments = ["serve", f"--http={self.host}:0"]
        arguments += [f"--listen={address}" for address in self._listen]
        arguments += [f"{flag}={value}" for flag, value in self._values.items() if value is not None]
        scenario = self._scenario
        if scenario is not None and "\n" in scenario:
            self._folder = tempfile.mkdtemp(prefix="betacrew-")
            file = os.path.join(self._folder, "scenario.toml")
            with open(file, "w", encoding="utf-8") as out:
                out.write(scenario)
            scenario = file
        if scenario is not None:
            arguments.append(f"--scenario={as_path(scenario)}")
        return [*arguments, *self._more]

    def _take_addresses(self) -> None:
        for line in list(self._lines):
            words = line.split()
            if line.startswith("http on "):
                self._http = f"http://{words[-1]}"
            elif line.startswith("listening on "):
                protocol, _, address = words[2].rpartition("://")
                _, _, port = address.split("?")[0].rpartition(":")
                self.ports.setdefault(protocol or "betacrew", int(port))

    def _strip(self) -> "List[tuple[int, List[int]]]":
        last = int(self.state()["session"]["last"])
        found = []
        for first in range(1, last + 1, _CELLS_MAX):
            query = f"/api/strip?from={first}&to={first + _CELLS_MAX - 1}&cells={_CELLS_MAX}"
            strip = self._request(query)
            if strip["exact"] != 1:
                raise BetacrewError(
                    "the tape is too long: its packets are counted in blocks, not one by one"
                )
            found += list(enumerate(strip["cells"], first))
        return found

    def _request(self, path: str, body: Optional[Mapping[str, Any]] = None) -> Any:
        if self._process is None or not self._finalizer.alive:
            raise BetacrewError("the exchange does not run: use it inside of its `with` block")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.http + path, data=data, headers=headers)
        try:
            with _HTTP.open(request, timeout=_ANSWER_PATIENCE) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                told = json.load(error)
            allowed = told.get("allowed")
            more = f"; allowed: {allowed}" if allowed else ""
            raise BetacrewError(f"{told['error']}{more}", 2) from None


def _read_stdout(stream: IO[bytes], lines: List[str], listens: threading.Event) -> None:
    with stream:
        for line in stream:
            lines.append(line.decode("utf-8", "replace").rstrip("\n"))
            # The line about HTTP is the last one.
            if lines[-1].startswith("http on "):
                listens.set()
    listens.set()


def _read_stderr(stream: IO[bytes], lines: List[str]) -> None:
    with stream:
        for line in stream:
            lines.append(line.decode("utf-8", "replace").rstrip("\n"))


def _end(process: "subprocess.Popen[bytes]", folder: Optional[str]) -> None:
    process.terminate()
    try:
        process.wait(_END_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
