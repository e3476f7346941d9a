"""A client of SoupBinTCP: the venue's own package.

soup_client.py check                  only whether the package is there
soup_client.py record PORT FIRST LAST logs in at message FIRST, again after each break, until
                                      message LAST or the end of the session; prints each message
                                      as a line of its sequence and its bytes in hex, and each
                                      other thing that happened as a line that begins with `#`
soup_client.py login PORT USER PASSWORD SESSION SEQUENCE
                                      one login; prints its answer
"""

import asyncio
import logging
import sys

from nasdaq_protocols import soup

# Seconds; a test that hangs fails.
PATIENCE = 60

# A reader of the package takes one packet and sleeps: a thousand packets a second.
PAUSE = 0.001


class Client(soup.SoupClientSession):
    """The package's session, which notes each message and packet as it is read."""

    def note(self, packet):
        match packet:
            case soup.SequencedData():
                self.lines.append(f"{self.following} {bytes(packet.data).hex()}")
                self.following += 1
                if self.following > self.last:
                    self.over = True
            case soup.LoginAccepted() if packet.sequence != self.following:
                self.lines.append(f"# accepted from {packet.sequence} instead of {self.following}")
                self.following = packet.sequence
            case soup.EndOfSession():
                self.over = True
                self.lines.append(f"# end of session before {self.following}")
            case soup.Debug() | soup.UnSequencedData():
                self.lines.append(f"# {type(packet).__name__}")


class Reader(soup.session.SoupMessageReader):
    """The package's reader, without its sleep after each packet."""

    async def _process(self):
        while not self._stopped:
            before = self._read_pos, len(self._buffer)
            await self._process_1()
            if before == (self._read_pos, len(self._buffer)):
                await asyncio.sleep(PAUSE)


def client(first, last, lines):
    client = Client(client_heartbeat_interval=1, server_heartbeat_interval=10)
    client.lines, client.following, client.last, client.over = lines, first, last, False

    def reader(session_id, on_message, on_close):
        reader = Reader(session_id, on_message, on_close)
        deserialize = type(reader).deserialize

        def noted():
            found = deserialize(reader)
            client.note(found[0])
            return found

        object.__setattr__(reader, "deserialize", noted)
        return reader

    client.reader_factory = reader
    return client


async def session(port, first, last, lines):
    """One connection. Returns the next sequence and whether the session is over."""
    it = client(first, last, lines)
    address = "127.0.0.1", port
    try:
        await soup.connect_async(address, "ann", "secret", sequence=first, session_factory=lambda: it)
    except ConnectionRefusedError:
        # The package forgets an acceptance if the connection has ended before it looks.
        if it.following == first and not it.over:
            raise
    while not it.over and not it.is_closed():
        await asyncio.sleep(PAUSE)
    if not it.is_closed():
        it.logout()
        await it.close()
    return it.following, it.over


async def record(port, first, last):
    lines, following, over = [], int(first), False
    while not over:
        try:
            following, over = await session(int(port), following, int(last), lines)
            lines.append(f"# connection ended before {following}")
        except ConnectionRefusedError as refused:
            lines.append(f"# refused: {refused}")
            await asyncio.sleep(0.02)
        except OSError:
            await asyncio.sleep(0.02)
    print("\n".join(lines))


async def login(port, user, password, name, sequence):
    try:
        client = await soup.connect_async(
            ("127.0.0.1", int(port)), user, password, name, sequence=int(sequence)
        )
        print("accepted", client.session_id.session, client.sequence + 1)
        client.logout()
        await client.close()
    except ConnectionRefusedError as refused:
        print("refused", refused)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    logging.disable()
    if command != "check":
        asyncio.run(asyncio.wait_for({"record": record, "login": login}[command](*arguments), PATIENCE))
