"""nDPI beside the model, on the very same sessions: the baseline that knows protocols, and the judge of a lab.

The corpus's labels were made by a younger nDPI (4.11) than the one that Debian has (4.2), so agreement with it is the
agreement of relatives, not truth. Truth comes from a lab whose sessions are labelled by the program that made them
(`ndpi_lab.py`).
"""

import argparse
import ipaddress
import json
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import dataset
import experiments
import intervals
import learner
import score

# The tool, and a line that it prints of a flow: transport, both ends, then what it says in brackets. Flows of which it knows
# nothing come after a heading, with a number of their own, in the same form.
TOOL = "ndpiReader"
FLOW = re.compile(r"^\t\d+\t(\S+) \[?([^\s\]]+)\]?:(\d+) <?-> \[?([^\s\]]+)\]?:(\d+) .*?\[proto: ([\d.]+)/([^\]]+)\].*?\[Confidence: ([^\]]+)\]")

# What nDPI says when it goes by a port or an address, not by what it has seen.
GUESSES = ("Match by port", "Match by IP")

# Names of IP protocols as the tool writes them, where they are not those of labels.csv.
PROTOCOLS = {"1": "icmp", "2": "igmp", "47": "gre", "50": "esp", "51": "ah", "58": "icmpv6", "132": "sctp"}

# nDPI's names of protocols and what the corpus calls the same. Names of services (TLS.Google) are no protocols: their first
# part counts. What is not here is no label of the corpus.
NAMES = {
    "AFP": "afp", "AMQP": "amqp", "AnyDesk": "anydesk", "BGP": "routing", "BitTorrent": "bittorrent", "COAP": "coap", "Cassandra": "cassandra",
    "Citrix": "citrix", "DCE_RPC": "dcerpc", "DHCP": "dhcp", "DHCPV6": "dhcpv6", "DNP3": "dnp3", "DNS": "dns", "DNScrypt": "dnscrypt",
    "DTLS": "dtls", "Diameter": "diameter", "DoH_DoT": "doh-dot", "EthernetIP": "ethernetip", "FTP_CONTROL": "ftp", "FTP_DATA": "ftp-data",
    "GRE": "gre", "GTP": "gtp", "GTP_C": "gtp", "GTP_PRIME": "gtp", "GTP_U": "gtp", "Git": "git", "Gnutella": "gnutella", "H323": "h323",
    "HTTP": "http", "HTTP_Connect": "http", "HTTP_Proxy": "http", "ICMP": "icmp", "ICMPV6": "icmpv6", "IEC60870": "iec104", "IGMP": "igmp",
    "IMAP": "imap", "IMAPS": "imap", "IPsec": "ipsec", "IRC": "irc", "Jabber": "xmpp", "Kerberos": "kerberos", "LDAP": "ldap", "LLMNR": "llmnr",
    "MDNS": "mdns", "MGCP": "mgcp", "MQTT": "mqtt", "Megaco": "megaco", "Memcached": "memcached", "Mining": "mining", "Modbus": "modbus",
    "MongoDB": "mongodb", "MsSQL-TDS": "mssql", "MySQL": "mysql", "NFS": "nfs", "NTP": "ntp", "Nats": "nats", "NetBIOS": "netbios", "NetFlow": "netflow",
    "OSPF": "routing", "OpenVPN": "openvpn", "Oracle": "oracle", "POP3": "pop3", "POPS": "pop3", "PPTP": "pptp", "PostgreSQL": "postgresql",
    "QUIC": "quic", "RDP": "rdp", "RSYNC": "rsync", "RTCP": "rtp", "RTMP": "rtmp", "RTP": "rtp", "RTSP": "rtsp", "Radius": "radius",
    "Redis": "redis", "SIP": "sip", "SMBv1": "smb", "SMBv23": "smb", "SMPP": "smpp", "SMTP": "smtp", "SMTPS": "smtp", "SNMP": "snmp",
    "SOAP": "http", "SOCKS": "socks", "SSDP": "ssdp", "SSH": "ssh", "STUN": "stun", "Signal": "signal", "SignalVoip": "signal",
    "SkypeCall": "skype", "Skype_Teams": "skype", "Syslog": "syslog", "TFTP": "tftp", "TINC": "tinc", "TLS": "tls", "TeamViewer": "teamviewer",
    "Telegram": "telegram", "Telnet": "telnet", "Tor": "tor", "VNC": "vnc", "VRRP": "routing", "Viber": "viber", "WSD": "wsd", "WebSocket": "http",
    "WhatsApp": "whatsapp", "WhatsAppCall": "whatsapp", "Whois-DAS": "whois", "WireGuard": "wireguard", "Zoom": "zoom", "eDonkey": "edonkey",
    "s7comm": "s7comm", "sFlow": "netflow",
    **dict.fromkeys(("AmongUs", "Activision", "Armagetron", "CSGO", "Crossfire", "Dofus", "Fiesta", "Florensia", "GenshinImpact", "Guildwars",
                     "HalfLife2", "MapleStory", "Nintendo", "Playstation", "Starcraft", "Steam", "TeamSpeak", "Warcraft3", "WorldOfKungFu",
                     "WorldOfWarcraft", "Xbox"), "game"),
}

# Second parts that are protocols of their own inside of the first, and count instead of it.
INNER = {("NetBIOS", "SMBv1"), ("NetBIOS", "SMBv23"), ("NetBIOS", "DCE_RPC"), ("TLS", "AnyDesk"), ("TLS", "RDP"), ("TLS", "Tor")}

NOTHING, GUESS, SEEN = range(3)

# Whose answers are compared.
MODEL, HELD = "model, best guess", "model, when it answers"
DPI, GUESSING = "nDPI, what it has seen", "nDPI, guesses by port too"

# Positions of an answer that names no class: nothing is said; something is said that is no class.
NONE, ELSE = -1, -2


@dataclass(frozen=True)
class Answer:
    """What nDPI says of a session, in its own words."""

    numbers: str
    words: str
    confidence: str

    @property
    def label(self) -> str | None:
        """Return the corpus's word for it, if it has one."""
        parts = [self.words] if "." not in self.numbers else self.words.split(".", 1)
        inner = len(parts) == 2 and (parts[0], parts[1]) in INNER
        return NAMES.get(parts[1] if inner else parts[0])

    @property
    def rank(self) -> int:
        """Return how much it says: nothing, a guess, or what it has seen."""
        return NOTHING if self.words == "Unknown" else GUESS if self.confidence in GUESSES else SEEN


def ends(a: str, a_port: str, b: str, b_port: str) -> frozenset:
    """Return both ends without direction, addresses as the tool writes them: it shortens every single zero of an IPv6 address,
    so that there may be several gaps and nobody can read it back."""
    return frozenset((str(ipaddress.ip_address(address)).replace(":0:", "::"), int(port)) for address, port in ((a, a_port), (b, b_port)))


def look(capture: Path) -> dict[tuple, Answer]:
    """Run the tool on one capture; return its answers by protocol and ends. Of several flows with the same ends (VLANs, or
    one after the other) the first that was seen through counts, then the first guess."""
    done = subprocess.run([TOOL, "-v", "2", "-i", str(capture)], capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False)
    found: dict[tuple, Answer] = {}
    for line in done.stdout.splitlines():
        m = FLOW.match(line)
        if m is None:
            continue
        protocol, a, a_port, b, b_port, numbers, words, confidence = m.groups()
        key = PROTOCOLS.get(protocol, protocol.lower()), frozenset({(a, int(a_port)), (b, int(b_port))})
        new, old = Answer(numbers, words, confidence), found.get(key)
        if old is None or new.rank > old.rank:
            found[key] = new
    return found


def version() -> str:
    """Return the tool's version."""
    said = subprocess.run([TOOL, "-h"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL).stdout
    found = re.search(r"nDPI (\d[\w.]*)", said)
    return found.group(1) if found else "unknown"


def answers(corpus: Path, rows: list[dict], kept: Path | None = None) -> list[Answer | None]:
    """Return nDPI's answer to the session of each row of labels.csv or rows.csv, None where it saw no such session. What the
    tool said is kept in a file if one is named, since it takes a tenth of a second a capture."""
    known: dict[str, dict] = {}
    if kept is not None and kept.exists():
        known = json.loads(kept.read_text())
    tool = version()
    if known.get("version") != tool:
        known = {"version": tool, "captures": {}}
    captures = known["captures"]
    tables: dict[str, dict[tuple, Answer]] = {}
    for name in sorted({r["file"] for r in rows}):
        if name not in captures:
            found = look(corpus / "captures" / name)
            captures[name] = [[p, sorted(e), a.numbers, a.words, a.confidence] for (p, e), a in found.items()]
        tables[name] = {(p, frozenset((a, port) for a, port in e)): Answer(*said) for p, e, *said in captures[name]}
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(known))
    return [tables[r["file"]].get((r["proto"], ends(r["src_ip"], r["src_port"], r["dst_ip"], r["dst_port"]))) for r in rows]


def positions(said: list[Answer | None], names: list[str], taxonomy: dict[str, tuple[str, str]], least: int) -> np.ndarray:
    """Return the position of the class that each answer means, NONE where it says less than least, ELSE where it says
    something that is no class."""
    at = {name: k for k, name in enumerate(names)}
    return np.array([NONE if a is None or a.rank < least else at.get(dataset.target(a.label, taxonomy), ELSE) if a.label else ELSE for a in said])


def run(c: dataset.Corpus, margins: np.ndarray, features: Path, corpus: Path, kept: Path | None = None) -> dict:
    """Compare the model's answers, from scores by models that have not seen a row's group, with nDPI's on the sessions that
    figures are made of; return the piece for the report."""
    taxonomy = dataset.read_taxonomy(corpus)
    by_session = {r["session"]: r for r in dataset.read_rows(features) if r["whole"] == "true" and not r["variant"]}
    rows = experiments.answering(c)
    said = answers(corpus, [by_session[s] for s in c.session[rows]], kept)
    label, group = c.label[rows], c.group[rows]
    model, silent = margins[rows].argmax(axis=1), experiments.calibrate(c, margins).abstains[rows]
    seen, guessed = (positions(said, c.names, taxonomy, least) for least in (SEEN, GUESS))
    who = {MODEL: model, HELD: np.where(silent, NONE, model), DPI: seen, GUESSING: guessed}

    def tiers(answer: np.ndarray) -> dict:
        return score.tiers(c, label, np.where(answer < 0, c.unknown, answer), group)

    # From here on the strong tier only.
    strong = np.isin(label, c.tier(dataset.STRONG))
    scores = {name: tiers(answer) for name, answer in who.items()}
    f1 = {name: intervals.f1_by_class(label, answer, len(c.names)) for name, answer in who.items()}
    label, model, silent, seen = label[strong], model[strong], silent[strong], seen[strong]
    said = [a for a, s in zip(said, strong) if s]
    who = {name: answer[strong] for name, answer in who.items()}
    apart = (seen >= 0) & (seen != model) & ~silent
    return {
        "version": version(), "without_a_flow": sum(a is None for a in said), "scores": scores,
        "silent": {name: share(answer < 0) for name, answer in who.items()},
        "answered": {name: right(answer, label, answer >= 0) for name, answer in who.items()},
        "model_where_ndpi_is_silent": right(model, label, (seen < 0) & ~silent) | {"silent": int((seen < 0).sum())},
        "ndpi_where_model_is_silent": right(seen, label, silent & (seen >= 0)) | {"silent": int(silent.sum())},
        "both": {"agree": right(model, label, (seen == model) & ~silent), "differ_model": right(model, label, apart), "differ_ndpi": right(seen, label, apart)},
        "by_class": {c.names[k]: {"sessions": int((label == k).sum()), **{name: round(float(each[k]), 3) for name, each in f1.items()},
                                  "ndpi_silent": share((seen < 0)[label == k]), "model_silent": share(silent[label == k])}
                     for k in c.tier(dataset.STRONG) if (label == k).any()},
        "ndpi_silent_on": Counter(c.names[k] for k in label[seen < 0]).most_common(12),
        "ndpi_wrong": [[c.names[k], words, n] for (k, words), n in
                       Counter((k, a.words) for k, h, a in zip(label, seen, said) if a and h != NONE and h != k).most_common(12)],
    }


def share(which: np.ndarray) -> float:
    """Return how much of it is true."""
    return round(float(which.mean()), 4) if len(which) else float("nan")


def right(answer: np.ndarray, label: np.ndarray, which: np.ndarray) -> dict:
    """Return how many of some answers there are, and how many are right."""
    return {"answers": int(which.sum()), "right": int((answer == label)[which].sum())}


def section(piece: dict | None) -> str:
    """Return the chapter of docs/model.md."""
    lines = ["## Beside nDPI", ""]
    if piece is None:
        return "\n".join([*lines, "Not measured in this run.", ""])
    w, n, both = piece["model_where_ndpi_is_silent"], piece["ndpi_where_model_is_silent"], piece["both"]
    lines += [
        f"Debian's nDPI ({piece['version']}) on the same sessions. The labels were made by its younger relative, nDPI 4.11, which has more dissectors and has had its mistakes "
        "mended: where the two agree, that is agreement of relatives and not truth, and where Debian's is silent the younger one may have learnt to speak. The lab has truth. The "
        "model is scored on groups of captures that it has not seen; nDPI was written beside many of these captures, which are its own tests. Intervals are 95 % over groups; a "
        "session without an answer counts as wrong.", "",
        "| | accuracy, strong tier | macro-F1, strong tier | macro-F1, strong and weak | no answer | right of answers |", "|---|---|---|---|---|---|",
    ]
    for name, s in piece["scores"].items():
        a = piece["answered"][name]
        lines.append(f"| {name} | {intervals.text(s['strong']['accuracy'], s['strong']['accuracy_interval'])} | {intervals.text(s['strong']['macro_f1'], s['strong']['macro_f1_interval'])} | "
                     f"{intervals.text(s['all']['macro_f1'], s['all']['macro_f1_interval'])} | {100 * piece['silent'][name]:.1f} % | {percent(a)} |")
    lines += [
        "", f"In the strong tier: where nDPI has seen nothing that it can name ({w['silent']} sessions, most of " + ", ".join(f"{k} {v}" for k, v in piece["ndpi_silent_on"][:5]) +
        f") the model answers {w['answers']} and is right in {w['right']} ({percent(w)}). Where the model says unknown ({n['silent']}) nDPI answers {n['answers']} and is right in "
        f"{n['right']} ({percent(n)}). Both answer and agree on {both['agree']['answers']} ({both['agree']['right']} right); they differ on {both['differ_model']['answers']}: the model is right "
        f"in {both['differ_model']['right']}, nDPI in {both['differ_ndpi']['right']}.", "",
        "nDPI's most frequent other words: " + ", ".join(f"{k} as {words} ({n})" for k, words, n in piece["ndpi_wrong"][:8]) + ".", "",
        "| class | sessions | F1 of the model | F1 of nDPI | F1 of nDPI with guesses | nDPI silent | model silent |", "|---|---|---|---|---|---|---|",
        *(f"| {name} | {f['sessions']} | {f[MODEL]:.3f} | {f[DPI]:.3f} | {f[GUESSING]:.3f} | {100 * f['ndpi_silent']:.0f} % | {100 * f['model_silent']:.0f} % |"
          for name, f in piece["by_class"].items()), "",
    ]
    return "\n".join(lines)


def percent(of: dict) -> str:
    """Return the share of right answers."""
    return f"{100 * of['right'] / of['answers']:.1f} %" if of["answers"] else "-"


def margins(c: dataset.Corpus, results: Path) -> np.ndarray:
    """Return the scores out of fold that training has kept of the same rows, or else those of new models."""
    kept, chosen = results / "out_of_fold.npz", results / "cross_validation.json"
    if kept.exists() and chosen.exists():
        scores, name = np.load(kept), json.loads(chosen.read_text())["chosen"]
        if str(scores["of"]).startswith(c.digest + " "):
            return np.mean([scores[part] for part in name.split(" + ")], axis=0)
    return learner.out_of_fold(learner.NETWORK, c)


def main() -> None:
    """Do it alone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--features", type=Path, required=True, help="what `sonde dataset` wrote")
    parser.add_argument("--corpus", type=Path, required=True, help="the labelled captures")
    parser.add_argument("--results", type=Path, required=True, help="folder for ndpi.json, and for what the tool said")
    options = parser.parse_args()
    c = dataset.read(options.features, options.corpus)
    piece = run(c, margins(c, options.results), options.features, options.corpus, options.results / "ndpi-said.json")
    experiments.save(options.results, "ndpi", piece)
    print(section(piece))


if __name__ == "__main__":
    main()
