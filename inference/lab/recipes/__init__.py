"""All recipes, a module a family."""

from program import Program

from . import databases, files, industrial, mail, messaging, names, network, remote, voip, vpn, web

FAMILIES = (web, names, remote, files, databases, mail, messaging, voip, vpn, industrial, network)
PROGRAMS: dict[str, Program] = {p.name: p for family in FAMILIES for p in family.PROGRAMS}

# What the lab ought to run and cannot, and why.
ABSENT = {
    "cassandra": "no package in Debian or in a registry of libraries",
    "dnp3": "no library of a registry that installs on this Python",
    "games": "no client that plays without a screen and a player",
    "geneve, gre, ipip": "kernel devices that the machine's kernel may not have; vxlan stands for them",
    "ipsec esp": "kernels without ESP carry IKE only",
    "kafka": "a broker of some hundred megabytes of jars",
    "llmnr": "the only responder, systemd-resolved, takes over the host's /etc/resolv.conf when it is installed",
    "messengers and conferences": "closed programs that need accounts: Skype, Teams, Telegram, Viber, WhatsApp, Zoom",
    "mining": "needs a pool",
    "mongodb": "no server in Debian 12 or in a registry of libraries",
    "mssql, oracle": "closed servers",
    "slp": "no package in Debian 12",
    "tor": "needs the Tor network",
}
