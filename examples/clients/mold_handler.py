#!/usr/bin/env python3
"""A MoldUDP64 handler that records a session completely. No dependencies.

    python3 mold_handler.py GROUP:PORT[,...] SERVER:PORT[,...] OUT.itch [--no-requests]

Receives the datagrams that are sent to GROUP:PORT, requests what is missing from SERVER:PORT, and
writes each message to OUT.itch, behind its length in 16 bits. Several groups are lines of one
session, and requests go to their servers in turn. With --no-requests it requests nothing, as a
first draft of a handler does. Exit codes: 0 complete, 3 incomplete.
"""

import ipaddress
import select
import socket
import struct
import sys
import time

HEADER = struct.Struct(">10sQH")  # session, sequence of the first message, number of messages
END_OF_SESSION = 0xFFFF
ANSWER_WAIT = 0.05  # seconds until a request is sent again
IN_FLIGHT = 64  # requests at once
GIVE_UP = 5.0  # seconds in which nothing new arrives
END_STANDS = 0.25  # seconds for which no message must follow the end of the session


def addresses(text):
    pairs = [one.rsplit(":", 1) for one in text.split(",")]
    return [(host, int(port)) for host, port in pairs]


def open_group(host, port):
    """Returns a socket for the datagrams of a group, or of an address of this machine."""
    group = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    group.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    group.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    group.bind((host, port))
    if ipaddress.ip_address(host).is_multicast:
        loopback = socket.inet_aton(host) + socket.inet_aton("127.0.0.1")
        group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, loopback)
    return group


def decode(datagram):
    """Returns session, sequence, count and messages of a datagram; None if it is no MoldUDP64."""
    if len(datagram) < HEADER.size:
        return None
    session, sequence, count = HEADER.unpack_from(datagram)
    messages, at = [], HEADER.size
    for _ in range(0 if count == END_OF_SESSION else count):
        if at + 2 > len(datagram):
            return None
        (length,) = struct.unpack_from(">H", datagram, at)
        messages.append(datagram[at + 2:at + 2 + length])
        at += 2 + length
    return (session, sequence, count, messages) if at == len(datagram) else None


class Handler:
    """The messages of the first session that is heard, by sequence."""

    def __init__(self):
        self.session = None
        self.messages = {}
        self.next = 1  # sequence above the highest one known
        self.lowest = 1  # sequence below which nothing is missing
        self.end = None  # sequence behind the last message of the session
        self.recovered = 0

    def take(self, datagram, by_request):
        """Keeps what is new. The first copy of a message stays."""
        decoded = decode(datagram)
        if decoded is None or self.session not in (None, decoded[0]) or decoded[1] < 1:
            return
        self.session, sequence, count, messages = decoded
        # A sequence far away is a damaged one.
        if sequence > self.next + 1_000_000:
            return
        for offset, message in enumerate(messages):
            if self.messages.setdefault(sequence + offset, message) is message:
                self.recovered += by_request
        # A heartbeat and an end of session show the last messages, too.
        self.next = max(self.next, sequence + len(messages))
        if count == END_OF_SESSION and not by_request and self.end != sequence:
            self.end, self.ended_at = sequence, time.monotonic()

    def missing(self, most):
        """Returns up to `most` gaps, each as its first sequence and the number of messages."""
        while self.lowest in self.messages:
            self.lowest += 1
        gaps, at = [], self.lowest
        while at < self.next and len(gaps) < most:
            count = 0
            while at + count < self.next and at + count not in self.messages and count < 1000:
                count += 1
            if count:
                gaps.append((at, count))
            at += max(count, 1)
        return gaps

    def has_ended(self):
        # An end in the middle of the stream is a mistake: messages behind it disprove it.
        stands = self.end is not None and self.end >= self.next
        return stands and time.monotonic() >= self.ended_at + END_STANDS

    def is_complete(self):
        return self.has_ended() and not self.missing(1)


def main(groups, servers, out, requests):
    handler = Handler()
    lines = [open_group(*address) for address in addresses(groups)]
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    servers = addresses(servers)
    asked_at, turn, new_at, known = 0.0, 0, time.monotonic(), 0
    while not handler.is_complete() and time.monotonic() < new_at + GIVE_UP:
        ready, _, _ = select.select([*lines, asker], [], [], ANSWER_WAIT)
        for one in ready:
            datagram, sender = one.recvfrom(65_535)
            if one is not asker or sender in servers:
                handler.take(datagram, by_request=one is asker)
        now = time.monotonic()
        if len(handler.messages) > known:
            known, new_at = len(handler.messages), now
        if requests and handler.session and now >= asked_at + ANSWER_WAIT:
            asked_at, turn = now, turn + 1
            for first, count in handler.missing(IN_FLIGHT):
                request = HEADER.pack(handler.session, first, count)
                asker.sendto(request, servers[turn % len(servers)])
        if not requests and handler.has_ended():
            break
    with open(out, "wb") as file:
        for sequence in sorted(handler.messages):
            message = handler.messages[sequence]
            file.write(struct.pack(">H", len(message)) + message)
    if handler.is_complete():
        how = "some of them" if handler.recovered else "none of them"
        print(f"complete: {len(handler.messages)} messages, {how} by request")
        return 0
    absent = handler.next - 1 - len(handler.messages)
    print(f"incomplete: {absent} of {handler.next - 1} messages are missing")
    return 3


if __name__ == "__main__":
    flags = [it for it in sys.argv[1:] if it.startswith("--")]
    names = [it for it in sys.argv[1:] if not it.startswith("--")]
    if len(names) != 3 or flags not in ([], ["--no-requests"]):
        sys.exit(__doc__)
    sys.exit(main(*names, requests=not flags))
