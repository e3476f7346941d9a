#!/usr/bin/env python3
"""A MoldUDP64 receiver as it is often written: it works as long as nothing gets lost.

    python3 mold_naive.py HOST PORT SERVER_PORT OUT.itch
"""

import socket
import struct
import sys


def main(host, port, server, out):
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind((host, port))
    receiver.settimeout(0.8)  # mistake: a silent line is taken for the end
    expected = None
    requested = False
    with open(out, "wb") as file:
        while True:
            try:
                datagram = receiver.recv(1500)
            except socket.timeout:
                break
            session, sequence, count = struct.unpack_from(">10sQH", datagram)
            if count == 0xFFFF:
                break
            if expected is not None and sequence > expected and not requested:
                # Mistake: only the first gap is requested, once, and whatever comes is the answer.
                gap = struct.pack(">10sQH", session, expected, sequence - expected)
                receiver.sendto(gap, (host, server))
                requested = True
            at = 20
            for _ in range(count):
                (length,) = struct.unpack_from(">H", datagram, at)
                # Mistake: written as it arrives, each copy.
                file.write(datagram[at:at + 2 + length])
                at += 2 + length
            expected = sequence + count


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
