"""Voice and pictures: signalling, media, and the way through NAT."""

from program import Program, ask, serve

FFMPEG = "ffmpeg -nostdin -hide_banner -loglevel error -re"
TONE = "-f lavfi -i sine=frequency=440:duration=4"
MEDIA = {"udp/5004": "rtp", "udp/5005": "rtp", "udp/5006": "rtp", "udp/5007": "rtp", "udp/5008": "rtp", "udp/5009": "rtp"}

PROGRAMS = [
    Program(
        "sipp",
        {"udp/5060": "sip", "tcp/5060": "sip", "udp/*": "rtp"},
        version="sipp -v",
        tools={"sipp": "sip-tester"},
        steps=[
            serve("TERM=dumb sipp -sn uas -i $SERVER -p 5060 -mp 20000 -rtp_echo -nostdin >/dev/null", "udp/5060"),
            ask("TERM=dumb sipp -sn uac -i $CLIENT -p 5061 -mp 30000 -m 1 -d 300 -nostdin $SERVER:5060 >/dev/null"),
            ask("TERM=dumb sipp -sn uac -i $CLIENT -p 5062 -mp 30010 -m 5 -r 5 -d 500 -s alice -nostdin $SERVER:5060 >/dev/null"),
            ask("TERM=dumb sipp -sn uac -i $CLIENT -p 5063 -mp 30020 -m 3 -r 2 -d 200 -s bob -nostdin $SERVER:5060 >/dev/null"),
        ],
    ),
    Program(
        "ffmpeg-rtp",
        MEDIA,
        version="ffmpeg -version",
        tools={"ffmpeg": "ffmpeg"},
        steps=[
            # Somebody has to take the packets, or each is answered by ICMP.
            *[serve(f"socat -u UDP-RECV:{port},reuseaddr OPEN:/dev/null", f"udp/{port}") for port in range(5004, 5010)],
            ask(f"{FFMPEG} {TONE} -c:a pcm_mulaw -ar 8000 -f rtp rtp://$SERVER:5004"),
            ask(f"{FFMPEG} {TONE} -c:a libopus -ar 48000 -b:a 24k -f rtp rtp://$SERVER:5006"),
            ask(f"{FFMPEG} -f lavfi -i testsrc=size=320x240:rate=15:duration=3 -c:v libx264 -preset ultrafast -g 15 -f rtp rtp://$SERVER:5008"),
        ],
    ),
    Program(
        "ffmpeg-rtsp",
        {"tcp/8554": "rtsp", "udp/*": "rtp"},
        version="ffmpeg -version",
        tools={"ffmpeg": "ffmpeg"},
        steps=[
            serve("for i in 1 2; do ffmpeg -nostdin -loglevel error -rtsp_flags listen -i rtsp://$SERVER:8554/live -f null - ; done", "tcp/8554"),
            ask(f"{FFMPEG} {TONE} -c:a pcm_alaw -ar 8000 -f rtsp -rtsp_transport tcp rtsp://$SERVER:8554/live", may_fail=True),
            ask(
                f"sleep 1; {FFMPEG} -f lavfi -i testsrc=size=160x120:rate=10:duration=3 -c:v libx264 -preset ultrafast -f rtsp -rtsp_transport "
                "udp rtsp://$SERVER:8554/live",
                may_fail=True,
            ),
        ],
    ),
    Program(
        "coturn",
        {"udp/3478": "stun", "tcp/3478": "stun", "tcp/5349": "tls:turn", "udp/*": "stun"},
        version="turnserver --version",
        tools={"turnserver": "coturn"},
        steps=[
            serve(
                "turnserver -n -L $SERVER -L $SERVER6 -a -u lab:words -r example.org --cert $CERT --pkey $KEY --pidfile $DIR/turn.pid --no-cli "
                "-l $DIR/turn.log --allow-loopback-peers",
                "udp/3478",
            ),
            ask("turnutils_stunclient $SERVER", timeout=3, may_fail=True, repeat=2),
            ask("turnutils_stunclient $SERVER6", timeout=3, may_fail=True),
            ask("turnutils_natdiscovery -m $SERVER", may_fail=True, timeout=10),
            ask("turnutils_uclient -y -u lab -w words -n 5 -m 1 -l 120 $SERVER >/dev/null", timeout=30, may_fail=True),
            ask("turnutils_uclient -y -t -u lab -w words -n 4 -m 1 -l 700 $SERVER >/dev/null", timeout=30, may_fail=True),
        ],
    ),
]
