"""A plain client without fault, in which tests plant one (tests/it/grade.rs)."""

import json
import os
import socket
import struct
import sys

ADDRESS = (os.environ["BETACREW_HOST"], int(os.environ["BETACREW_PORT"]))
PACKET = struct.Struct(">4sciii")
packets = []
seen = set()


def keep(frame):
    symbol, side, quantity, price, sequence = PACKET.unpack(frame)
    if side not in (b"B", b"S"):
        return
    if sequence in seen:
        return
    seen.add(sequence)
    packets.append({
        "symbol": symbol.decode("latin-1"),
        "buySellIndicator": side.decode("latin-1"),
        "quantity": quantity,
        "price": price,
        "sequence": sequence,
    })


def talk(calls, wanted):
    with socket.create_connection(ADDRESS) as connection:
        connection.settimeout(3)
        connection.sendall(calls)
        held = b""
        count = 0
        while count != wanted:
            chunk = connection.recv(4096)
            if not chunk:
                break
            held += chunk
            while len(held) >= 17:
                keep(held[:17])
                held = held[17:]
                count += 1


def write():
    packets.sort(key=lambda packet: packet["sequence"])
    with open("output.json", "w", encoding="utf-8") as file:
        json.dump(packets, file)


def main():
    talk(bytes([1, 0]), None)
    highest = max(seen)
    missing = [seq for seq in range(1, highest) if seq not in seen]
    if missing:
        talk(b"".join(bytes([2, seq]) for seq in missing), len(missing))
    abandoned = [seq for seq in range(1, highest) if seq not in seen]
    write()
    return 1 if abandoned else 0


sys.exit(main())
