#!/usr/bin/env python3
"""A client that records a whole session. No dependencies.

    python3 client.py [HOST] [PORT]

Writes output.json. Exit codes: 0 complete, 3 incomplete (nothing is written), 5 unreachable.
"""

import json
import os
import socket
import struct
import sys
import time

PACKET = struct.Struct(">4sciii")  # 17 bytes
RESEND_MAX = 127  # the sequence of a resend call is one byte, which some read signed
SILENCE = 2.5  # seconds without a byte: the exchange has forgotten us
ATTEMPTS = 6  # connections that nobody answers, or streams that bring nothing new, in a row
DOUBT = 1e-4  # how likely may a packet beyond the last one be?


class Session:
    """The packets of a session, by sequence."""

    def __init__(self):
        self.packets = {}

    def keep(self, frame):
        """Keeps a packet if it is one and new. The first copy stays."""
        symbol, side, quantity, price, sequence = PACKET.unpack(frame)
        if side in (b"B", b"S") and sequence > 0:
            self.packets.setdefault(sequence, {
                "symbol": symbol.decode("latin-1").rstrip(),
                "buySellIndicator": side.decode(),
                "quantity": quantity,
                "price": price,
                "sequence": sequence,
            })

    def highest(self):
        return max(self.packets, default=0)

    def missing(self):
        return [seq for seq in range(1, self.highest()) if seq not in self.packets]

    def askable(self):
        return [seq for seq in self.missing() if seq <= RESEND_MAX]


def talk(address, session, calls, enough):
    """One connection: sends the calls, keeps the packets, and is over when `enough` says so or
    when the exchange ends it. Returns how many packets came, or None if nobody answered."""
    try:
        connection = socket.create_connection(address, timeout=SILENCE)
    except OSError:
        return None
    count = 0
    # Half a packet belongs to its connection, and is gone with it.
    held = b""
    with connection:
        try:
            connection.sendall(calls)
            while not enough():
                chunk = connection.recv(65536)
                if not chunk:
                    break
                # A read is not a packet: it may bring a part of one, or many.
                held += chunk
                whole = len(held) - len(held) % PACKET.size
                for start in range(0, whole, PACKET.size):
                    session.keep(held[start:start + PACKET.size])
                count += whole // PACKET.size
                held = held[whole:]
            # Everything was read, so this closes without a reset.
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        except OSError:
            pass  # silent for too long, or reset: what came stays
    return count


def fill(address, session):
    """Asks for what is missing, all at once on one connection, as long as that brings something."""
    before = -1
    while session.askable() and len(session.packets) > before:
        before = len(session.packets)
        calls = b"".join(bytes([2, seq]) for seq in session.askable())
        talk(address, session, calls, lambda: not session.askable())


def record(address, session):
    """Streams until nothing is missing and a later packet, dropped from every stream, is unlikely."""
    streamed, unreachable, passes, dry = 0, 0, 0, 0
    while dry < ATTEMPTS:
        before = len(session.packets)
        count = talk(address, session, b"\x01\x00", lambda: False)
        if count is None:
            unreachable += 1
            if unreachable == ATTEMPTS:
                return 3 if session.packets else 5
            time.sleep(0.5)
            continue
        passes, unreachable, streamed = passes + 1, 0, streamed + count
        fill(address, session)
        dry = 0 if len(session.packets) > before else dry + 1
        # The share of packets that streams lose, seen pessimistically; each loses its own.
        sent = passes * session.highest()
        loss = (max(sent - streamed, 0) + 1) / (sent + 2)
        if not session.missing() and loss ** passes < DOUBT:
            return 0
    # Streams bring nothing more: that is all there is.
    return 3 if session.missing() else 0


def main():
    host, port, *_ = [*sys.argv[1:], None, None]
    host = host or os.environ.get("BETACREW_HOST", "127.0.0.1")
    port = int(port or os.environ.get("BETACREW_PORT", "3000"))
    session = Session()
    code = record((host, port), session)
    if code == 0:
        packets = [session.packets[seq] for seq in sorted(session.packets)]
        # Absent, old or whole, whenever somebody looks.
        with open("output.json.partial", "w", encoding="utf-8") as file:
            json.dump(packets, file, indent=2)
            file.write("\n")
        os.replace("output.json.partial", "output.json")
        print(f"complete: {len(packets)} packets in output.json")
    elif code == 3:
        missing = ", ".join(map(str, session.missing())) or "the end"
        print(f"incomplete: {missing} cannot be had", file=sys.stderr)
    else:
        print(f"unreachable: no exchange answers at {host}:{port}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
