"""All recipes, a module a family."""

from program import Program

from . import databases, files, industrial, mail, messaging, names, network, remote, voip, vpn, web

FAMILIES = (web, names, remote, files, databases, mail, messaging, voip, vpn, industrial, network)
PROGRAMS: dict[str, Program] = {p.name: p for family in FAMILIES for p in family.PROGRAMS}
