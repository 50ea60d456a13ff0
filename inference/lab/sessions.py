"""Captured frames as sessions: one for each five-tuple, client first, each with its label."""

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PROTOCOLS = {1: "icmp", 2: "igmp", 4: "4", 6: "tcp", 17: "udp", 41: "41", 47: "gre", 50: "esp", 51: "ah", 58: "icmpv6", 132: "sctp"}
PORTS = {"tcp", "udp", "sctp"}
EXTENSIONS = {0, 43, 60}  # IPv6: hop-by-hop, routing, destination

OPENING = 16  # payloads by which a session is told to be the same again

# What a host does by itself, whatever program runs on it.
HOUSEKEEPING = {"icmp": "icmp", "icmpv6": "icmpv6", "igmp": "igmp", "udp/53": "dns"}


@dataclass
class Session:
    """One session. Ports are 0 where the protocol has none."""

    proto: str
    src_ip: str
    src_port: int
    dst_ip: str
    dst_port: int
    first_seen: float
    packets: int = 0
    bytes: int = 0
    payload_packets: int = 0
    payload_bytes: int = 0
    opening: list[bytes] = field(default_factory=list)  # the first payloads, to tell a session that is the same again


@dataclass
class Packet:
    """What a frame tells."""

    proto: int
    src: str
    sport: int
    dst: str
    dport: int
    payload: bytes
    content: bytes  # the payload, or what follows the IP header where there are no ports
    answers: bool  # SYN and ACK: the other side has asked


def read_frames(path: Path) -> Iterator[tuple[float, bytes]]:
    """Yield time and bytes of the frames of a capture that wire.Capture wrote."""
    data = path.read_bytes()
    offset = 0
    while offset + 12 <= len(data):
        kind, length = struct.unpack_from("<II", data, offset)
        if kind == 6:
            _, high, low, captured, _ = struct.unpack_from("<IIIII", data, offset + 8)
            yield ((high << 32) | low) / 1e6, data[offset + 28 : offset + 28 + captured]
        offset += length


class Walker:
    """Walks headers, and knows to which ports the later fragments of a datagram belong."""

    def __init__(self):
        self.fragments: dict[tuple, tuple[int, int]] = {}

    def walk(self, frame: bytes) -> Packet | None:
        """Return what the outermost IP header and the ports after it say; None for ARP and the like."""
        kind = int.from_bytes(frame[12:14])
        if kind == 0x0800:
            header = (frame[14] & 15) * 4
            total = int.from_bytes(frame[16:18])
            flags = int.from_bytes(frame[20:22])
            body = frame[14 + header : 14 + total]
            identity, first, more = frame[18:20], flags & 0x1FFF == 0, flags & 0x2000 != 0
            src, dst, proto = frame[26:30], frame[30:34], frame[23]
        elif kind == 0x86DD:
            src, dst, proto = frame[22:38], frame[38:54], frame[20]
            body = frame[54 : 54 + int.from_bytes(frame[18:20])]
            identity, first, more = b"", True, False
            while proto in EXTENSIONS or proto == 44:
                if proto == 44:
                    flags = int.from_bytes(body[2:4])
                    identity, first, more = body[4:8], flags & 0xFFF8 == 0, flags & 1 != 0
                    proto, body = body[0], body[8:]
                else:
                    proto, body = body[0], body[8 + 8 * body[1] :]
        else:
            return None
        name = PROTOCOLS.get(proto, str(proto))
        sport = dport = 0
        payload, answers = b"", False
        if name in PORTS:
            key = (src, dst, proto, identity)
            if not first:
                sport, dport = self.fragments.get(key, (0, 0))
                payload = body
            elif len(body) >= 8:
                sport, dport = struct.unpack_from(">HH", body)
                if more:
                    self.fragments[key] = (sport, dport)
                if name == "tcp":
                    payload = body[(body[12] >> 4) * 4 :]
                    answers = body[13] & 0x12 == 0x12
                else:
                    payload = body[8 if name == "udp" else 12 :]
        return Packet(
            proto, str(ipaddress.ip_address(src)), sport, str(ipaddress.ip_address(dst)), dport, payload, payload if name in PORTS else body, answers
        )


def read(path: Path) -> list[Session]:
    """Return the sessions of a capture in the order of their first packets."""
    found: dict[tuple, Session] = {}
    walker = Walker()
    for when, frame in read_frames(path):
        p = walker.walk(frame)
        if p is None:
            continue
        there, back = (p.proto, p.src, p.sport, p.dst, p.dport), (p.proto, p.dst, p.dport, p.src, p.sport)
        session = found.get(there) or found.get(back)
        if session is None:
            key = back if p.answers else there
            session = found[key] = Session(PROTOCOLS.get(p.proto, str(p.proto)), *key[1:], when)
        session.packets += 1
        session.bytes += len(frame)
        if p.payload:
            session.payload_packets += 1
            session.payload_bytes += len(p.payload)
        if p.content and len(session.opening) < OPENING:
            session.opening.append(p.content)
    return list(found.values())


def places(session: Session) -> Iterator[str]:
    """Yield the places that may name a session's label, the most telling first: tcp/443, tcp/*, tcp."""
    if session.proto in PORTS:
        yield f"{session.proto}/{session.dst_port}"
        yield f"{session.proto}/{session.src_port}"
        yield f"{session.proto}/*"
    yield session.proto


def label(session: Session, serves: dict[str, str]) -> str:
    """Return the label that a program's recipe gives to the place where the session's server listens."""
    for table in (serves, HOUSEKEEPING):
        for place in places(session):
            if place in table:
                return table[place]
    return "unlabelled"
