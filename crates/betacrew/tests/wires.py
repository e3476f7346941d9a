"""The other end of SoupBinTCP, as the venue's own package has it.

wires.py check                 only whether the package is there
wires.py read FILE             the packets of a byte stream, one JSON array a line
wires.py write FILE SEED N     N random packets into FILE; prints them as `read` does
"""

import json
import random
import string
import sys

from nasdaq_protocols import soup


def row(packet):
    """A packet as an array: its type, then its fields."""
    match packet:
        case soup.LoginRequest():
            session, sequence = packet.session, int(packet.sequence)
            return ["L", packet.user, packet.password, session, sequence]
        case soup.LoginAccepted():
            return ["A", packet.session_id, packet.sequence]
        case soup.LoginRejected():
            return ["J", packet.reason.value]
        case soup.Debug():
            return ["+", packet.msg]
        case soup.SequencedData() | soup.UnSequencedData():
            return [packet.Indicator, bytes(packet.data).hex()]
        case _:
            return [packet.Indicator]


def split(stream):
    while stream:
        end = 2 + int.from_bytes(stream[:2], "big")
        yield stream[:end]
        stream = stream[end:]


def read(path):
    stream = memoryview(open(path, "rb").read())
    for packet in split(stream):
        _, packet = soup.SoupMessage.from_bytes(bytes(packet))
        print(json.dumps(row(packet)))


def draw(rng):
    """A random packet."""
    text = lambda most: "".join(rng.choices(string.ascii_letters + string.digits, k=rng.randint(0, most)))
    number = lambda: rng.randrange(10 ** rng.randint(1, 19))
    payload = lambda: rng.randbytes(rng.choice([0, 1, 30, 30, 30, 500]))
    match rng.choice("LAJ+SSSUHRZO"):
        case "L":
            return soup.LoginRequest(text(6), text(10), text(10), str(number()))
        case "A":
            return soup.LoginAccepted(text(10), number())
        case "J":
            return soup.LoginRejected(rng.choice("AS"))
        case "+":
            return soup.Debug(text(60))
        case "S":
            return soup.SequencedData(payload())
        case "U":
            return soup.UnSequencedData(payload())
        case kind:
            return {
                "H": soup.ServerHeartbeat,
                "R": soup.ClientHeartbeat,
                "Z": soup.EndOfSession,
                "O": soup.LogoutRequest,
            }[kind]()


def write(path, seed, count):
    rng = random.Random(int(seed))
    packets = [draw(rng) for _ in range(int(count))]
    with open(path, "wb") as file:
        for packet in packets:
            file.write(packet.to_bytes()[1])
            print(json.dumps(row(packet)))


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"check": lambda: None, "read": read, "write": write}[command](*arguments)
