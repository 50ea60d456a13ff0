"""Multicast DNS with zeroconf: mdns.py publish|browse ADDRESS TYPE [NAME...]."""

import socket
import sys
import threading
import time

from zeroconf import ServiceBrowser, ServiceInfo, ServiceListener, Zeroconf


class Found(ServiceListener):
    def add_service(self, zc, kind, name):
        print(zc.get_service_info(kind, name))

    def update_service(self, zc, kind, name):
        pass

    def remove_service(self, zc, kind, name):
        pass


what, address, kind, *names = sys.argv[1:]
zc = Zeroconf(interfaces=[address])
for i, name in enumerate(names):
    zc.register_service(
        ServiceInfo(
            kind,
            f"{name}.{kind}",
            addresses=[socket.inet_aton(address)],
            port=8000 + i,
            properties={"path": f"/{name}", "version": "2"},
            server=f"{name}.local.",
        )
    )
if what == "publish":
    threading.Event().wait()
ServiceBrowser(zc, kind, Found())
time.sleep(2)
zc.close()
