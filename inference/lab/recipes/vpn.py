"""Tunnels: what is inside is not seen, what carries it has the label."""

from program import Program, ask, join, serve, setup

INSIDE = "ping -c 3 -i 0.2 {peer}; curl -sfS -o a http://{peer}/20k.html; curl -sfS -o a http://{peer}/200k.bin"
WEB = serve('"$PYTHON" "$HELPERS/web.py" 80', "tcp/80")
WIREGUARD = (
    "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD=1 wireguard-go wg{n} && wg set wg{n} private-key {me}.key {listen} peer $(cat {peer}.pub) "
    "allowed-ips 0.0.0.0/0 {endpoint} && ip addr add {address}/24 dev wg{n} && ip link set wg{n} up mtu 1200"
)


def openvpn(name: str, label_place: str, server: str, client: str, variants=("near", "far")) -> Program:
    """Return a recipe of OpenVPN with options for both sides."""
    return Program(
        name,
        {label_place: "openvpn"},
        version="openvpn --version",
        tools={"openvpn": "openvpn", "curl": "curl"},
        variants=variants,
        steps=[
            setup("openvpn --genkey secret static.key"),
            serve(f"openvpn --dev tun --dev-type tun --ifconfig 10.8.0.1 10.8.0.2 --cipher AES-256-CBC --keepalive 3 20 {server}", label_place),
            WEB,
            *[
                step
                for round in range(2)
                for step in (
                    join(
                        f"openvpn --dev tun --dev-type tun --ifconfig 10.8.0.2 10.8.0.1 --cipher AES-256-CBC --keepalive 3 20 {client} --writepid "
                        "$DIR/client.pid"
                    ),
                    ask("for i in $(seq 1 60); do ping -c 1 -W 1 10.8.0.1 >/dev/null && break; sleep 0.2; done; " + INSIDE.format(peer="10.8.0.1")),
                    ask("kill $(cat client.pid); sleep 0.5"),
                )
            ],
        ],
    )


PKI = "--ca $CA --cert $CERT --key $KEY --auth-nocache"

PROGRAMS = [
    Program(
        "wireguard",
        {"udp/51820": "wireguard", "udp/51821": "wireguard"},
        version="wireguard-go --version",
        variants=("near", "far", "lossy"),
        tools={"wireguard-go": "wireguard-go", "wg": "wireguard-tools", "curl": "curl"},
        steps=[
            setup("for n in a b c d; do wg genkey | tee $n.key | wg pubkey >$n.pub; done"),
            setup(WIREGUARD.format(n=0, me="a", peer="b", listen="listen-port 51820", endpoint="", address="10.9.0.1")),
            setup(WIREGUARD.format(n=1, me="c", peer="d", listen="listen-port 51821", endpoint="", address="10.9.1.1")),
            WEB,
            ask(
                WIREGUARD.format(n=0, me="b", peer="a", listen="", endpoint="endpoint $SERVER:51820", address="10.9.0.2").replace(
                    "0.0.0.0/0", "10.9.0.0/24"
                )
            ),
            ask(INSIDE.format(peer="10.9.0.1")),
            ask(
                WIREGUARD.format(
                    n=1, me="d", peer="c", listen="", endpoint="endpoint $SERVER:51821 persistent-keepalive 1", address="10.9.1.2"
                ).replace("0.0.0.0/0", "10.9.1.0/24")
            ),
            ask("ping -c 2 -i 0.2 10.9.1.1; sleep 2.5"),
        ],
    ),
    openvpn("openvpn-udp", "udp/1194", f"--port 1194 --tls-server --dh none {PKI}", f"--remote $SERVER 1194 --nobind --tls-client {PKI}"),
    openvpn(
        "openvpn-tcp",
        "tcp/1194",
        f"--port 1194 --proto tcp-server --tls-server --dh none {PKI}",
        f"--remote $SERVER 1194 --proto tcp-client --nobind --tls-client {PKI}",
    ),
    openvpn(
        "openvpn-auth",
        "udp/1194",
        f"--port 1194 --tls-server --dh none --tls-auth static.key 0 {PKI}",
        f"--remote $SERVER 1194 --nobind --tls-client --tls-auth static.key 1 {PKI}",
        variants=("near",),
    ),
    openvpn(
        "openvpn-crypt",
        "udp/1194",
        f"--port 1194 --tls-server --dh none --tls-crypt static.key {PKI}",
        f"--remote $SERVER 1194 --nobind --tls-client --tls-crypt static.key {PKI}",
        variants=("near",),
    ),
    openvpn(
        "openvpn-static", "udp/1194", "--port 1194 --secret static.key", "--remote $SERVER 1194 --nobind --secret static.key", variants=("near",)
    ),
    Program(
        "strongswan",
        {"udp/500": "ipsec", "udp/4500": "ipsec"},
        version="swanctl --version",
        tools={"swanctl": "strongswan-swanctl"},
        files={
            "server/swanctl.conf": """
connections {
    lab { version = 0
          remote_addrs = %any
          local { auth = psk
                  id = server }
          remote { auth = psk }
          children { net { local_ts = 10.50.0.1/32
                           remote_ts = 10.50.0.2/32 } } } }
secrets { ike-lab { secret = words } }
""",
            "client/swanctl.conf": """
connections {
    one { version = 2
          remote_addrs = $SERVER
          local { auth = psk
                  id = client }
          remote { auth = psk
                   id = server }
          children { net { local_ts = 10.50.0.2/32
                           remote_ts = 10.50.0.1/32 } } }
    two { version = 1
          remote_addrs = $SERVER
          local { auth = psk
                  id = client }
          remote { auth = psk
                   id = server }
          children { net2 { local_ts = 10.50.0.2/32
                           remote_ts = 10.50.0.1/32 } } }
    three { version = 2
          encap = yes
          remote_addrs = $SERVER6
          local { auth = psk
                  id = client }
          remote { auth = psk
                   id = server }
          children { net3 { local_ts = 10.50.0.2/32
                           remote_ts = 10.50.0.1/32 } } } }
secrets { ike-lab { secret = words } }
""",
        },
        steps=[
            serve("/usr/lib/ipsec/charon", "udp/500"),
            join("/usr/lib/ipsec/charon", "udp/500"),
            setup("swanctl --load-all --file server/swanctl.conf"),
            ask("swanctl --load-all --file client/swanctl.conf"),
            *[
                ask(f"swanctl --initiate --child {child} --timeout 6; swanctl --terminate --ike {ike} --timeout 4", may_fail=True)
                for child, ike in (("net", "one"), ("net2", "two"), ("net3", "three"))
            ],
        ],
    ),
    Program(
        "vxlan",
        {"udp/4789": "vxlan", "udp/8472": "vxlan"},
        version="ip -V",
        tools={"ip": "iproute2", "curl": "curl"},
        steps=[
            *[
                step
                for n, port in ((5, 4789), (6, 8472))
                for step in (
                    setup(
                        f"ip link add vx{n} type vxlan id {n} remote $CLIENT local $SERVER dstport {port} && ip addr add 10.60.{n}.1/24 dev vx{n} "
                        f"&& ip link set vx{n} up"
                    ),
                    ask(
                        f"ip link add vx{n} type vxlan id {n} remote $SERVER local $CLIENT dstport {port} && ip addr add 10.60.{n}.2/24 dev vx{n} "
                        f"&& ip link set vx{n} up"
                    ),
                )
            ],
            WEB,
            ask(INSIDE.format(peer="10.60.5.1")),
            ask("ping -c 4 -i 0.2 10.60.6.1"),
        ],
    ),
    Program(
        "microsocks",
        {"tcp/1080": "socks"},
        version="curl --version",
        tools={"microsocks": "microsocks", "curl": "curl"},
        steps=[
            serve("microsocks -i 0.0.0.0 -p 1080", "tcp/1080"),
            WEB,
            serve('"$PYTHON" "$HELPERS/web.py" 443 tls', "tcp/443"),
            ask("curl -sfS -o a --socks5 $SERVER http://$SERVER/1k.txt"),
            ask("curl -sfS -o a --socks5-hostname $SERVER http://$NAME/20k.html"),
            ask("curl -sfS -o a --cacert $CA --socks5-hostname $SERVER https://$NAME/8k.json"),
            ask("curl -sfS -o a --cacert $CA --socks5 $SERVER https://$NAME/200k.bin"),
            ask("curl -sS -o a --socks5 $SERVER http://$SERVER:81/", may_fail=True),
        ],
    ),
]
