#!/usr/bin/env python3
"""A SoupBinTCP client that records a session completely. No dependencies.

    python3 soup_client.py HOST PORT [OUT.itch]

Writes each message behind its length in 16 bits to OUT.itch (session.itch without it). User and
password are taken from SOUP_USER and SOUP_PASSWORD. Exit codes: 0 the session is recorded up to its
end, 1 it is not.
"""

import os
import socket
import struct
import sys
import time

HEARTBEAT = 1.0  # seconds without a packet of ours after which we send a heartbeat
SILENCE = 5.0  # seconds without a packet of the exchange after which we give the connection up
TRIES = 7  # connections in a row that bring no message


class Refused(Exception):
    """User or password is wrong: another try is wrong, too."""


class Connection:
    """One login: reads packets, and keeps the heartbeats going while it waits for them."""

    def __init__(self, address, session, sequence):
        self.socket = socket.create_connection(address, timeout=SILENCE)
        self.held = b""
        self.heard = time.monotonic()
        user, password = (os.environ.get(name, "") for name in ("SOUP_USER", "SOUP_PASSWORD"))
        login = f"{user:<6.6}{password:<10.10}{session:>10}{sequence:>20}"
        self.send(b"L", login.encode())

    def send(self, kind, payload=b""):
        self.socket.sendall(struct.pack(">H", 1 + len(payload)) + kind + payload)
        self.sent = time.monotonic()

    def packet(self):
        """Returns type and payload of the next packet. A packet may come in many reads."""
        while True:
            if len(self.held) >= 2:
                (length,) = struct.unpack_from(">H", self.held)
                if length == 0:
                    raise OSError("a length of 0: nothing behind it can be read")
                if len(self.held) >= 2 + length:
                    packet, self.held = self.held[2:2 + length], self.held[2 + length:]
                    return packet[:1], packet[1:]
            self.read()

    def read(self):
        """Adds the bytes of one read to those held, and sends a heartbeat when it is time."""
        now = time.monotonic()
        if now >= self.sent + HEARTBEAT:
            self.send(b"R")
        if now >= self.heard + SILENCE:
            raise OSError("nothing arrives, not even heartbeats")
        self.socket.settimeout(max(0.01, min(self.sent + HEARTBEAT, self.heard + SILENCE) - now))
        try:
            chunk = self.socket.recv(65536)
        except socket.timeout:
            return
        if not chunk:
            raise OSError("the connection ended")
        self.held += chunk
        self.heard = time.monotonic()


class Recording:
    """The messages of one session, in order."""

    def __init__(self, file):
        self.file = file
        self.session = ""
        self.next = 1  # sequence of the next message that is not recorded

    def follow(self, connection):
        """Records the messages of a connection. Returns True at the end of the session."""
        sequence = None  # sequence of the next message on this connection
        while True:
            kind, payload = connection.packet()
            if kind == b"A":
                session = payload[:10].decode("ascii", "replace").strip()
                if self.session not in ("", session):
                    raise OSError(f"another session: {session}")
                self.session, sequence = session, int(payload[10:30])
                if sequence > self.next:
                    raise OSError(f"accepted from {sequence}, and {self.next} is missing")
            elif kind == b"J":
                if payload == b"A":
                    raise Refused("wrong user or password")
                raise OSError("the session is not available")
            elif kind == b"S" and sequence is not None:
                # Messages from before the one that we expect are known already.
                if sequence == self.next:
                    self.file.write(struct.pack(">H", len(payload)) + payload)
                    self.next += 1
                sequence += 1
            elif kind == b"Z":
                return True
            # Heartbeats, debug text, unsequenced messages and unknown types have no sequence.


def record(address, recording):
    """Returns True once the session is recorded up to its end."""
    fruitless = 0
    while fruitless < TRIES:
        before = recording.next
        try:
            connection = Connection(address, recording.session, recording.next)
            with connection.socket:
                if recording.follow(connection):
                    return True
        except Refused as refused:
            print(f"error: {refused}", file=sys.stderr)
            return False
        except (OSError, ValueError) as error:
            print(f"log in again at {recording.next}: {error}", file=sys.stderr)
        fruitless = 0 if recording.next > before else fruitless + 1
        time.sleep(min(0.05 * 2 ** fruitless, 1.0))
    return False


def main(host, port, out="session.itch"):
    with open(out, "wb") as file:
        recording = Recording(file)
        complete = record((host, int(port)), recording)
    print(f"{'complete' if complete else 'INCOMPLETE'}: {recording.next - 1} messages")
    return 0 if complete else 1


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
