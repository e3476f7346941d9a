"""Reads a stream with another language's client, and compares it with a recording (NDJSON)."""

import asyncio
import json
import struct
import sys

import nats

PACKET = struct.Struct(">4sciii")


def packets(message):
    """The packets of a message, by its documented form alone."""
    headers = message.headers
    if headers["Betacrew-Format"] == "json":
        found = [tuple(row.values()) for row in json.loads(message.data)]
    else:
        found = [
            (symbol.decode("latin-1").rstrip(" "), side.decode(), quantity, price, sequence)
            for symbol, side, quantity, price, sequence in PACKET.iter_unpack(message.data)
        ]
    first, count = int(headers["Betacrew-First"]), int(headers["Betacrew-Count"])
    assert [row[4] for row in found] == list(range(first, first + count)), headers
    return found


async def read(url, stream, expected, session):
    connection = await nats.connect(url)
    log = connection.jetstream()
    last = (await log.stream_info(stream)).state.last_seq
    subscription = await log.subscribe(">", stream=stream, ordered_consumer=True)
    found, messages = [], 0
    while messages < last:
        message = await subscription.next_msg(timeout=30)
        messages += 1
        assert message.metadata.sequence.stream == messages
        assert message.headers["Betacrew-Session"] == session, message.headers
        found += packets(message)
    await connection.close()
    keys = ["symbol", "buySellIndicator", "quantity", "price", "sequence"]
    with open(expected) as lines:
        wanted = [tuple(json.loads(line)[key] for key in keys) for line in lines]
    assert len(found) == len(wanted), (len(found), len(wanted))
    for place, (theirs, ours) in enumerate(zip(found, wanted)):
        assert theirs == ours, (place, theirs, ours)
    print(f"{len(found)} packets in {messages} messages")


if sys.argv[1] != "check":
    asyncio.run(read(*sys.argv[1:]))
