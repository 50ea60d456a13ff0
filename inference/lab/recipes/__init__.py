"""All recipes, a module a family."""

from program import Program

from . import files, names, remote, web

PROGRAMS: dict[str, Program] = {p.name: p for family in (web, names, remote, files) for p in family.PROGRAMS}
