"""BitTorrent with libtorrent: torrent.py seed, or torrent.py FILE tcp|utp|encrypted, which gets a file of $SITE from $SERVER."""

import os
import sys
import time
from pathlib import Path

import libtorrent as lt

SITE = Path(os.environ["SITE"])


def torrent(name: str) -> lt.torrent_info:
    storage = lt.file_storage()
    lt.add_files(storage, str(SITE / name))
    made = lt.create_torrent(storage, piece_size=16384)
    lt.set_piece_hashes(made, str(SITE))
    return lt.torrent_info(made.generate())


def session(port: int, how: str) -> lt.session:
    settings = {
        "listen_interfaces": f"0.0.0.0:{port}",
        "enable_dht": True,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "dht_bootstrap_nodes": "",
        "allow_multiple_connections_per_ip": True,
        "alert_mask": 0,
    }
    if how == "tcp":
        settings |= {"enable_outgoing_utp": False}
    elif how == "utp":
        settings |= {"enable_outgoing_tcp": False}
    elif how == "encrypted":
        settings |= {"out_enc_policy": 0, "allowed_enc_level": 2, "enable_outgoing_utp": False}
    return lt.session(settings)


if sys.argv[1] == "seed":
    s = session(6881, "")
    for name in ("20k.html", "60k.png", "200k.bin", "700k.bin"):
        s.add_torrent({"ti": torrent(name), "save_path": str(SITE), "flags": lt.torrent_flags.seed_mode})
    while True:
        time.sleep(1)

s = session(7000 + os.getpid() % 900, sys.argv[2])
target = Path(os.environ["DIR"]) / f"got-{os.getpid()}"
handle = s.add_torrent({"ti": torrent(sys.argv[1]), "save_path": str(target)})
s.add_dht_node((os.environ["SERVER"], 6881))
end = time.monotonic() + 25
while not handle.status().is_seeding:
    if time.monotonic() > end:
        sys.exit("not got in time")
    handle.connect_peer((os.environ["SERVER"], 6881))
    time.sleep(0.3)
time.sleep(0.5)
