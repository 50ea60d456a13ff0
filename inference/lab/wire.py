"""The wire between two rooms: two TAP devices, and a thread that carries frames from one to the other and captures them.

It is in user space because not every kernel has netem, and because a capture made by whoever carries the frames misses none. The
capture is taken at the client's end: what the client sends is seen before it can be lost, what the server sends after.
TAP devices offload nothing, so frames are as large as the MTU says, and checksums are right.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from rooms import Room

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000

CLIENT = ("10.77.0.2", "fd77::2", "02:00:00:00:77:02")
SERVER = ("10.77.0.1", "fd77::1", "02:00:00:00:77:01")


@dataclass(frozen=True)
class Weather:
    """What a wire does to frames."""

    delay: float = 0.0005  # seconds, one way
    jitter: float = 0.0001  # standard deviation, seconds; frames keep their order
    loss: float = 0.0  # share of frames
    mtu: int = 1500  # bytes of an IP packet


WEATHER = {
    "near": Weather(),
    "far": Weather(delay=0.040, jitter=0.004, loss=0.01),
    "narrow": Weather(delay=0.008, jitter=0.002, mtu=1280),
    "lossy": Weather(delay=0.015, jitter=0.008, loss=0.03),
}


def open_tap(name: str) -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return tap


class Capture:
    """A pcapng file of Ethernet frames with microseconds, as simple as the format allows."""

    def __init__(self, path: Path):
        self.file = open(path, "wb")
        self._block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
        self._block(1, struct.pack("<HHI", 1, 0, 0))

    def _block(self, kind: int, body: bytes) -> None:
        length = 12 + len(body)
        self.file.write(struct.pack("<II", kind, length) + body + struct.pack("<I", length))

    def write(self, when: float, frame: bytes) -> None:
        micros = int(when * 1e6)
        head = struct.pack("<IIIII", 0, micros >> 32, micros & 0xFFFFFFFF, len(frame), len(frame))
        self._block(6, head + frame + bytes(-len(frame) % 4))

    def close(self) -> None:
        self.file.close()


class Wire:
    """Joins a client's and a server's room from the moment it is made until it is closed."""

    def __init__(self, client: Room, server: Room, weather: Weather, path: Path, seed: str):
        self.weather, self.random = weather, random.Random(seed)
        self.capture = Capture(path)
        self.taps = [client.do(lambda: open_tap("eth0")), server.do(lambda: open_tap("eth0"))]
        self.wake, self.waker = os.pipe()
        self.waiting: list[tuple[float, int, int, bytes]] = []  # when, order, to, frame
        self.last = [0.0, 0.0]
        self.count = 0
        for room, (v4, v6, mac), (gate4, gate6, _) in ((client, CLIENT, SERVER), (server, SERVER, CLIENT)):
            gateway = f"ip route add default via {gate4} && ip -6 route add default via {gate6}" if room is client else "true"
            status = room.run(
                f"ip link set eth0 address {mac} mtu {weather.mtu} && ip addr add {v4}/24 dev eth0 && "
                f"ip addr add {v6}/64 dev eth0 nodad && ip link set eth0 up && {gateway} && "
                "ip route add 224.0.0.0/4 dev eth0; sysctl -qw net.ipv4.ip_forward=1 net.ipv4.ping_group_range='0 2147483647'",
                "network.log",
                10,
            )
            if status != 0:
                raise OSError((room.folder / "network.log").read_text())
        self.thread = threading.Thread(target=self._carry)
        self.thread.start()

    def _carry(self) -> None:
        names = {self.taps[0]: 0, self.taps[1]: 1}
        poll = select.poll()
        for descriptor in (*self.taps, self.wake):
            poll.register(descriptor, select.POLLIN)
        while True:
            now = time.time()
            while self.waiting and self.waiting[0][0] <= now:
                when, _, to, frame = heapq.heappop(self.waiting)
                if to == 0:
                    self.capture.write(time.time(), frame)
                self._deliver(to, frame)
            timeout = max(0.0, (self.waiting[0][0] - time.time()) * 1e3) if self.waiting else None
            for descriptor, _ in poll.poll(timeout):
                if descriptor == self.wake:
                    return
                self._take(names[descriptor])

    def _take(self, source: int) -> None:
        for _ in range(64):  # then the other side has its turn
            try:
                frame = os.read(self.taps[source], 65536)
            except (BlockingIOError, OSError):
                return
            now = time.time()
            if source == 0:
                self.capture.write(now, frame)
            if self.random.random() < self.weather.loss:
                continue
            when = now + self.weather.delay + abs(self.random.gauss(0, self.weather.jitter))
            self.last[source] = when = max(when, self.last[source] + 1e-6)
            self.count += 1
            heapq.heappush(self.waiting, (when, self.count, 1 - source, frame))

    def _deliver(self, to: int, frame: bytes) -> None:
        try:
            os.write(self.taps[to], frame)
        except OSError:  # the device's queue is full, or its room is gone: a frame lost, as on any wire
            pass

    def close(self) -> None:
        os.close(self.waker)
        self.thread.join()
        self.capture.close()
        for tap in (*self.taps, self.wake):
            os.close(tap)
