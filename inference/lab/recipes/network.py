"""What keeps a network going: probes, management, accounts, logs, directories."""

from program import Program, ask, join, serve, setup

from .files import SAMBA, SAMBA_FOLDERS

SNMPD = {
    "snmpd.conf": "agentaddress udp:161,udp6:161\nrocommunity public\nrocommunity6 public\nrwcommunity private\nsysLocation Attic\nsysContact lab@example.org\n"
    "createUser lab SHA authwords AES privwords\nrouser lab priv\n"
}

PROGRAMS = [
    Program(
        "ping",
        {},
        version="ping -V",
        tools={"ping": "iputils-ping"},
        variants=("near", "far", "narrow"),
        steps=[
            ask("ping -c 4 -i 0.2 $SERVER"),
            ask("ping -c 3 -i 0.2 -s 1400 $SERVER6", may_fail=True),
            ask("ping -c 2 -W 1 10.77.0.200", may_fail=True),
        ],
    ),
    Program(
        "traceroute",
        {"udp/*": "traceroute", "tcp/80": "traceroute"},
        version="traceroute --version",
        tools={"traceroute": "traceroute"},
        variants=("near",),
        steps=[
            ask("traceroute -n -w 1 $SERVER"),
            ask("traceroute -n -w 1 -I $SERVER"),
            ask("traceroute -n -w 1 -6 $SERVER6"),
            ask("traceroute -n -w 1 -T -p 80 $SERVER"),
        ],
    ),
    Program(
        "multicast",
        {"udp/*": "other"},
        version="socat -V | sed -n 2p",
        tools={"socat": "socat"},
        variants=("near",),
        steps=[
            ask(
                "for g in 239.1.2.3 224.5.6.7 239.255.0.1; do timeout 1 socat -u UDP4-RECV:5000,ip-add-membership=$g:eth0 OPEN:/dev/null; done",
                may_fail=True,
            ),
            setup("for g in 239.7.7.7 233.1.1.1; do timeout 1 socat -u UDP4-RECV:5001,ip-add-membership=$g:eth0 OPEN:/dev/null; done", may_fail=True),
        ],
    ),
    Program(
        "snmp",
        {"udp/161": "snmp", "udp/162": "snmp"},
        version="snmpwalk -V",
        tools={"snmpd": "snmpd", "snmpwalk": "snmp"},
        files=SNMPD,
        steps=[
            serve("SNMP_PERSISTENT_DIR=$DIR/p snmpd -f -Lo -C -c $DIR/snmpd.conf -p $DIR/snmpd.pid", "udp/161"),
            ask("snmpget -v 2c -c public $SERVER 1.3.6.1.2.1.1.1.0 1.3.6.1.2.1.1.5.0"),
            ask("snmpwalk -v 1 -c public $SERVER 1.3.6.1.2.1.1"),
            ask("snmpwalk -v 2c -c public $SERVER 1.3.6.1.2.1.2.2"),
            ask("snmpbulkwalk -v 2c -c public $SERVER 1.3.6.1.2.1.4"),
            ask("snmpget -v 2c -c wrong -r 1 -t 1 $SERVER 1.3.6.1.2.1.1.1.0", may_fail=True),
            ask("snmpset -v 2c -c private $SERVER 1.3.6.1.2.1.1.6.0 s Cellar", may_fail=True),
            ask("snmpget -v 3 -u lab -l authPriv -a SHA -A authwords -x AES -X privwords $SERVER 1.3.6.1.2.1.1.3.0"),
            ask("snmpwalk -v 3 -u lab -l authPriv -a SHA -A authwords -x AES -X privwords $SERVER 1.3.6.1.2.1.1"),
            ask("snmptrap -v 2c -c public $SERVER '' 1.3.6.1.4.1.8072.2.3.0.1", may_fail=True),
            ask("snmpget -v 2c -c public udp6:[$SERVER6]:161 1.3.6.1.2.1.1.3.0", may_fail=True),
        ],
    ),
    Program(
        "freeradius",
        {"udp/1812": "radius", "udp/1813": "radius"},
        version="freeradius -v",
        tools={"freeradius": "freeradius", "radclient": "freeradius-utils"},
        files={
            "radius/radiusd.conf": """
prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = $DIR/radius
logdir = $DIR
run_dir = $DIR
pidfile = $DIR/radius.pid
log {
  destination = files
  file = $DIR/radius.log
}
thread pool {
  start_servers = 1
  max_servers = 2
}
client lab {
  ipaddr = 10.77.0.0/24
  secret = words
}
modules {
  pap {
  }
  chap {
  }
  always ok {
    rcode = ok
  }
  files {
    filename = $DIR/radius/users
  }
}
server default {
  listen {
    type = auth
    ipaddr = *
    port = 1812
  }
  listen {
    type = acct
    ipaddr = *
    port = 1813
  }
  authorize {
    files
    chap
    pap
  }
  authenticate {
    Auth-Type PAP {
      pap
    }
    Auth-Type CHAP {
      chap
    }
  }
  preacct {
    ok
  }
  accounting {
    ok
  }
}
""",
            "radius/users": 'ann Cleartext-Password := "secret"\n\tReply-Message = "Hello, Ann", Framed-IP-Address = 10.1.1.7, Session-Timeout = 3600\nbob Cleartext-Password := "other"\n',
        },
        steps=[
            serve("freeradius -f -d $DIR/radius", "udp/1812"),
            ask("echo 'User-Name=ann,User-Password=secret' | radclient $SERVER auth words"),
            ask("echo 'User-Name=ann,User-Password=wrong' | radclient $SERVER auth words", may_fail=True),
            ask(
                "echo 'User-Name=bob,CHAP-Password=other,NAS-Identifier=door,Called-Station-Id=00-11-22-33-44-55' | radclient $SERVER auth words",
                may_fail=True,
            ),
            *[
                ask(
                    f"echo 'User-Name=ann,Acct-Status-Type={kind},Acct-Session-Id=0042,NAS-IP-Address=10.77.0.2,Acct-Input-Octets=77120' | "
                    "radclient $SERVER acct words",
                    may_fail=True,
                )
                for kind in ("Start", "Interim-Update", "Stop")
            ],
        ],
    ),
    Program(
        "logger",
        {"udp/514": "syslog", "tcp/514": "syslog"},
        version="logger --version",
        tools={"logger": "bsdutils", "socat": "socat"},
        steps=[
            serve("socat -u UDP4-RECV:514 OPEN:/dev/null", "udp/514"),
            serve("socat -u TCP4-LISTEN:514,fork,reuseaddr OPEN:/dev/null", "tcp/514"),
            ask("logger -n $SERVER -P 514 -d -t sshd 'Accepted publickey for ann from 10.1.2.3 port 51100 ssh2'"),
            ask('for i in 1 2 3 4 5 6; do echo "line $i of a report"; done | logger -n $SERVER -P 514 -d -t cron -p cron.info'),
            ask("logger -n $SERVER -P 514 -d --rfc3164 -t kernel -p kern.warning 'usb 1-1: device not accepting address 7'"),
            ask("logger -n $SERVER -P 514 -T -t app 'Something happened'"),
            ask("head -30 $SITE/20k.html | logger -n $SERVER -P 514 -T --octet-count -t app"),
        ],
    ),
    Program(
        "openldap",
        {"tcp/389": "ldap", "udp/389": "ldap", "tcp/636": "tls:ldap"},
        version="ldapsearch -VV",
        tools={"slapd": "slapd", "ldapsearch": "ldap-utils"},
        files={
            "slapd.conf": """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile $DIR/slapd.pid
TLSCACertificateFile $CA
TLSCertificateFile $CERT
TLSCertificateKeyFile $KEY
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
maxsize 33554432
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw words
directory $DIR/ldap
""",
            "tree.ldif": (
                "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n\ndn: "
                "ou=people,dc=example,dc=org\nobjectClass: organizationalUnit\nou: people\n"
            )
            + "".join(
                f"\ndn: uid=u{i},ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: u{i}\ncn: Person {i}\nsn: Number{i}\nmail: "
                f"u{i}@example.org\n"
                for i in range(40)
            ),
        },
        steps=[
            setup("mkdir ldap"),
            serve("slapd -d 0 -f $DIR/slapd.conf -h 'ldap://0.0.0.0:389 ldap://[::]:389 ldaps://0.0.0.0:636'", "tcp/636"),
            ask("ldapadd -x -H ldap://$SERVER -D cn=admin,dc=example,dc=org -w words -f tree.ldif"),
            ask("ldapsearch -x -LLL -H ldap://$SERVER -b dc=example,dc=org uid=u7"),
            ask("ldapsearch -x -LLL -H ldap://$SERVER -b dc=example,dc=org -E pr=10/noprompt '(objectClass=inetOrgPerson)'"),
            ask("ldapsearch -x -LLL -H ldap://$SERVER -D cn=admin,dc=example,dc=org -w wrong", may_fail=True),
            ask("ldapwhoami -x -H ldap://$SERVER -D cn=admin,dc=example,dc=org -w words"),
            ask("ldapsearch -x -LLL -H 'ldap://['$SERVER6']' -b '' -s base '*' +"),
            ask(
                "LDAPTLS_CACERT=$CA ldapsearch -x -ZZ -LLL -H ldap://$NAME -b dc=example,dc=org cn",
            ),
            ask("LDAPTLS_CACERT=$CA ldapsearch -x -LLL -H ldaps://$NAME -b dc=example,dc=org cn sn"),
            ask("ldapdelete -x -H ldap://$SERVER -D cn=admin,dc=example,dc=org -w words uid=u3,ou=people,dc=example,dc=org"),
        ],
    ),
    Program(
        "kerberos",
        {"udp/88": "kerberos", "tcp/88": "kerberos", "udp/464": "kerberos", "tcp/464": "kerberos", "tcp/749": "kerberos"},
        version="dpkg-query -W -f 'krb5 ${Version}' krb5-kdc",
        tools={"krb5kdc": "krb5-kdc", "kadmind": "krb5-admin-server", "kinit": "krb5-user"},
        files={
            "krb5.conf": (
                "[libdefaults]\ndefault_realm = EXAMPLE.ORG\ndns_lookup_kdc = false\ndns_lookup_realm = false\nrdns = "
                "false\n[realms]\nEXAMPLE.ORG = {\n kdc = $SERVER\n admin_server = $SERVER\n kpasswd_server = $SERVER\n}\n"
            ),
            "tcp.conf": (
                "[libdefaults]\ndefault_realm = EXAMPLE.ORG\ndns_lookup_kdc = false\nudp_preference_limit = 1\n[realms]\nEXAMPLE.ORG = "
                "{\n kdc = $SERVER\n admin_server = $SERVER\n}\n"
            ),
            "kdc.conf": (
                "[kdcdefaults]\nkdc_ports = 88\nkdc_tcp_ports = 88\n[realms]\nEXAMPLE.ORG = "
                "{\n database_name = $DIR/kdb\n key_stash_file = $DIR/stash\n acl_file = $DIR/acl\n kadmind_port = 749\n default_principal_flags = +preauth\n}\n"
            ),
            "acl": "*/admin@EXAMPLE.ORG *\n",
        },
        steps=[
            setup(
                "export KRB5_CONFIG=$DIR/krb5.conf KRB5_KDC_PROFILE=$DIR/kdc.conf; kdb5_util create -s -P master -W 2>/dev/null || kdb5_util "
                "create -s -P master; "
                "for p in ann bob host/files.example.org http/www.example.org; do kadmin.local addprinc -pw words $p; done; kadmin.local "
                "addprinc -pw words root/admin",
                timeout=60,
            ),
            serve("KRB5_CONFIG=$DIR/krb5.conf KRB5_KDC_PROFILE=$DIR/kdc.conf krb5kdc -n -P $DIR/kdc.pid", "tcp/88"),
            serve("KRB5_CONFIG=$DIR/krb5.conf KRB5_KDC_PROFILE=$DIR/kdc.conf kadmind -nofork -P $DIR/kadmin.pid", "tcp/749"),
            *[
                step
                for conf in ("krb5", "tcp")
                for step in (
                    ask(
                        f"export KRB5_CONFIG=$DIR/{conf}.conf KRB5CCNAME=$DIR/{conf}.cc; echo words | kinit ann && kvno host/files.example.org "
                        "http/www.example.org"
                    ),
                    ask(f"export KRB5_CONFIG=$DIR/{conf}.conf KRB5CCNAME=$DIR/{conf}2.cc; echo wrong | kinit bob", may_fail=True),
                    ask(f"export KRB5_CONFIG=$DIR/{conf}.conf KRB5CCNAME=$DIR/{conf}3.cc; echo words | kinit nobody", may_fail=True),
                )
            ],
            ask("export KRB5_CONFIG=$DIR/krb5.conf; printf 'words\\nNewWords7\\nNewWords7\\n' | kpasswd bob", may_fail=True),
            ask("export KRB5_CONFIG=$DIR/krb5.conf; kadmin -p root/admin -w words -q listprincs", may_fail=True),
        ],
    ),
    Program(
        "bird",
        {"89": "routing", "tcp/179": "routing", "udp/520": "routing", "udp/521": "routing", "udp/3784": "routing"},
        version="bird --version",
        tools={"bird": "bird2"},
        variants=("near", "far"),
        files={
            f"{side}.conf": f"""
router id {number}.{number}.{number}.{number};
protocol device {{ }}
protocol static {{ ipv4; {routes} }}
protocol ospf v2 {{ ipv4 {{ export all; }}; area 0 {{ interface "eth0" {{ hello 1; dead 4; }}; }}; }}
protocol rip {{ ipv4 {{ export all; import all; }}; interface "eth0" {{ update time 3; }}; }}
protocol bgp {{ local ${side.upper()} as 6500{number}; neighbor ${other.upper()} as 6500{2 - number + 1}; ipv4 {{ export all; import all; }}; connect delay time 1; }}
"""
            for side, other, number, routes in (
                ("server", "client", 1, " ".join(f"route 10.101.{i}.0/24 blackhole;" for i in range(30))),
                ("client", "server", 2, "route 10.102.0.0/24 blackhole;"),
            )
        },
        steps=[
            serve("bird -f -c $DIR/server.conf -s $DIR/s.ctl -P $DIR/s.pid", "tcp/179"),
            join("bird -f -c $DIR/client.conf -s $DIR/c.ctl -P $DIR/c.pid", "tcp/179"),
            ask("sleep 10"),
        ],
    ),
    Program(
        "rpcclient",
        {"tcp/445": "smb", "tcp/135": "dcerpc", "tcp/*": "dcerpc"},
        version="rpcclient --version",
        tools={"rpcclient": "smbclient", "smbd": "samba"},
        files=SAMBA,
        variants=("near",),
        steps=[
            SAMBA_FOLDERS,
            serve("smbd --foreground --no-process-group -s $DIR/smb.conf", "tcp/445"),
            ask("mkdir -p c"),
            *[
                ask(f"rpcclient -s $DIR/client.conf -U% -c '{what}' $SERVER", may_fail=True)
                for what in ("srvinfo", "netshareenum", "enumdomusers; querydominfo", "lsaquery; lookupnames root")
            ],
        ],
    ),
    Program(
        "keepalived",
        {"112": "routing"},
        version="keepalived --version",
        tools={"keepalived": "keepalived"},
        variants=("near",),
        files={
            f"{side}.conf": f"vrrp_instance lab {{\n state BACKUP\n interface eth0\n virtual_router_id 51\n priority {priority}\n advert_int 0.5\n virtual_ipaddress {{\n 10.77.0.250/24\n }}\n}}\n"
            for side, priority in (("server", 150), ("client", 100))
        },
        steps=[
            serve("keepalived -n -l -P -f $DIR/server.conf -p $DIR/s.pid -r $DIR/sv.pid"),
            join("keepalived -n -l -P -f $DIR/client.conf -p $DIR/c.pid -r $DIR/cv.pid"),
            ask("sleep 5"),
        ],
    ),
]
