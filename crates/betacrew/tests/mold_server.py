"""A MoldUDP64 publisher with request servers, for tests of `fetch mold://`.

It sends one session to each --to HOST:PORT (one a line), each line losing datagrams of its own, and
answers requests on one socket a line. It prints "request HOST:PORT" for each line, then sends. The
session ends with repeated ends of session; the script ends when its stdin does.
"""

import argparse
import random
import select
import socket
import struct
import sys
import time


def message(seq):
    length = 12 + seq * 7 % 30
    return bytes((seq * 31 + place) % 256 for place in range(length))


def datagram(session, first, messages):
    blocks = b"".join(struct.pack(">H", len(one)) + one for one in messages)
    return session + struct.pack(">QH", first, len(messages)) + blocks


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", action="append", required=True)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--per", type=int, default=30)
    parser.add_argument("--drop", type=float, default=0.05)
    parser.add_argument("--drop-answers", type=float, default=0.0)
    parser.add_argument("--duplicate", type=float, default=0.0)
    parser.add_argument("--reorder", type=float, default=0.0)
    parser.add_argument("--garbage", type=float, default=0.0)
    parser.add_argument("--rate", type=float, default=20000.0, help="datagrams a second")
    parser.add_argument("--session", default="DAY1")
    parser.add_argument("--write", help="file for the messages, each behind its length")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    session = args.session.ljust(10).encode()
    messages = [message(seq) for seq in range(1, args.messages + 1)]
    if args.write:
        with open(args.write, "wb") as file:
            file.write(b"".join(struct.pack(">H", len(one)) + one for one in messages))

    targets = []
    for text in args.to:
        host, port = text.rsplit(":", 1)
        targets.append((host, int(port)))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    servers = []
    for _ in targets:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        servers.append(server)
        print("request 127.0.0.1:%d" % server.getsockname()[1], flush=True)

    dice = [random.Random(args.seed * 100 + line) for line in range(len(targets))]
    answers = random.Random(args.seed * 100 + 99)
    dropped = [0] * len(targets)
    held = [None] * len(targets)
    sent = 0

    def answer():
        for server in select.select(servers, [], [], 0)[0]:
            while True:
                try:
                    request, asker = server.recvfrom(2048)
                except BlockingIOError:
                    break
                if len(request) != 20 or request[:10] != session:
                    continue
                first, count = struct.unpack(">QH", request[10:])
                if not 1 <= first <= min(sent, args.messages):
                    continue
                chosen, size = [], 20
                for one in messages[first - 1:min(first - 1 + count, sent)]:
                    size += 2 + len(one)
                    if size > 1400:
                        break
                    chosen.append(one)
                if answers.random() >= args.drop_answers:
                    server.sendto(datagram(session, first, chosen), asker)

    def publish(line, bytes_, count):
        roll = dice[line].random
        if roll() < args.garbage:
            junk = bytearray(bytes_)
            junk[dice[line].randrange(len(junk))] ^= 1 << dice[line].randrange(8)
            kind = dice[line].randrange(4)
            if kind == 0:
                sender.sendto(bytes_[:dice[line].randrange(len(bytes_))], targets[line])
            elif kind == 1:
                sender.sendto(b"OTHER     " + bytes_[10:], targets[line])
            elif kind == 2:
                sender.sendto(bytes_[:10] + bytes(dice[line].randrange(200)), targets[line])
            else:
                far = struct.pack(">Q", 1 << dice[line].randrange(30, 64))
                sender.sendto(bytes_[:10] + far + bytes_[18:], targets[line])
        if roll() < args.drop:
            dropped[line] += count
            return
        if held[line] is None and roll() < args.reorder:
            held[line] = bytes_
            return
        sender.sendto(bytes_, targets[line])
        if roll() < args.duplicate:
            sender.sendto(bytes_, targets[line])
        if held[line] is not None:
            sender.sendto(held[line], targets[line])
            held[line] = None

    began, number = time.monotonic(), 0
    for first in range(0, args.messages, args.per):
        part = messages[first:first + args.per]
        sent = first + len(part)
        for line in range(len(targets)):
            publish(line, datagram(session, first + 1, part), len(part))
        number += 1
        answer()
        while time.monotonic() - began < number / args.rate:
            answer()
    for line in range(len(targets)):
        if held[line] is not None:
            sender.sendto(held[line], targets[line])
    print("dropped " + " ".join(map(str, dropped)), flush=True)
    end, turn = session + struct.pack(">QH", args.messages + 1, 0xFFFF), 0.0
    while True:
        if time.monotonic() >= turn:
            turn = time.monotonic() + 0.2
            for target in targets:
                sender.sendto(end, target)
        ready = select.select(servers + [sys.stdin], [], [], 0.05)[0]
        if sys.stdin in ready and not sys.stdin.buffer.read1(1):
            return
        answer()


main()
