#!/usr/bin/env python3
"""Write a capture of tcpdump (nanoseconds, this machine's byte order) as pcapng.

The usual tools write the processor's and the kernel's name into the file, and
none of them lets one describe the interface. This one says only what it is told.

usage: to-pcapng.py RAW.pcap SAMPLE.pcapng
"""

import struct
import sys

NANOSECOND_MAGIC = 0xA1B23C4D
COMMENT = "Sonde sample capture: our own programs and servers in two network namespaces, made by make-sample.sh"


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + padded(value)


def block(kind: int, body: bytes, *options: bytes) -> bytes:
    body += b"".join(options) + (option(0, b"") if options else b"")
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def main() -> None:
    source, target = sys.argv[1:]
    with open(source, "rb") as file:
        raw = file.read()
    magic, _, _, _, _, snap, link = struct.unpack_from("=IHHiIII", raw)
    if magic != NANOSECOND_MAGIC:
        sys.exit(f"{source}: not a nanosecond capture of this machine")

    section = block(
        0x0A0D0D0A,
        struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1),
        option(1, COMMENT.encode()),
        option(4, b"tcpdump, make-sample.sh"),
    )
    interface = block(
        1,
        struct.pack("<HHI", link, 0, snap),
        option(2, b"sonde0"),
        option(3, b"client's end of the pair sonde-client, sonde-server"),
        option(9, bytes([9])),  # if_tsresol: nanoseconds
    )
    with open(target, "wb") as file:
        file.write(section + interface)
        at = 24
        while at < len(raw):
            seconds, nanoseconds, captured, length = struct.unpack_from("=IIII", raw, at)
            at += 16
            if captured != length:
                sys.exit(f"{source}: a packet was cut short")
            time = seconds * 1_000_000_000 + nanoseconds
            head = struct.pack("<IIIII", 0, time >> 32, time & 0xFFFFFFFF, captured, length)
            file.write(block(6, head + padded(raw[at : at + captured])))
            at += captured


if __name__ == "__main__":
    main()
