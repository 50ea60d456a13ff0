#!/bin/bash
# Cuts captures.pcapng out of the sample capture: sessions of every protocol in it, but of long ones only the shortest.
# Afterwards: go test ./internal/cli -run TestGolden -update
set -euo pipefail
cd "$(dirname "$0")"
tshark -r ../../sample/sample.pcapng -w captures.pcapng \
  -Y 'ipv6 || icmp || (udp && udp.port != 443) || udp.stream == 10 || tcp.port in {110, 143, 8883}'
