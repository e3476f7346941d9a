"""A receiver of MoldUDP64, written after the specification alone.

mold_receiver.py check            only whether it runs
mold_receiver.py record LINES OUT receives on LINES sockets of 127.0.0.1, whose ports it prints in
                                  one line; reads from stdin the port of each line's request server,
                                  one a line; receives until all lines have announced the end of the
                                  session, requests what is missing, writes all messages to the file
                                  OUT, each behind its length, and prints what it has counted
"""

import json
import select
import socket
import struct
import sys
import time

HEADER = struct.Struct(">10sQH")
PATIENCE = 60
AT_ONCE = 64


def open_socket():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    one.bind(("127.0.0.1", 0))
    return one


def messages_of(datagram):
    session, sequence, count = HEADER.unpack_from(datagram)
    at, found = HEADER.size, []
    if count != 0xFFFF:
        for _ in range(count):
            (length,) = struct.unpack_from(">H", datagram, at)
            found.append(datagram[at + 2 : at + 2 + length])
            assert len(found[-1]) == length, "a message that is cut off"
            at += 2 + length
    assert at == len(datagram), "bytes behind the last message"
    return session, sequence, count, found


def receive(lines, counts):
    """Returns the session, the sequence behind its last message, and the messages."""
    messages, ended, session = {}, {}, None
    got = [set() for _ in lines]
    while len(ended) < len(lines):
        ready, _, _ = select.select(lines, [], [], PATIENCE)
        assert ready, "nothing has arrived"
        for one in ready:
            number = lines.index(one)
            session, sequence, count, found = messages_of(one.recv(70_000))
            counts["datagrams"][number] += bool(found)
            counts["heartbeats"][number] += count == 0
            if count == 0xFFFF:
                ended[number] = sequence
            for offset, message in enumerate(found):
                got[number].add(sequence + offset)
                assert messages.setdefault(sequence + offset, message) == message
    end = max(ended.values())
    counts["missed"] = [end - 1 - len(one) for one in got]
    return session, end, messages


def request(servers, session, end, messages, counts):
    """Requests what is missing, many pieces at once, until nothing is."""
    asker = open_socket()
    until = time.monotonic() + PATIENCE
    while missing := [seq for seq in range(1, end) if seq not in messages]:
        assert time.monotonic() < until, "requests are not answered"
        sent, at = 0, 0
        while at < len(missing) and sent < AT_ONCE:
            first, count = missing[at], 0
            while at < len(missing) and missing[at] == first + count and count < 1000:
                at, count = at + 1, count + 1
            server = servers[sent % len(servers)]
            asker.sendto(HEADER.pack(session, first, count), ("127.0.0.1", server))
            sent += 1
        counts["requests"] += sent
        while sent and select.select([asker], [], [], 0.2)[0]:
            answer, (_, port) = asker.recvfrom(70_000)
            assert port in servers, "an answer from another port"
            own, sequence, count, found = messages_of(answer)
            assert own == session and found and count != 0xFFFF
            sent -= 1
            counts["answers"] += 1
            for offset, message in enumerate(found):
                assert messages.setdefault(sequence + offset, message) == message


def record(count, path):
    lines = [open_socket() for _ in range(count)]
    print(*[one.getsockname()[1] for one in lines], flush=True)
    servers = [int(sys.stdin.readline()) for _ in lines]
    counts = {"datagrams": [0] * count, "heartbeats": [0] * count, "requests": 0, "answers": 0}
    session, end, messages = receive(lines, counts)
    request(servers, session, end, messages, counts)
    with open(path, "wb") as out:
        for sequence in range(1, end):
            out.write(struct.pack(">H", len(messages[sequence])) + messages[sequence])
    print(json.dumps(counts | {"session": session.decode(), "end": end}))


if __name__ == "__main__" and sys.argv[1] != "check":
    record(int(sys.argv[2]), sys.argv[3])
