"""What a recipe is made of.

A recipe is a Program: what it needs, what it runs on which side, and which place belongs to which label. Commands are given to `sh`.
They, and the files of a recipe, may use these variables:

    $DIR       the run's own folder, the working directory of all commands; both sides see it
    $SERVER    the server's address, $SERVER6 its IPv6 address, $NAME its name
    $CLIENT    the client's address, $CLIENT6 its IPv6 address
    $CA $CERT $KEY           files of a certificate for $NAME and both addresses, PEM
    $SITE      a folder with files of many sizes: 1k.txt 20k.html 200k.bin 700k.bin ...
    $HELPERS   the folder of small clients and servers beside the recipes, $PYTHON the interpreter that has the packages
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """One command. side is "client" or "server"."""

    command: str
    side: str
    background: bool = False
    listens: str = ""  # wait until somebody on this side listens there: tcp/443
    timeout: float = 30.0  # seconds
    repeat: int = 1
    may_fail: bool = False


def setup(command: str, **options) -> Step:
    """Run on the server's side and wait for the end."""
    return Step(command, "server", **options)


def serve(command: str, listens: str = "", **options) -> Step:
    """Start on the server's side, and go on when it listens."""
    return Step(command, "server", background=True, listens=listens, **options)


def ask(command: str, **options) -> Step:
    """Run on the client's side and wait for the end."""
    return Step(command, "client", **options)


def join(command: str, listens: str = "", **options) -> Step:
    """Start on the client's side, and go on when it listens."""
    return Step(command, "client", background=True, listens=listens, **options)


@dataclass(frozen=True)
class Program:
    """One real program and how it is made to talk."""

    name: str
    serves: dict[str, str]  # place of the server -> label: {"tcp/443": "tls", "tcp/993": "tls:imap", "tcp/*": "ftp-data"}
    steps: list[Step]
    version: str  # a command that says it
    tools: dict[str, str] = field(default_factory=dict)  # executable -> Debian package
    modules: list[str] = field(default_factory=list)  # Python modules, see requirements.txt
    files: dict[str, str] = field(default_factory=dict)  # written into $DIR
    names: bool = False  # looks its server up by DNS
    variants: tuple[str, ...] = ("near", "far")  # see wire.WEATHER
    go: str = ""  # a program of ./go, built when needed
