"""Rooms: network namespaces that the lab makes for itself, and that are gone, with all in them, when it ends.

A room has a network, mounts and process numbers of its own. Process 1 in it is a `cat` of a pipe from the lab: when the lab closes the
pipe, or dies, process 1 ends, and the kernel ends whatever was started in the room. So nothing has to be found by name, and a capture made
between two rooms holds the traffic of the program that was started there and of nobody else.
"""

import ctypes
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

CLONE_NEWNET = 0x40000000
LISTEN = {"tcp": "0A", "udp": "07"}  # states in /proc/net/tcp and udp


class Room:
    """One side of the wire. Only the thread that made it uses it."""

    def __init__(self, name: str, folder: Path, environment: dict[str, str]):
        self.name, self.folder, self.environment = name, folder, environment
        self.commands: list[subprocess.Popen] = []
        (folder / "run").mkdir(exist_ok=True)
        # Whatever a server leaves in /run or /tmp, such as a lock, stays in the room; what the recipe needs of /tmp is put back.
        places = (place for value in environment.values() for place in value.split(":") if place.startswith("/tmp/"))
        kept = sorted({"/".join(place.split("/")[:3]) for place in places})
        hide = [f'mkdir /run/kept{i} && mount --bind "{k}" /run/kept{i}' for i, k in enumerate(kept)]
        show = [f'mkdir "{k}" && mount --bind /run/kept{i} "{k}"' for i, k in enumerate(kept)]
        script = (
            "mount -t tmpfs run /run && mkdir -p /run/lock /run/user && mount -t tmpfs shm /dev/shm && "
            f"{' && '.join([*hide, 'mount -t tmpfs tmp /tmp && chmod 1777 /tmp', *show])} && "
            f'mount --bind "{folder}/hosts" /etc/hosts && mount --bind "{folder}/resolv.conf" "$(readlink -f /etc/resolv.conf)" && '
            "ip link set lo up && echo ready && exec cat"
        )
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=KILL", "--mount-proc", "sh", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        if self.holder.stdout.readline() != "ready\n":
            raise OSError(f"no room: {self.holder.stderr.read().strip()}")
        self.pid = int(Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children").read_text().split()[0])

    def start(self, command: str, log: str) -> subprocess.Popen:
        """Start a shell command in the room; what it says goes to a file of that name in the run's folder."""
        with open(self.folder / log, "ab") as out:
            process = subprocess.Popen(
                ["nsenter", "--target", str(self.pid), "--net", "--mount", "--pid", "--uts", "--ipc", f"--wdns={self.folder}", "sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )
        self.commands.append(process)
        return process

    def run(self, command: str, log: str, timeout: float) -> int | None:
        """Run a shell command in the room and return its status, None if it had to be ended."""
        process = self.start(command, log)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None

    def do(self, f):
        """Return what f returns on a thread that has entered the room's network: devices it opens are in there."""
        result: list = []

        def enter():
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                with open(f"/proc/{self.pid}/ns/net") as namespace:
                    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                result.append((f(), None))
            except Exception as error:  # goes on in the caller's thread
                result.append((None, error))

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        value, error = result[0]
        if error:
            raise error
        return value

    def listening(self, service: str) -> bool:
        """Tell whether somebody in the room listens at a place such as tcp/443, without sending anything."""
        transport, port = service.split("/")
        wanted = f":{int(port):04X}"
        for family in ("", "6"):
            for line in Path(f"/proc/{self.pid}/net/{transport}{family}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[1].endswith(wanted) and fields[3] == LISTEN[transport]:
                    return True
        return False

    def wait_for(self, service: str, server: subprocess.Popen | None, timeout: float) -> None:
        """Wait until somebody listens; fail when the server has ended with an error or the time is over."""
        deadline = time.monotonic() + timeout
        while not self.listening(service):
            if server is not None and server.poll():
                raise OSError(f"server ended with status {server.returncode} before it listened at {service}")
            if time.monotonic() > deadline:
                raise OSError(f"nobody listens at {service} after {timeout:.0f} s")
            time.sleep(0.05)

    def close(self) -> None:
        """End everything in the room."""
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()
        self.holder.stderr.close()
        for process in self.commands:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
