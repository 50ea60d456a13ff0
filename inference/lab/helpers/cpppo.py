"""EtherNet/IP: cpppo.py serve, or cpppo.py HOST TAG..."""

import sys

sys.path.pop(0)  # this file has the name of the package

if sys.argv[1] == "serve":
    from cpppo.server.enip.main import main

    sys.exit(main(["--address", "0.0.0.0:44818", "SCADA=INT[100]", "TAG@22/1/1=INT"]))

from cpppo.server.enip import client  # noqa: E402

sys.exit(client.main(["-a", f"{sys.argv[1]}:44818", "--print", *sys.argv[2:]]))
