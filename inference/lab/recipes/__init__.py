"""All recipes, a module a family."""

from program import Program

from . import databases, files, mail, names, remote, web

FAMILIES = (web, names, remote, files, databases, mail)
PROGRAMS: dict[str, Program] = {p.name: p for family in FAMILIES for p in family.PROGRAMS}
