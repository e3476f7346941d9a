"""What dpkt and a few lines of Python find in a capture of MoldUDP64 lines, as JSON: for each
destination its messages, duplicates and missing sequences, and those that all destinations miss."""

import json
import struct
import sys

import dpkt


def main(path):
    lines = {}
    with open(path, "rb") as file:
        for _, data in dpkt.pcap.UniversalReader(file):
            udp = dpkt.ethernet.Ethernet(data).data.data
            if not isinstance(udp, dpkt.udp.UDP):
                continue
            first, count = struct.unpack(">QH", udp.data[10:20])
            ip = dpkt.ethernet.Ethernet(data).data
            line = lines.setdefault(
                ".".join(map(str, ip.dst)) + f":{udp.dport}",
                {"seen": set(), "next": 0, "messages": 0, "duplicates": 0},
            )
            count = 0 if count == 0xFFFF else count
            for sequence in range(first, first + count):
                line["messages"] += 1
                line["duplicates"] += sequence in line["seen"]
                line["seen"].add(sequence)
            line["next"] = max(line["next"], first + count)
    first = min(min(line["seen"]) for line in lines.values())
    end = max(line["next"] for line in lines.values())
    together = set().union(*(line["seen"] for line in lines.values()))
    report = {"missing": [n for n in range(first, end) if n not in together], "lines": {}}
    for name, line in lines.items():
        low = min(line["seen"])
        missed = [n for n in range(low, line["next"]) if n not in line["seen"]]
        report["lines"][name] = {
            "messages": line["messages"],
            "duplicates": line["duplicates"],
            "missed": missed,
        }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    if sys.argv[1] != "check":
        main(sys.argv[1])
