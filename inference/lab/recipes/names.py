"""Names, addresses and time: DNS in its forms, multicast names, DHCP, NTP."""

from program import Program, ask, serve

DNSMASQ = serve(
    "dnsmasq -k -C /dev/null --no-hosts --no-resolv --user=root --pid-file= --log-facility=- --address=/example.net/10.1.2.3 --address=/example.net/fd00::1 "
    "--mx-host=example.org,mail.example.org,10 --txt-record=example.org,'v=spf1 -all' --srv-host=_ldap._tcp.example.org,dc.example.org,389 "
    "--ptr-record=3.2.1.10.in-addr.arpa,www.example.net --cname=alias.example.net,www.example.net", "udp/53")

PROGRAMS = [
    Program(
        "dig", {"udp/53": "dns", "tcp/53": "dns"}, version="dig -v", tools={"dig": "bind9-dnsutils", "dnsmasq": "dnsmasq-base"},
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
        ]),
]
