#!/usr/bin/env bash
#
# Checks a capture against sample.csv: the sessions are exactly those of the
# list, nDPI does not contradict a label, the size is right, and nothing of
# the machine it was made on is inside. Needs tshark and ndpiReader, not root.
#
#   ./check-sample.sh [CAPTURE]

set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
capture=${1:-$here/sample.pcapng}
readonly size_limit=2000000 # bytes
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

bad=0
fault() {
  printf 'check-sample: %s\n' "$*" >&2
  bad=1
}

# shark PROTOCOL FILTER FIELD... prints fields of the packets that match,
# after the protocol's name.
shark() {
  local protocol=$1 filter=$2 field fields=()
  shift 2
  for field in "$@"; do fields+=(-e "$field"); done
  tshark -r "$capture" -Y "$filter" -T fields -E separator=, -E occurrence=f "${fields[@]}" \
    2>>"$scratch/tshark" | sed "s/^/$protocol,/"
}

# openings prints "protocol,client,server,server port,client port" once for
# each session, in the direction of its first packet.
openings() {
  local ip=(ip.src ip.dst) ipv6=(ipv6.src ipv6.dst)
  local syn='tcp.flags.syn == 1 && tcp.flags.ack == 0'
  {
    shark tcp "ip && $syn" "${ip[@]}" tcp.dstport tcp.srcport
    shark tcp "ipv6 && $syn" "${ipv6[@]}" tcp.dstport tcp.srcport
    shark udp 'ip && udp && !icmp' "${ip[@]}" udp.dstport udp.srcport
    shark udp 'ipv6 && udp && !icmpv6' "${ipv6[@]}" udp.dstport udp.srcport
    shark icmp icmp "${ip[@]}" | sed 's/$/,0,0/'
    shark icmpv6 icmpv6 "${ipv6[@]}" | sed 's/$/,0,0/'
    shark other '!(tcp || udp || icmp || icmpv6)' eth.src eth.dst eth.type | sed 's/$/,0/'
  } | awk -F, '!(($1, $2, $5, $3, $4) in seen) && !(($1, $3, $4, $2, $5) in seen) { print }
    { seen[$1, $2, $5, $3, $4] }'
}

# count_sessions counts the openings of each service.
count_sessions() { cut -d, -f1-4 | sort | uniq -c | awk '{ print $2 "," $1 }' | sort; }

# promised prints the same of sample.csv, whose rows also differ by program.
promised() {
  awk -F, 'NR > 1 { count[$1 "," $2 "," $3 "," $4] += $7 }
    END { for (service in count) print service "," count[service] }' "$here/sample.csv" | sort
}

# What nDPI may call a session of each label.
readonly names='dns DNS
dtls DTLS
http HTTP
icmp ICMP|ICMPV6
mailbox IMAP|IMAPS|POP3|POPS
message-queue MQTT|COAP
nosql-database Redis
ntp NTP
quic QUIC
sip SIP
smtp SMTP
snmp SNMP
sql-database MySQL|PostgreSQL
ssh SSH
tls TLS'

# contradicted compares what nDPI says of each flow with the list, by server
# and port; sessions of which it has no opinion are only named.
contradicted() {
  ndpiReader -q -d -i "$capture" -C "$scratch/flows.csv" >"$scratch/ndpi"
  awk -F, -v names="$names" -v list="$here/sample.csv" '
    BEGIN {
      number["tcp"] = 6; number["udp"] = 17; number["icmp"] = 1; number["icmpv6"] = 58
      for (i = split(names, line, "\n"); i > 0; i--) { split(line[i], word, " "); accepted[word[1]] = word[2] }
      getline <list
      while ((getline <list) > 0) { key = number[$1] "," $3 "," $4; label[key] = $5; silent[key] += $7 }
    }
    FNR > 1 {
      key = $2 "," $8 "," $9
      want = label[key]; silent[key]--
      split($11, said, ".")
      if (said[1] !~ "^(" accepted[want] ")$") print "flow to " $8 " port " $9 " is " want ", but nDPI says " $11
    }
    END {
      for (key in silent) if (silent[key] > 0) {
        split(key, c, ",")
        print "nDPI has no opinion on " silent[key] " to " c[2] " port " c[3] " (" label[key] ")" >"/dev/stderr"
      }
    }
  ' "$scratch/flows.csv"
}

# clues prints words of this machine that the capture contains.
clues() {
  local word
  for word in "${MACHINE:-$(uname -n)}" "$(uname -r)" "$here" "$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2-)" 'PRIVATE KEY' /run/; do
    ((${#word} < 5)) || ! grep -qaF -- "$word" "$capture" || echo "$word"
  done
}

[[ $(stat -c %s "$capture") -lt $size_limit ]] || fault "not smaller than $size_limit bytes"
diff <(promised) <(openings | count_sessions) >&2 || fault 'other sessions (>) than those of sample.csv (<)'
while read -r line; do fault "$line"; done < <(contradicted)
while read -r line; do fault "contains '$line'"; done < <(clues)
exit "$bad"
