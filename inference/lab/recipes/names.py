"""Names, addresses and time: DNS in its forms, multicast names, DHCP, NTP."""

from program import Program, ask, serve, setup

from .files import SAMBA, SAMBA_FOLDERS

DNSMASQ = serve(
    "dnsmasq -k -C /dev/null --no-hosts --no-resolv --user=root --pid-file= --log-facility=- --address=/example.net/10.1.2.3 "
    "--address=/example.net/fd00::1 "
    "--mx-host=example.org,mail.example.org,10 --txt-record=example.org,'v=spf1 -all' --srv-host=_ldap._tcp.example.org,dc.example.org,389 "
    "--ptr-record=3.2.1.10.in-addr.arpa,www.example.net --cname=alias.example.net,www.example.net",
    "udp/53",
)

UNBOUND = {
    "unbound.conf": """
server:
  username: ""
  chroot: ""
  directory: "$DIR"
  pidfile: "$DIR/unbound.pid"
  use-syslog: no
  do-daemonize: no
  interface: 0.0.0.0@53
  interface: 0.0.0.0@853
  interface: ::0@853
  interface: 0.0.0.0@443
  interface: ::0@443
  access-control: 0.0.0.0/0 allow
  access-control: ::0/0 allow
  tls-service-key: "$KEY"
  tls-service-pem: "$CERT"
  module-config: "iterator"
  local-zone: "example.org." static
  local-data: "a.example.org. A 10.1.2.3"
  local-data: "a.example.org. AAAA fd00::3"
  local-data: "b.example.org. A 10.1.2.4"
  local-data: "here.example.org. A $SERVER"
  local-data: "example.org. MX 10 mail.example.org."
  local-data: 'example.org. TXT "some words that are long enough to be a policy, and a few more of them beside"'
remote-control:
  control-enable: no
"""
}
SERVE_UNBOUND = serve("unbound -d -p -c $DIR/unbound.conf", "tcp/853")

DHCP = {"udp/67": "dhcp", "udp/68": "dhcp", "udp/546": "dhcp", "udp/547": "dhcp"}
SERVE_DHCP = serve(
    "dnsmasq -k -C /dev/null -p 0 --user=root --pid-file= --interface=eth0 --dhcp-range=10.77.0.50,10.77.0.150,1h "
    "--dhcp-range=fd77::100,fd77::200,1h --enable-ra "
    "--dhcp-leasefile=$DIR/leases --dhcp-option=option:ntp-server,$SERVER --dhcp-option=option:domain-search,example.org --dhcp-authoritative",
    "udp/67",
)
CHRONY = {"chrony.conf": "local stratum 8\nallow all\nuser root\npidfile $DIR/chrony.pid\ncmdport 0\n"}
SERVE_CHRONY = serve("chronyd -x -d -f $DIR/chrony.conf", "udp/123")

PROGRAMS = [
    Program(
        "dig",
        {"udp/53": "dns", "tcp/53": "dns"},
        version="dig -v",
        tools={"dig": "bind9-dnsutils", "dnsmasq": "dnsmasq-base"},
        variants=("near", "far", "lossy"),
        steps=[
            DNSMASQ,
            ask("dig @$SERVER www.example.net A"),
            ask("dig @$SERVER www.example.net AAAA +noedns"),
            ask("dig @$SERVER example.org MX"),
            ask("dig @$SERVER example.org TXT +dnssec"),
            ask("dig @$SERVER _ldap._tcp.example.org SRV"),
            ask("dig @$SERVER -x 10.1.2.3"),
            ask("dig @$SERVER nothing.example.com"),
            ask("dig @$SERVER +tcp mail.example.net"),
            ask("dig @$SERVER +tcp +keepopen a.example.net b.example.net c.example.net example.org MX"),
        ],
    ),
    Program(
        "resolver",
        {"udp/53": "dns", "tcp/53": "dns"},
        version="getent --version",
        tools={"dnsmasq": "dnsmasq-base", "host": "bind9-host", "nslookup": "bind9-dnsutils"},
        names=True,
        steps=[
            ask("getent ahosts $NAME"),
            ask("getent ahostsv4 $NAME"),
            ask("getent hosts nowhere.example.com", may_fail=True),
            ask("host $NAME", may_fail=True),
            ask("host -t MX example.org", may_fail=True),
            ask("nslookup -type=any $NAME", may_fail=True),
            ask('"$PYTHON" -c "import os, socket; [socket.getaddrinfo(h, 443) for h in (os.environ[\'NAME\'],) * 3]"'),
            ask("host 10.1.2.3", may_fail=True),
        ],
    ),
    Program(
        "kdig-dot",
        {"tcp/853": "doh-dot", "udp/53": "dns", "tcp/53": "dns"},
        version="kdig --version",
        tools={"kdig": "knot-dnsutils", "unbound": "unbound"},
        files=UNBOUND,
        steps=[
            SERVE_UNBOUND,
            ask("kdig @$SERVER +tls a.example.org"),
            ask("kdig @$SERVER +tls-ca=$CA +tls-hostname=$NAME a.example.org AAAA"),
            ask("kdig @$SERVER +tls +keepopen a.example.org AAAA b.example.org A example.org MX example.org TXT"),
            ask("kdig @$SERVER6 +tls +padding=128 none.example.org"),
            ask("kdig @$SERVER a.example.org"),
            ask("kdig @$SERVER +tcp b.example.org"),
            ask("kdig @$SERVER +dnssec +bufsize=4096 example.org TXT"),
        ],
    ),
    Program(
        "kdig-doh",
        {"tcp/443": "doh-dot"},
        version="kdig --version",
        tools={"kdig": "knot-dnsutils", "unbound": "unbound"},
        files=UNBOUND,
        variants=("near", "far"),
        steps=[
            SERVE_UNBOUND,
            ask("kdig @$SERVER +https a.example.org"),
            ask("kdig @$SERVER +tls-ca=$CA +tls-hostname=$NAME +https=/dns-query a.example.org AAAA"),
            ask("kdig @$SERVER +https-get +https example.org MX"),
            ask("kdig @$SERVER6 +https b.example.org example.org TXT"),
        ],
    ),
    Program(
        "curl-doh",
        {"tcp/443": "doh-dot", "tcp/80": "http"},
        version="curl --version",
        tools={"curl": "curl", "unbound": "unbound"},
        files=UNBOUND,
        variants=("near", "far"),
        steps=[
            SERVE_UNBOUND,
            serve('"$PYTHON" "$HELPERS/web.py" 80', "tcp/80"),
            *[
                ask(f"curl -sfS --cacert $CA --doh-url https://$NAME/dns-query -o a http://here.example.org/{page}")
                for page in ("1k.txt", "20k.html", "60k.png")
            ],
        ],
    ),
    Program(
        "avahi",
        {"udp/5353": "mdns"},
        version="avahi-daemon --version",
        tools={"avahi-daemon": "avahi-daemon", "dig": "bind9-dnsutils"},
        files={
            "avahi.conf": (
                "[server]\nhost-name=printer\nenable-dbus=no\nuse-ipv4=yes\nuse-ipv6=yes\n[publish]\npublish-workstation=yes\npublish-hinfo=yes\n[rlimits]\n"
            )
        },
        steps=[
            serve("avahi-daemon --no-chroot --no-drop-root --no-rlimits -f $DIR/avahi.conf", "udp/5353"),
            ask("sleep 2; dig +time=1 +tries=2 -p 5353 @224.0.0.251 printer.local A", may_fail=True),
            ask("dig +time=1 +tries=2 -p 5353 @224.0.0.251 _workstation._tcp.local PTR", may_fail=True),
            ask("dig +time=1 +tries=1 -p 5353 @$SERVER _services._dns-sd._udp.local PTR", may_fail=True),
            ask("dig +time=1 +tries=1 -p 5353 @ff02::fb%eth0 printer.local AAAA", may_fail=True),
        ],
    ),
    Program(
        "zeroconf",
        {"udp/5353": "mdns"},
        version='"$PYTHON" -c "import zeroconf; print(zeroconf.__version__)"',
        modules=["zeroconf"],
        steps=[
            serve('"$PYTHON" "$HELPERS/mdns.py" publish $SERVER _http._tcp.local. Desk Attic Cellar', "udp/5353"),
            ask('"$PYTHON" "$HELPERS/mdns.py" browse $CLIENT _http._tcp.local.'),
            ask('"$PYTHON" "$HELPERS/mdns.py" browse $CLIENT _ipp._tcp.local.'),
        ],
    ),
    Program(
        "dhclient",
        DHCP,
        version="dhclient --version",
        tools={"dhclient": "isc-dhcp-client", "dnsmasq": "dnsmasq-base"},
        steps=[
            SERVE_DHCP,
            ask("dhclient -4 -d -1 -sf /bin/true -lf $DIR/4.leases -pf $DIR/4.pid eth0 >$DIR/4.out 2>&1 & sleep 6; kill $(cat $DIR/4.pid)"),
            ask("dhclient -4 -r -d -sf /bin/true -lf $DIR/4.leases -pf $DIR/4.pid eth0", may_fail=True),
            ask("dhclient -6 -d -1 -sf /bin/true -lf $DIR/6.leases -pf $DIR/6.pid eth0 >$DIR/6.out 2>&1 & sleep 5; kill $(cat $DIR/6.pid)"),
            ask("dhclient -6 -S -d -1 -sf /bin/true -lf $DIR/7.leases -pf $DIR/7.pid eth0", may_fail=True, timeout=6),
        ],
    ),
    Program(
        "udhcpc",
        DHCP,
        version="busybox | head -1",
        tools={"busybox": "busybox", "dnsmasq": "dnsmasq-base"},
        steps=[
            SERVE_DHCP,
            ask("busybox udhcpc -f -q -n -i eth0 -s /bin/true", may_fail=True),
            ask("busybox udhcpc -f -q -n -i eth0 -s /bin/true -x hostname:desk -V vendor -O search -r 10.77.0.99", may_fail=True),
        ],
    ),
    Program(
        "chrony",
        {"udp/123": "ntp"},
        version="chronyd --version",
        tools={"chronyd": "chrony"},
        variants=("near", "far"),
        files=CHRONY,
        steps=[
            SERVE_CHRONY,  # -x and -Q: nobody touches the clock
            ask("chronyd -x -Q -t 12 'user root' 'pidfile /run/a.pid' 'port 0' 'cmdport 0' 'server $SERVER iburst'", may_fail=True),
            ask(
                "chronyd -x -Q -t 12 'user root' 'pidfile /run/a.pid' 'port 0' 'cmdport 0' \"server $SERVER iburst xleave\" \"server $SERVER6 "
                'iburst"',
                may_fail=True,
            ),
        ],
    ),
    Program(
        "ntpdig",
        {"udp/123": "ntp"},
        version="ntpdig --version",
        tools={"ntpdig": "ntpsec-ntpdig", "chronyd": "chrony"},
        files=CHRONY,
        steps=[
            SERVE_CHRONY,
            ask("ntpdig -d $SERVER"),
            ask("ntpdig -p 3 $SERVER"),
            ask("ntpdig $SERVER6"),
            ask("timeout 8 busybox ntpd -w -q -n -p $SERVER", may_fail=True),
        ],
    ),
    Program(
        "upnpc",
        {"udp/1900": "ssdp", "tcp/8200": "http"},
        version="upnpc -h 2>&1 | head -1",
        tools={"upnpc": "miniupnpc", "minidlnad": "minidlna"},
        variants=("near", "far"),
        files={
            "dlna.conf": (
                "port=8200\nnetwork_interface=eth0\nmedia_dir=$SITE\ndb_dir=$DIR/dlna\nlog_dir=$DIR\nfriendly_name=Attic\nnotify_interval=2\ninotify=no\n"
            )
        },
        steps=[
            setup("mkdir dlna"),
            serve("minidlnad -S -f $DIR/dlna.conf -P $DIR/dlna.pid", "udp/1900"),
            ask("sleep 3; timeout 8 upnpc -m eth0 -s", may_fail=True),
            ask("timeout 8 upnpc -m eth0 -l", may_fail=True),
            ask("timeout 6 upnpc -m $CLIENT -P", may_fail=True),
        ],
    ),
    Program(
        "wsdd",
        {"udp/3702": "wsd", "tcp/5357": "http:wsd"},
        version="wsdd --version",
        tools={"wsdd": "wsdd"},
        variants=("near",),
        steps=[
            serve("wsdd -i eth0 -n attic -w LAB -v", "udp/3702"),
            ask("timeout 6 wsdd -i eth0 -n desk -D -l 7777 --no-host", may_fail=True),
            ask("timeout 6 wsdd -4 -i eth0 -n cellar", may_fail=True),
        ],
    ),
    Program(
        "nmblookup",
        {"udp/137": "netbios", "udp/138": "netbios", "tcp/139": "smb", "tcp/445": "smb"},
        version="nmblookup --version",
        tools={"nmbd": "samba", "nmblookup": "samba-common-bin"},
        files=SAMBA,
        steps=[
            SAMBA_FOLDERS,
            serve("nmbd --foreground --no-process-group -s $DIR/smb.conf", "udp/137"),
            ask("mkdir -p c; sleep 1; nmblookup -s $DIR/client.conf -B 10.77.0.255 LABSERVER", may_fail=True),
            ask("nmblookup -s $DIR/client.conf -A $SERVER", may_fail=True),
            ask("nmblookup -s $DIR/client.conf -B 10.77.0.255 NOBODY", may_fail=True),
            ask("nmblookup -s $DIR/client.conf -B 10.77.0.255 -M LAB", may_fail=True),
            ask("nmblookup -s $DIR/client.conf -U $SERVER -R LABSERVER#20", may_fail=True),
        ],
    ),
]
