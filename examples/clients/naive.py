import json
import os
import socket
import struct

HOST = os.environ.get("BETACREW_HOST", "127.0.0.1")
PORT = int(os.environ.get("BETACREW_PORT", 3000))
PACKET_SIZE = 17


def parse(data):
    symbol, side, quantity, price, sequence = struct.unpack(">4scIII", data)
    return {
        "ticker": symbol.decode(),
        "side": side.decode(),
        "qty": quantity,
        "price": price,
        "seq": sequence,
    }


def stream_all():
    packets = []
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.connect((HOST, PORT))
        s.sendall(struct.pack("BB", 1, 0))
        while True:
            data = s.recv(1024)
            if not data:
                break
            for i in range(0, len(data), PACKET_SIZE):
                chunk = data[i:i + PACKET_SIZE]
                if len(chunk) == PACKET_SIZE:
                    packets.append(parse(chunk))
    return packets


def resend(sequence):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.connect((HOST, PORT))
        s.sendall(struct.pack("BB", 2, sequence))
        data = b""
        while True:
            chunk = s.recv(1024)
            if not chunk:
                break
            data += chunk
        return parse(data[:PACKET_SIZE])


packets = stream_all()
received = {packet["seq"] for packet in packets}
for sequence in range(1, 15):
    if sequence not in received:
        packets.append(resend(sequence))

with open("output.json", "w") as f:
    json.dump({"count": len(packets), "packets": packets}, f, indent=4)
print(f"received {len(packets)} packets")
