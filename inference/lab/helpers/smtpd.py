"""A mail server with STARTTLS on the ports given; it forgets what it gets, and refuses mail to refused@."""

import os
import ssl
import sys
import threading

from aiosmtpd.controller import Controller


class Forget:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        return "250 2.0.0 queued"


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(os.environ["CERT"], os.environ["KEY"])
for port in sys.argv[1:]:
    for address in ("0.0.0.0", "::"):
        Controller(Forget(), hostname=address, port=int(port), tls_context=context, server_hostname=os.environ["NAME"], ready_timeout=10).start()
threading.Event().wait()
