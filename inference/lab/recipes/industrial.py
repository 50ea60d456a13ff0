"""Machines: what controllers and meters speak."""

from program import Program, ask, serve


def python(name: str, module: str, place: str, label: str, calls: list[str], variants=("near", "far"), **options) -> Program:
    """Return a recipe of a Python library whose server and client are in helpers/NAME.py."""
    helper = f'"$PYTHON" "$HELPERS/{name}.py"'
    return Program(
        name,
        {place: label},
        version=f'"$PYTHON" -c "from importlib.metadata import version; print(\x27{module}\x27, version(\x27{module}\x27))"',
        modules=options.get("modules", [name]),
        variants=variants,
        steps=[serve(f"{helper} serve", place), *[ask(f"{helper} {call}", timeout=40) for call in calls]],
    )


PROGRAMS = [
    python(
        "pymodbus",
        "pymodbus",
        "tcp/502",
        "modbus",
        ["$SERVER coils 3", "$SERVER registers 20", "$SERVER coils 8", "$SERVER write 5", "$SERVER all 12", "$SERVER6 registers 2"],
        ("near", "far", "narrow"),
    ),
    python("snap7", "python-snap7", "tcp/102", "s7comm", ["$SERVER read 3", "$SERVER write 6", "$SERVER info 2", "$SERVER read 25"]),
    python("asyncua", "asyncua", "tcp/4840", "opcua", ["$SERVER browse 1", "$SERVER read 10", "$SERVER subscribe 5"]),
    python(
        "cpppo",
        "cpppo",
        "tcp/44818",
        "ethernetip",
        ["$SERVER SCADA[0]", "$SERVER SCADA[1]=7 SCADA[0-9]", "$SERVER SCADA[3] SCADA[5-20]", "$SERVER SCADA[0-40]"],
    ),
    python("c104", "c104", "tcp/2404", "iec104", ["$SERVER 1", "$SERVER 3"]),
    python("bacpypes3", "bacpypes3", "udp/47808", "bacnet", ["whois", "read 3", "write 2", "read 12", "write 6"]),
]
