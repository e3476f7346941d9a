#!/usr/bin/env python3
"""A SoupBinTCP client as it is often written: it works until something happens.

    python3 soup_naive.py HOST PORT
"""

import json
import socket
import sys


def login(sequence):
    text = "user".ljust(6) + "password".ljust(10) + " " * 10 + str(sequence).ljust(20)
    return b"\x00\x2fL" + text.encode()


def main(host, port):
    messages = []
    for _ in range(3):
        connection = socket.create_connection((host, port))
        connection.sendall(login(1))
        count = 0
        while True:
            packet = connection.recv(4096)
            if not packet:
                break
            kind = packet[2:3]
            if kind == b"A":
                continue
            if kind == b"J":
                break
            if kind == b"Z":
                break
            count += 1
            messages.append({"sequence": count, "payload": packet[3:].hex()})
        connection.close()
        if packet[2:3] == b"Z":
            break
    with open("messages.json", "w") as file:
        json.dump(messages, file)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
