# shellcheck shell=bash
# The servers of the sample, sourced by make-sample.sh: real ones, as plain
# processes in the namespace sonde-server, all of their files below $work.
# Their user is sonde wherever they do not need root.

: "${work:?}" "${client4:?}" "${client6:?}" "${server4:?}" "${server6:?}"

# serve NAME COMMAND... starts a server and remembers its process.
serve() {
  local name=$1
  shift
  (in_server "$@") >"$work/log/$name" 2>&1 </dev/null &
  servers+=($!)
}

as_sonde=(setpriv --reuid=sonde --regid=sonde --clear-groups --inh-caps=-all)

bound() {
  [[ -n $(ip netns exec sonde-server ss -Hln "--$1" "sport = :$2") ]]
}

# ready PROTOCOL PORT waits until somebody listens there.
ready() {
  until_true 20 bound "$1" "$2" || die "no server on $1 port $2"
}

start_servers() {
  local start
  for start in web mail dns remote queues nosql mariadb postgresql clock voice management; do
    "start_$start"
  done
  local port
  for port in 22 25 53 80 110 143 443 993 1883 3306 5432 6379 8080 8883; do ready tcp "$port"; done
  for port in 53 123 161 443 4433 5060 5683; do ready udp "$port"; done
}

# HTTP and HTTPS by nginx, QUIC (HTTP/3) by ngtcp2 on the same files. The
# elephant is text that compresses well in a repository.
start_web() {
  mkdir -p "$work/www/news" "$work/nginx"
  printf '<!doctype html><title>Sonde</title><link rel=stylesheet href=style.css><h1>Hello</h1><a href=news/1.html>news</a>\n' >"$work/www/index.html"
  printf 'h1 { color: teal }\n' >"$work/www/style.css"
  printf '{"items":[{"id":1,"name":"probe"},{"id":2,"name":"balloon"}]}\n' >"$work/www/items.json"
  local i
  for i in 1 2 3; do
    { printf '<!doctype html><title>News %d</title><pre>\n' "$i"; seq $((i * 300)); } >"$work/www/news/$i.html"
  done
  seq -f 'line %05.0f of a log that nobody will ever read again' 1 400 >"$work/www/log.txt"
  seq -f '%06.0f,2026-01-01T00:00:00Z,sensor,ok,21.5' 1 28000 >"$work/www/elephant.csv"

  cat >"$work/nginx.conf" <<NGINX
daemon off;
user sonde sonde;
worker_processes 1;
pid $work/nginx.pid;
error_log stderr;
events { worker_connections 64; }
http {
  types { text/html html; text/css css; text/plain txt; text/csv csv; application/json json; }
  access_log off;
  client_body_temp_path $work/nginx/body;
  proxy_temp_path $work/nginx/proxy;
  fastcgi_temp_path $work/nginx/fastcgi;
  uwsgi_temp_path $work/nginx/uwsgi;
  scgi_temp_path $work/nginx/scgi;
  root $work/www;
  gzip on;
  gzip_min_length 100;
  ssl_certificate $work/tls/server.pem;
  ssl_certificate_key $work/tls/server.key;
  server {
    listen $server4:80;
    listen [$server6]:80;
    location /secure { return 301 https://www.sonde.test/items.json; }
    location /form { return 204; }
  }
  server {
    listen $server4:443 ssl http2;
    listen [$server6]:443 ssl http2;
  }
  server {
    listen $server4:8080;
    limit_rate 160k;
  }
}
NGINX
  serve nginx nginx -e stderr -c "$work/nginx.conf"
  serve quic gtlsserver -q -d "$work/www" "$server4" 443 "$work/tls/server.key" "$work/tls/server.pem"
}

# SMTP delivers into the mailbox that IMAP and POP3 show.
start_mail() {
  local tls=(--no-requiretls --tlscert "$work/tls/server.pem" --tlskey "$work/tls/sonde.key")
  local box=(-c aiosmtpd.handlers.Mailbox "$work/mail/box")
  serve smtp4 "${as_sonde[@]}" aiosmtpd -n "${tls[@]}" -l "$server4:25" "${box[@]}"
  serve smtp6 "${as_sonde[@]}" aiosmtpd -n "${tls[@]}" -l "$server6:25" "${box[@]}"
  mkdir -p "$work/dovecot"
  cat >"$work/dovecot.conf" <<DOVECOT
protocols = imap pop3
listen = $server4, $server6
base_dir = $work/dovecot/run
state_dir = $work/dovecot/state
log_path = /dev/stderr
login_greeting = ready
ssl = yes
ssl_cert = <$work/tls/server.pem
ssl_key = <$work/tls/server.key
disable_plaintext_auth = no
auth_mechanisms = plain cram-md5
first_valid_uid = 1
mail_location = maildir:$work/mail/box
passdb {
  driver = static
  args = password=sample
}
userdb {
  driver = static
  args = uid=sonde gid=sonde home=$work/home
}
DOVECOT
  serve dovecot dovecot -F -c "$work/dovecot.conf"
}

start_dns() {
  serve dnsmasq dnsmasq --keep-in-foreground --log-facility=- --conf-file=/dev/null --user=sonde \
    --pid-file= --no-resolv --no-hosts --bind-interfaces --except-interface=lo --local=/sonde.test/ \
    --listen-address="$server4" --listen-address="$server6" --local-ttl=300 \
    --host-record="www.sonde.test,$server4,$server6" --host-record="mail.sonde.test,$server4" \
    --cname=web.sonde.test,www.sonde.test --mx-host=sonde.test,mail.sonde.test,10 \
    --txt-record=sonde.test,'v=spf1 mx -all' --srv-host=_sip._udp.sonde.test,www.sonde.test,5060
}

start_remote() {
  ssh-keygen -q -t ed25519 -N '' -C sample -f "$work/host_key"
  ssh-keygen -q -t ed25519 -N '' -C sample -f "$work/user_key"
  install -o sonde -g sonde -m 600 "$work/user_key.pub" "$work/home/.ssh/authorized_keys"
  seq -f 'line %g' 1 2500 >"$work/home/notes.txt"
  cat >"$work/sshd.conf" <<SSHD
ListenAddress $server4
ListenAddress $server6
HostKey $work/host_key
PidFile none
UsePAM no
UseDNS no
StrictModes no
PasswordAuthentication no
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
SSHD
  serve sshd /usr/sbin/sshd -D -e -f "$work/sshd.conf"
}

start_queues() {
  install -o sonde -g sonde -m 600 "$work/tls/server.key" "$work/tls/mosquitto.key"
  cat >"$work/mosquitto.conf" <<MOSQUITTO
user sonde
persistence false
allow_anonymous true
log_dest stderr
log_type all
listener 1883 $server4
listener 1883 $server6
listener 8883 $server4
certfile $work/tls/server.pem
keyfile $work/tls/mosquitto.key
MOSQUITTO
  serve mosquitto mosquitto -c "$work/mosquitto.conf"
  serve coap coap-server-notls -A "$server4" -p 5683
}

start_nosql() {
  serve redis "${as_sonde[@]}" redis-server --bind "$server4" "$server6" --port 6379 \
    --protected-mode no --save '' --appendonly no --dir "$work/home"
}

start_mariadb() {
  local place=(--no-defaults --user=sonde --datadir="$work/mariadb" --innodb-log-file-size=8M)
  mariadb-install-db "${place[@]}" --auth-root-authentication-method=normal \
    --skip-test-db --skip-log-bin >"$work/log/mariadb-install" 2>&1
  printf '%s;\n' 'CREATE DATABASE sample' "CREATE USER sonde IDENTIFIED BY 'sample'" \
    'GRANT ALL ON sample.* TO sonde' >"$work/mariadb.sql"
  serve mariadb mariadbd "${place[@]}" --init-file="$work/mariadb.sql" --skip-name-resolve \
    --bind-address="$server4,$server6" --port=3306 --socket="$work/mariadb/socket" --pid-file="$work/mariadb/pid"
}

start_postgresql() {
  local bin
  bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  install -d -o sonde -g sonde -m 700 "$work/postgresql"
  echo sample >"$work/postgresql.password"
  "${as_sonde[@]}" "$bin/initdb" -D "$work/postgresql" -U sonde -A scram-sha-256 -N \
    --pwfile="$work/postgresql.password" --locale=C.UTF-8 >"$work/log/initdb" 2>&1
  printf 'host all all %s scram-sha-256\n' "$client4/32" "$client6/128" >"$work/postgresql/pg_hba.conf"
  serve postgresql "${as_sonde[@]}" "$bin/postgres" -D "$work/postgresql" -F \
    -c "listen_addresses=$server4,$server6" -c unix_socket_directories= -c ssl=on \
    -c "ssl_cert_file=$work/tls/server.pem" -c "ssl_key_file=$work/tls/sonde.key"
}

# The clock is only shown, never set (-x).
start_clock() {
  serve chronyd chronyd -d -x -u root 'local stratum 3' allow "bindaddress $server4" "bindaddress $server6" \
    'cmdport 0' 'bindcmdaddress /' 'pidfile /run/chrony/server.pid'
}

start_voice() {
  serve sipp sipp -sn uas -i "$server4" -p 5060 -nostdin
  serve dtls gnutls-serv --udp --echo --quiet -p 4433 \
    --x509certfile="$work/tls/server.pem" --x509keyfile="$work/tls/server.key"
}

# What SNMP would tell of this machine is set to other words or hidden.
start_management() {
  cat >"$work/snmpd.conf" <<SNMPD
view sample included .1.3.6.1.2.1.1
rocommunity public default -V sample
rocommunity6 public default -V sample
sysDescr Sonde sample server
sysName server.sonde.test
sysLocation nowhere
sysContact nobody
SNMPD
  serve snmpd env SNMP_PERSISTENT_DIR="$work/home" MIBS= snmpd -f -Lo -C -c "$work/snmpd.conf" \
    "udp:$server4:161" "udp6:[$server6]:161"
}
