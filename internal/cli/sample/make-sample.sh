#!/usr/bin/env bash
#
# Makes sample.pcapng: real programs talk to real servers over a pair of
# network namespaces, and one capture at the client's end hears them.
#
#   sudo ./make-sample.sh             make sample.pcapng beside this script
#   sudo ./make-sample.sh --install   first install what is missing (Debian)
#
# Everything happens inside private mount, UTS, IPC, PID and network
# namespaces, with a tmpfs over /run as the only place that is written to. So
# the kernel itself takes away processes, links, keys and files when the
# script ends, however it ends, and no packet can reach any other address.

# shellcheck source-path=SCRIPTDIR
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

readonly time_limit=300 # seconds until everything is killed
readonly work=/run/sonde-sample

readonly client4=10.77.0.1 client6=fd77::1
readonly server4=10.77.0.2 server6=fd77::2

# What must be there, each command with the Debian package that has it.
readonly needed='
aiosmtpd            python3-aiosmtpd
chronyd             chrony
coap-server-notls   libcoap3-bin
curl                curl
dig                 bind9-dnsutils
dnsmasq             dnsmasq-base
dovecot             dovecot-imapd
ethtool             ethtool
gnutls-serv         gnutls-bin
gtlsclient          ngtcp2-client
gtlsserver          ngtcp2-server
hostname            hostname
ip                  iproute2
mariadb             mariadb-client-core
mariadbd            mariadb-server-core
mosquitto           mosquitto
mosquitto_pub       mosquitto-clients
ndpiReader          libndpi-bin
nginx               nginx-light
ntpdig              ntpsec-ntpdig
openssl             openssl
ping                iputils-ping
psql                postgresql
python3             python3-minimal
redis-cli           redis-tools
redis-server        redis-server
setpriv             util-linux
sipp                sip-tester
snmpd               snmpd
snmpget             snmp
ssh                 openssh-client
sshd                openssh-server
swaks               swaks
sysctl              procps
tcpdump             tcpdump
tshark              tshark
wget                wget
'

die() {
  printf 'make-sample: %s\n' "$*" >&2
  exit 1
}

say() { printf 'make-sample: %s\n' "$*"; }

# missing_packages prints the packages whose command is not to be found, and
# those that have no command of their own.
missing_packages() {
  local command package
  while read -r command package; do
    [[ -z $command ]] || command -v "$command" >/dev/null || echo "$package"
  done <<<"$needed"
  [[ -x /usr/lib/dovecot/pop3 ]] || echo dovecot-pop3d
  perl -MNet::SSLeay -e 1 2>/dev/null || echo libnet-ssleay-perl # swaks --tls
}

# install_packages keeps the packages from starting servers of their own.
install_packages() {
  local policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    # shellcheck disable=SC2064 # the path is known now
    trap "rm -f $policy" EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# outside checks what is needed and goes on inside of the namespaces, with an
# empty environment: no proxy, no locale and no name of the caller's leaks in.
outside() {
  local install=no missing
  export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  case ${1-} in
    '') ;;
    --install) install=yes ;;
    -h | --help)
      sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) die "unknown argument '$1' (see --help)" ;;
  esac
  ((EUID == 0)) || die 'must be run by root: it makes network namespaces (try: sudo)'

  mapfile -t missing < <(missing_packages | sort -u)
  if ((${#missing[@]} > 0)); then
    if [[ $install == no ]]; then
      say 'these Debian packages are missing; install them (or use --install) with'
      die "apt-get install --no-install-recommends ${missing[*]}"
    fi
    (install_packages "${missing[@]}")
  fi

  exec env -i PATH="$PATH" HOME="$work/home" LC_ALL=C.UTF-8 TZ=UTC MACHINE="$(uname -n)" \
    timeout --signal=KILL "$time_limit" \
    setpriv --pdeathsig KILL unshare --mount --propagation private --uts --ipc --net \
    --pid --fork --kill-child --mount-proc \
    bash "$here/make-sample.sh" --inside
}

# prepare makes the private file system: the work folder, one unprivileged
# user, names, and a throw-away certificate authority.
prepare() {
  mount -t tmpfs -o mode=755 sonde-sample /run
  mkdir -p "$work"/{home/.ssh,log,etc,tls,www,mail} /run/{netns,sshd,chrony}
  umask 022

  { cat /etc/passwd; echo "sonde:x:7777:7777:Sonde:$work/home:/bin/sh"; } >"$work/etc/passwd"
  { cat /etc/group; echo 'sonde:x:7777:'; } >"$work/etc/group"
  { echo 'root:*:20000::::::'; echo 'sonde:*:20000::::::'; } >"$work/etc/shadow"
  chmod 600 "$work/etc/shadow"
  cat >"$work/etc/hosts" <<HOSTS
127.0.0.1 localhost
::1 localhost
$client4 client.sonde.test
$client6 client6.sonde.test
$server4 www.sonde.test mail.sonde.test server.sonde.test
$server6 www6.sonde.test mail6.sonde.test
HOSTS
  local file
  for file in passwd group shadow hosts; do
    mount --bind "$work/etc/$file" "/etc/$file"
  done

  cd "$work/tls"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
    -subj '/O=Sonde sample/CN=Sonde sample root' -keyout ca.key -out ca.pem 2>openssl.log
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -subj '/O=Sonde sample/CN=www.sonde.test' -keyout server.key -out server.csr 2>>openssl.log
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 30 -out server.pem \
    -extfile <(echo 'subjectAltName=DNS:*.sonde.test,DNS:sonde.test') 2>>openssl.log
  chmod 600 server.key
  install -o sonde -g sonde -m 600 server.key sonde.key
  cd "$work"
  chown -R sonde:sonde "$work/home" "$work/mail"
}

# plug SIDE LINK MAC IPV4 IPV6 PEER-MAC PEER-IPV4 PEER-IPV6 sets up one end.
# Offloads are off, so that the capture shows packets as they would be on a
# wire, with good checksums. Neighbours are static and multicast is off: no
# ARP, neighbour discovery or group reports in between.
plug() {
  local at=(ip netns exec "sonde-$1") link=$2
  "${at[@]}" sysctl -q net.ipv6.conf.all.disable_ipv6=0 "net.ipv6.conf.$link.accept_ra=0" \
    net.ipv4.ip_unprivileged_port_start=0 net.ipv4.tcp_no_metrics_save=1
  "${at[@]}" ethtool -K "$link" tx off rx off tso off gso off gro off sg off >/dev/null
  "${at[@]}" ip link set lo up
  "${at[@]}" ip link set dev "$link" address "$3" addrgenmode none multicast off up
  "${at[@]}" ip address add "$4/24" dev "$link"
  "${at[@]}" ip address add "$5/64" dev "$link" nodad
  "${at[@]}" ip neighbour add "$7" lladdr "$6" dev "$link" nud permanent
  "${at[@]}" ip neighbour add "$8" lladdr "$6" dev "$link" nud permanent
}

connect() {
  local client=(02:00:00:77:00:01 "$client4" "$client6") server=(02:00:00:77:00:02 "$server4" "$server6")
  ip netns add sonde-client
  ip netns add sonde-server
  ip link add sonde0 netns sonde-client type veth peer name sonde1 netns sonde-server
  plug client sonde0 "${client[@]}" "${server[@]}"
  plug server sonde1 "${server[@]}" "${client[@]}"
  hostname server.sonde.test
}

# in_server and in_client run a command in one of the two namespaces; the
# client's has a host name of its own.
in_server() { exec ip netns exec sonde-server "$@"; }
in_client() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  exec ip netns exec sonde-client unshare --uts \
    bash -c 'hostname client.sonde.test; exec "$@"' client "$@"
}

# until_true waits, for at most $1 seconds, for a command to succeed.
until_true() {
  local tries=$(($1 * 20))
  shift
  while ! "$@"; do
    ((tries-- > 0)) || return 1
    sleep 0.05
  done
}

gone() { ! kill -0 "$1" 2>/dev/null; }

# stop ends one process of ours by its number: first asked, then made.
stop() {
  local pid=$1 signal=${2:-TERM}
  kill -s "$signal" "$pid" 2>/dev/null || return 0
  until_true 5 gone "$pid" || kill -s KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

declare -a servers=()
capture=

stop_all() {
  local code=$? i
  trap - EXIT
  [[ -z $capture ]] || stop "$capture" INT
  for ((i = ${#servers[@]} - 1; i >= 0; i--)); do stop "${servers[i]}"; done
  if ((code != 0)); then
    tail -n 15 "$work"/log/* >&2 2>/dev/null || true
    printf 'make-sample: failed, nothing was written\n' >&2
  fi
  exit "$code"
}

heard() { grep -q 'listening on' "$work/log/tcpdump"; }

start_capture() {
  (in_client tcpdump -i sonde0 -s 0 -n --immediate-mode -U -B 8192 -Z root \
    --time-stamp-precision=nano -w "$work/raw.pcap") 2>"$work/log/tcpdump" &
  capture=$!
  until_true 10 heard || die 'the capture did not start'
}

# end_capture waits for silence, so that late packets are in the file.
end_capture() {
  local size=-1 now
  while now=$(stat -c %s "$work/raw.pcap"); [[ $now != "$size" ]]; do
    size=$now
    sleep 1
  done
  stop "$capture" INT
  capture=
  grep -q '^0 packets dropped by kernel' "$work/log/tcpdump" || die 'the kernel dropped packets'
}

inside() {
  # A tmpfs will cover /run, and what is below it could not be found again.
  [[ $here != /run/* ]] || die 'cannot run from a folder below /run'
  trap stop_all EXIT
  trap 'exit 130' INT TERM HUP
  prepare
  connect
  # shellcheck source=servers.sh
  source "$here/servers.sh"
  # shellcheck source=clients.sh
  source "$here/clients.sh"
  say 'starting the servers'
  start_servers
  start_capture
  say 'running the clients'
  run_clients
  end_capture
  python3 "$here/to-pcapng.py" "$work/raw.pcap" "$work/sample.pcapng"
  say 'checking'
  TMPDIR=$work "$here/check-sample.sh" "$work/sample.pcapng" || die 'the capture is not as sample.csv says'
  install -m 644 "$work/sample.pcapng" "$here/sample.pcapng"
  cd "$here"
  capinfos -c -d -s -u sample.pcapng
  tshark -r sample.pcapng -q -z conv,tcp -z conv,udp 2>"$work/log/tshark"
}

case ${1-} in
  --inside) inside ;;
  *) outside "$@" ;;
esac
