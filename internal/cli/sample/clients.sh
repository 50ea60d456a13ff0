# shellcheck shell=bash
# The clients of the sample, sourced by make-sample.sh. What they do here is
# what sample.csv promises: change both together.

: "${work:?}" "${client4:?}" "${server4:?}" "${server6:?}"

# run COMMAND... runs a client, which must succeed within 30 s.
run() {
  if ! (in_client timeout --foreground 30 "$@") >>"$work/log/clients" 2>&1; then
    die "client failed: $*"
  fi
}

# refused EXIT-CODE COMMAND... runs a client that must fail just so.
refused() {
  local want=$1 code=0
  shift
  (in_client timeout --foreground 30 "$@") >>"$work/log/clients" 2>&1 || code=$?
  ((code == want)) || die "client ended with $code instead of $want: $*"
}

run_clients() {
  local elephant
  browse_elephant &
  elephant=$!
  local walk
  for walk in ping dns browse secure quic mail remote queues nosql mariadb postgresql clock voice management; do
    "use_$walk"
  done
  wait "$elephant" || die 'the elephant did not arrive'
}

curl=(curl --silent --show-error --fail --output /dev/null)
tls=(--cacert "$work/tls/ca.pem")

# One large download over the whole time, among all the others.
browse_elephant() {
  run "${curl[@]}" http://www.sonde.test:8080/elephant.csv
}

use_ping() {
  run ping -n -c 4 -i 0.2 "$server4"
  run ping -n -c 2 -i 0.2 -s 1200 "$server4"
  run ping -n -6 -c 4 -i 0.2 "$server6"
}

use_dns() {
  local question
  for question in 'A www' 'AAAA www' 'A web' 'A mail' 'SRV _sip._udp' 'A nosuchname'; do
    run dig "@$server4" -t "${question% *}" "${question#* }.sonde.test"
  done
  run dig "@$server4" -t MX sonde.test
  run dig "@$server4" -x "$server4"
  run dig "@$server4" +tcp -t TXT sonde.test
  run dig "@$server6" -t AAAA www.sonde.test
  run dig "@$server6" -t A www.sonde.test
}

use_browse() {
  local web=http://www.sonde.test
  run "${curl[@]}" "$web/"
  run "${curl[@]}" --compressed "$web/" -o /dev/null "$web/style.css" -o /dev/null "$web/items.json"
  run "${curl[@]}" --head "$web/log.txt"
  run "${curl[@]}" --range 100-2000 "$web/log.txt"
  run "${curl[@]}" --data 'name=probe&height=30000' "$web/form"
  run "${curl[@]}" --user-agent 'sample/1.0' --http1.0 "$web/news/3.html"
  refused 22 "${curl[@]}" "$web/nothing-here"
  run "${curl[@]}" http://www6.sonde.test/news/2.html
  run "${curl[@]}" http://www6.sonde.test/items.json
  run wget --quiet --output-document=/dev/null "$web/news/1.html" "$web/news/2.html" "$web/log.txt"
  refused 7 "${curl[@]}" "http://$server4:81/"
  refused 7 "${curl[@]}" "http://[$server6]:81/"
}

use_secure() {
  local web=https://www.sonde.test
  run "${curl[@]}" "${tls[@]}" "$web/"
  run "${curl[@]}" "${tls[@]}" "$web/log.txt" -o /dev/null "$web/news/1.html"
  run "${curl[@]}" "${tls[@]}" --http1.1 --tls-max 1.2 "$web/items.json"
  run "${curl[@]}" "${tls[@]}" --location http://www.sonde.test/secure
  run "${curl[@]}" "${tls[@]}" https://www6.sonde.test/news/3.html
  run wget --quiet --ca-certificate="$work/tls/ca.pem" --output-document=/dev/null "$web/news/2.html"
  refused 60 "${curl[@]}" "$web/" # does not know the authority: ends with an alert
}

use_quic() {
  local page
  for page in index.html log.txt; do
    run gtlsclient -q --no-quic-dump --no-http-dump --exit-on-all-streams-close \
      www.sonde.test 443 "https://www.sonde.test/$page"
  done
}

use_mail() {
  local swaks=(swaks --from ann@sonde.test --to bob@sonde.test)
  run "${swaks[@]}" --server mail.sonde.test --header 'Subject: launch' --body 'The balloon is up.'
  run "${swaks[@]}" --server mail.sonde.test --header 'Subject: log' --body "$(seq 1 800)"
  run "${swaks[@]}" --server mail.sonde.test --tls --header 'Subject: secret' --body 'Nobody sees this.'
  printf 'From: ann@sonde.test\nTo: bob@sonde.test\nSubject: curl\n\nSent by curl.\n' >"$work/letter"
  local server
  for server in mail mail6; do
    run "${curl[@]}" --url "smtp://$server.sonde.test" --mail-from ann@sonde.test \
      --mail-rcpt bob@sonde.test --upload-file "$work/letter"
  done

  local box=(--user sonde:sample)
  run "${curl[@]}" "${box[@]}" --login-options AUTH=PLAIN imap://mail.sonde.test/
  run "${curl[@]}" "${box[@]}" --login-options AUTH=CRAM-MD5 'imap://mail.sonde.test/INBOX;MAILINDEX=1'
  run "${curl[@]}" "${box[@]}" imap://mail6.sonde.test/INBOX -X 'FETCH 1:* (FLAGS ENVELOPE)'
  run "${curl[@]}" "${box[@]}" --login-options AUTH=PLAIN pop3://mail.sonde.test/
  run "${curl[@]}" "${box[@]}" pop3://mail.sonde.test/2
  run "${curl[@]}" "${box[@]}" "${tls[@]}" 'imaps://mail.sonde.test/INBOX;MAILINDEX=2'
}

use_remote() {
  { printf '%s ' www.sonde.test,www6.sonde.test; cat "$work/host_key.pub"; } >"$work/known_hosts"
  local options=(-F none -o "UserKnownHostsFile=$work/known_hosts" -o BatchMode=yes -o IdentitiesOnly=yes)
  local key=(-i "$work/user_key")
  run ssh "${options[@]}" "${key[@]}" sonde@www.sonde.test 'echo hello; ls'
  run ssh "${options[@]}" "${key[@]}" sonde@www.sonde.test 'for i in 1 2 3 4 5; do echo $i; sleep 0.2; done'
  run ssh "${options[@]}" "${key[@]}" sonde@www6.sonde.test 'wc notes.txt'
  run scp -q "${options[@]}" "${key[@]}" sonde@www.sonde.test:notes.txt "$work/notes.txt"
  refused 255 ssh "${options[@]}" -i /dev/null sonde@www.sonde.test true
}

use_queues() {
  local listener i
  (run mosquitto_sub -h "$server4" -i watcher -t 'balloon/#' -C 4) &
  listener=$!
  until_true 5 grep -q 'Sending SUBACK to watcher' "$work/log/mosquitto" || die 'no subscriber'
  for i in 1 2; do
    run mosquitto_pub -h "$server4" -i "probe-$i" -q "$i" -t "balloon/$i/height" -m "$((i * 10000))"
  done
  run mosquitto_pub -h "$server6" -i probe-6 -t balloon/6/height -m 31000
  run mosquitto_pub -h www.sonde.test -p 8883 --cafile "$work/tls/ca.pem" -i probe-9 -t balloon/9/height -m 9000
  wait "$listener" || die 'the subscriber did not hear all'

  run coap-client-notls -m get "coap://$server4/.well-known/core"
  run coap-client-notls -m get "coap://$server4/time"
}

use_nosql() {
  run redis-cli -h "$server4" PING
  printf '%s\r\n' 'SET height 30000' 'INCR height' 'GET height' 'LPUSH log up higher burst down' 'LRANGE log 0 -1' \
    'HSET probe name sonde mass 250' 'HGETALL probe' 'EXPIRE height 60' 'TTL height' >"$work/commands"
  # shellcheck disable=SC2016 # expanded by the inner shell
  run sh -c 'redis-cli -h "$1" --pipe <"$2"' redis "$server4" "$work/commands"
  run redis-cli -h "$server4" -r 3 -i 0.1 INCRBY height 500
  run redis-cli -h "$server6" -3 LRANGE log 0 1
  run redis-cli -h "$server4" LPUSH height 1 # of the wrong type
}

use_mariadb() {
  local mariadb=(mariadb --no-defaults --user=sonde --password=sample --protocol=tcp --database=sample)
  run "${mariadb[@]}" --host="$server4" --execute='CREATE TABLE flight (id INT PRIMARY KEY, height INT, place VARCHAR(40));
    INSERT INTO flight VALUES (1, 100, "meadow"), (2, 31000, "sky"), (3, 0, "tree"); SELECT * FROM flight'
  run "${mariadb[@]}" --host="$server4" --execute='SELECT COUNT(*), MAX(height) FROM flight; SHOW TABLES'
  run "${mariadb[@]}" --host="$server6" --execute='SELECT place FROM flight ORDER BY height DESC'
  refused 1 "${mariadb[@]}" --host="$server4" --password=wrong --execute='SELECT 1'
}

use_postgresql() {
  local psql=(env PGPASSWORD=sample psql --no-psqlrc --quiet)
  local plain='user=sonde dbname=postgres sslmode=disable'
  run "${psql[@]}" "host=$server4 $plain" --command='CREATE TABLE flight (id INT PRIMARY KEY, height INT)' \
    --command='INSERT INTO flight SELECT i, i * 100 FROM generate_series(1, 200) i' --command='SELECT * FROM flight'
  run "${psql[@]}" "host=$server4 $plain" --command='SELECT count(*), max(height) FROM flight'
  run "${psql[@]}" "host=$server6 $plain" --command="COPY flight TO STDOUT"
  run "${psql[@]}" "host=$server4 user=sonde dbname=postgres sslmode=require" --command='TABLE flight LIMIT 10'
}

use_clock() {
  run chronyd -Q -x -u root -t 20 "server $server4 iburst maxsamples 4" 'acquisitionport 123' \
    'cmdport 0' 'bindcmdaddress /' 'pidfile /run/chrony/client.pid'
  run ntpdig "$server4"
  run ntpdig -6 "$server6"
}

use_voice() {
  run sipp -sn uac -i "$client4" -p 5060 -m 2 -r 1 -d 300 -nostdin "$server4:5060"
  # shellcheck disable=SC2016 # expanded by the inner shell
  run sh -c 'printf "over and out\n" | gnutls-cli --udp --logfile=/dev/null --x509cafile="$1" -p 4433 www.sonde.test' dtls "$work/tls/ca.pem"
}

use_management() {
  local snmp=(-v2c -c public -m '' -M "$work/home")
  run snmpget "${snmp[@]}" "$server4" .1.3.6.1.2.1.1.5.0 .1.3.6.1.2.1.1.3.0
  run snmpbulkwalk "${snmp[@]}" "$server4" .1.3.6.1.2.1.1
  run snmpget "${snmp[@]}" "udp6:[$server6]" .1.3.6.1.2.1.1.1.0
}
