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
import sys

from nasdaq_protocols import common, soup

# Seconds; a test that hangs fails.
PATIENCE = 60


async def session(port, first, last, lines):
    """One connection. Returns the next sequence and whether the session is over."""
    client = await soup.connect_async(
        ("127.0.0.1", port), "ann", "secret", sequence=first, client_heartbeat_interval=1
    )
    if client.sequence + 1 != first:
        lines.append(f"# accepted from {client.sequence + 1}, not {first}")
        client.logout()
        await client.close()
        return first, False
    following = first
    try:
        while following <= last:
            match await asyncio.wait_for(client.receive_msg(), PATIENCE):
                case soup.SequencedData() as message:
                    lines.append(f"{following} {bytes(message.data).hex()}")
                    following += 1
                case soup.EndOfSession():
                    return following, True
        client.logout()
    except common.EndOfQueue:
        # The connection is closed.
        pass
    finally:
        await client.close()
    return following, following > last


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
    if command != "check":
        asyncio.run(asyncio.wait_for({"record": record, "login": login}[command](*arguments), PATIENCE))
