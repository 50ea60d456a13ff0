"""Web: browsers, command line clients and the clients of languages, over HTTP/1.1, HTTP/2 and HTTP/3."""

from program import Program, ask, serve, setup

NGINX = {
    "nginx.conf": """
daemon off; error_log $DIR/error.log; pid $DIR/nginx.pid; user root; worker_processes 1;
events {}
http {
    access_log off; client_max_body_size 20m; default_type text/plain;
    client_body_temp_path $DIR/body; proxy_temp_path $DIR/proxy; fastcgi_temp_path $DIR/f; uwsgi_temp_path $DIR/u; scgi_temp_path $DIR/s;
    types { text/html html; image/png png; application/json json; }
    server {
        listen 80; listen [::]:80; listen 443 ssl http2; listen [::]:443 ssl http2;
        ssl_certificate $CERT; ssl_certificate_key $KEY; root $SITE;
        location /post { return 200 "thanks"; }
    }
}
"""
}
SERVE_NGINX = serve("nginx -c $DIR/nginx.conf", "tcp/443")
SERVE_HTTP = serve('"$PYTHON" "$HELPERS/web.py" 80', "tcp/80")
SERVE_TLS = serve('"$PYTHON" "$HELPERS/web.py" 443 tls', "tcp/443")

# Nothing of its own that would call home; certificates of the lab are taken as they are.
CHROMIUM = (
    "SPKI=$(openssl x509 -pubkey -noout -in $CERT | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64); "
    "chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir=$DIR/profile --no-first-run "
    "--ignore-certificate-errors-spki-list=$SPKI "
    '--host-resolver-rules="MAP * ~NOTFOUND, EXCLUDE $NAME" --disable-background-networking --disable-component-update --disable-sync --disable-default-apps --disable-extensions '
    "--disable-features=OptimizationHints,MediaRouter,Translate,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable --virtual-time-budget=3000"
)

# A repository of its own, and none of the host's lists.
APT = (
    "apt-get -qq -o Dir::Etc::sourcelist=$DIR/sources.list -o Dir::Etc::sourceparts=$DIR/empty -o Dir::State=$DIR/state -o Dir::Cache=$DIR/cache "
    "-o APT::Sandbox::User=root "
    "-o Acquire::AllowInsecureRepositories=true"
)

PYTHON_CLIENTS = {
    "requests": """
import requests, sys
with requests.Session() as s:
    for url in sys.argv[1:]:
        print(len(s.get(url, timeout=20).content))
    print(s.post(sys.argv[1], json={"words": ["some"] * 40}, timeout=20).status_code)
""",
    "httpx": """
import httpx, os, ssl, sys
with httpx.Client(verify=ssl.create_default_context(cafile=os.environ["CA"])) as c:
    for url in sys.argv[1:]:
        print(len(c.get(url).content))
""",
    "aiohttp": """
import aiohttp, asyncio, os, ssl, sys
async def main():
    context = ssl.create_default_context(cafile=os.environ["CA"])
    async with aiohttp.ClientSession() as s:
        async def fetch(url):
            async with s.get(url, ssl=context) as r:
                return len(await r.read())
        print(await asyncio.gather(*map(fetch, sys.argv[1:])))
asyncio.run(main())
""",
    "urllib.request": """
import os, ssl, sys, urllib.request
context = ssl.create_default_context(cafile=os.environ["CA"])
for url in sys.argv[1:]:
    with urllib.request.urlopen(url, context=context, timeout=20) as r:
        print(len(r.read()))
""",
}

PROGRAMS = [
    Program(
        "curl",
        {"tcp/80": "http", "tcp/443": "tls"},
        names=False,
        version="curl --version",
        tools={"curl": "curl"},
        variants=("near", "far", "narrow"),
        steps=[
            SERVE_HTTP,
            SERVE_TLS,
            ask("curl -sfS -o get.txt http://$NAME/1k.txt"),
            ask("curl -sfS -o page.html -A 'Mozilla/5.0' http://$NAME/20k.html http://$NAME/8k.json"),
            ask("curl -sfS -d user=lab -d words=several http://$NAME/form"),
            ask("curl -sS -o none.html http://$NAME/none"),
            ask("curl -sfS -o big.bin http://$NAME/700k.bin"),
            ask("curl -sfS --cacert $CA --tlsv1.3 -o get.txt https://$NAME/1k.txt"),
            ask("curl -sfS --cacert $CA --tlsv1.3 -o page.html https://$NAME/20k.html https://$NAME/8k.json"),
            ask("curl -sfS --cacert $CA --tls-max 1.2 -o get.txt https://$NAME/1k.txt"),
            ask("curl -sfS --cacert $CA --tls-max 1.2 -T $SITE/200k.bin https://$NAME/put"),
            ask("curl -sfS --cacert $CA -o big.bin https://$NAME/700k.bin"),
        ],
    ),
    Program(
        "curl-http2",
        {"tcp/80": "http", "tcp/443": "tls"},
        names=True,
        version="curl --version",
        tools={"curl": "curl", "nginx": "nginx-light", "dnsmasq": "dnsmasq-base"},
        files=NGINX,
        steps=[
            SERVE_NGINX,
            ask("curl -sfS --http2 --cacert $CA -o a https://$NAME/1k.txt"),
            ask(
                "curl -sfS --http2 --cacert $CA -Z -o a -o b -o c -o d https://$NAME/20k.html https://$NAME/8k.json https://$NAME/60k.png "
                "https://$NAME/"
            ),
            ask("curl -sfS --http2 --cacert $CA --tls-max 1.2 -o a https://$NAME/60k.png"),
            ask("curl -sfS -6 --http2 --cacert $CA -o a https://$NAME/200k.bin"),
            ask("curl -sfS --http2 --cacert $CA -o a https://$NAME/700k.bin"),
            ask("curl -sfS -6 -o a http://$NAME/60k.png"),
        ],
    ),
    Program(
        "wget",
        {"tcp/80": "http", "tcp/443": "tls"},
        names=True,
        version="wget --version",
        tools={"wget": "wget", "nginx": "nginx-light", "dnsmasq": "dnsmasq-base"},
        files=NGINX,
        steps=[
            SERVE_NGINX,
            ask("wget -q -O a http://$NAME/20k.html"),
            ask("wget -q -p -P mirror http://$NAME/index.html"),
            ask("wget -q --ca-certificate=$CA -O a https://$NAME/1k.txt"),
            ask("wget -q --ca-certificate=$CA -p -P mirror https://$NAME/index.html"),
            ask("wget -q --ca-certificate=$CA --secure-protocol=TLSv1_2 -O a https://$NAME/200k.bin"),
            ask("wget -q -6 --ca-certificate=$CA -O a https://$NAME/60k.png"),
        ],
    ),
    Program(
        "chromium",
        {"tcp/80": "http", "tcp/443": "tls"},
        names=True,
        version="chromium --version",
        tools={"chromium": "chromium", "nginx": "nginx-light", "dnsmasq": "dnsmasq-base"},
        files=NGINX,
        steps=[
            SERVE_NGINX,
            ask(f"{CHROMIUM} --dump-dom https://$NAME/index.html | grep -q Lab", timeout=60),
            ask(f"{CHROMIUM} --dump-dom http://$NAME/index.html | grep -q Lab", timeout=60),
            ask(f"{CHROMIUM} --screenshot=a.png https://$NAME/60k.png", timeout=60),
        ],
    ),
    Program(
        "chromium-http1",
        {"tcp/80": "http", "tcp/443": "tls"},
        names=True,
        version="chromium --version",
        variants=("near",),
        tools={"chromium": "chromium", "dnsmasq": "dnsmasq-base"},
        steps=[
            SERVE_TLS,
            SERVE_HTTP,
            ask(f"{CHROMIUM} --dump-dom https://$NAME/index.html | grep -q Lab", timeout=60),
            ask(f"{CHROMIUM} --dump-dom http://$NAME/index.html | grep -q Lab", timeout=60),
        ],
    ),
    Program(
        "chromium-http3",
        {"udp/443": "quic", "tcp/443": "tls"},
        names=True,
        version="chromium --version",
        go="http3",
        tools={"chromium": "chromium", "dnsmasq": "dnsmasq-base"},
        steps=[
            serve("http3 serve :443", "udp/443"),
            *[
                ask(f"{CHROMIUM} --enable-quic --origin-to-force-quic-on=$NAME:443 --dump-dom https://$NAME/{page} | grep -q {word}", timeout=60)
                for page, word in (("index.html", "Lab"), ("20k.html", "the"), ("8k.json", "the"))
            ],
        ],
    ),
    Program(
        "quic-go",
        {"udp/443": "quic"},
        version="http3 version",
        go="http3",
        steps=[
            serve("http3 serve :443", "udp/443"),
            ask("http3 get https://$NAME/1k.txt"),
            ask("http3 get https://$NAME/20k.html https://$NAME/8k.json https://$NAME/60k.png"),
            ask("http3 get https://$NAME/700k.bin"),
            ask("http3 post https://$NAME/form 100000"),
            ask("http3 get https://$NAME/none"),
        ],
    ),
    Program(
        "aioquic",
        {"udp/4433": "quic", "udp/443": "quic"},
        modules=["aioquic"],
        version='"$PYTHON" -c "import aioquic; print(aioquic.__version__)"',
        go="http3",
        steps=[
            serve("http3 serve :443", "udp/443"),
            *[ask(f'"$PYTHON" "$HELPERS/http3.py" $NAME {pages}') for pages in ("1k.txt", "20k.html 8k.json", "200k.bin", "index.html 60k.png")],
        ],
    ),
    Program(
        "go-tls",
        {"tcp/443": "tls", "tcp/80": "http"},
        version="fetch version",
        go="fetch",
        tools={"nginx": "nginx-light"},
        files=NGINX,
        variants=("near", "far", "narrow"),
        steps=[
            SERVE_NGINX,
            ask("fetch https://$NAME/1k.txt"),
            ask("fetch -http1 https://$NAME/20k.html https://$NAME/8k.json"),
            ask("fetch -tls12 https://$NAME/60k.png"),
            ask("fetch https://$NAME/20k.html https://$NAME/8k.json https://$NAME/200k.bin"),
            ask("fetch -http1 http://$NAME/20k.html"),
            ask("fetch -http1 -post 50000 https://$NAME/post"),
        ],
    ),
    Program(
        "java",
        {"tcp/443": "tls", "tcp/80": "http"},
        version="java -version",
        tools={"java": "openjdk-17-jdk-headless", "nginx": "nginx-light"},
        files=NGINX,
        steps=[
            SERVE_NGINX,
            *[
                ask(f"java -XX:TieredStopAtLevel=1 -Xshare:auto $HELPERS/Fetch.java $CA {kind} {pages}", timeout=60)
                for kind, pages in (
                    ("2", "https://$NAME/1k.txt https://$NAME/20k.html"),
                    ("1.1", "https://$NAME/8k.json https://$NAME/60k.png"),
                    ("2", "https://$NAME/200k.bin"),
                    ("1.1", "http://$NAME/20k.html"),
                )
            ],
        ],
    ),
    Program(
        "node",
        {"tcp/443": "tls", "tcp/80": "http"},
        version="node --version",
        tools={"node": "nodejs", "nginx": "nginx-light"},
        files=NGINX,
        steps=[
            SERVE_NGINX,
            *[
                ask(f"NODE_EXTRA_CA_CERTS=$CA node $HELPERS/fetch.mjs {how} {pages}")
                for how, pages in (
                    ("fetch", "https://$NAME/1k.txt"),
                    ("fetch", "https://$NAME/20k.html https://$NAME/8k.json"),
                    ("https", "https://$NAME/200k.bin"),
                    ("http2", "https://$NAME/ /20k.html /60k.png"),
                    ("fetch", "http://$NAME/20k.html"),
                )
            ],
        ],
    ),
    *[
        Program(
            f"python-{client}",
            {"tcp/443": "tls", "tcp/80": "http"},
            version=f'"$PYTHON" -c "import {client} as m, sys; print(getattr(m, \'__version__\', sys.version))"',
            modules=[client],
            files={"client.py": source},
            variants=("near", "far") if client == "requests" else ("near",),
            steps=[
                SERVE_TLS,
                SERVE_HTTP,
                *[
                    ask(f'SSL_CERT_FILE=$CA REQUESTS_CA_BUNDLE=$CA "$PYTHON" client.py {pages}')
                    for pages in (
                        "https://$NAME/1k.txt",
                        "https://$NAME/20k.html https://$NAME/8k.json https://$NAME/1k.txt",
                        "https://$NAME/700k.bin",
                        "http://$NAME/60k.png http://$NAME/1k.txt",
                    )
                ],
            ],
        )
        for client, source in PYTHON_CLIENTS.items()
    ],
    Program(
        "nghttp",
        {"tcp/443": "tls", "tcp/80": "http"},
        version="nghttp --version",
        tools={"nghttp": "nghttp2-client", "nghttpd": "nghttp2-server"},
        steps=[
            serve("nghttpd -d $SITE 443 $KEY $CERT", "tcp/443"),
            serve("nghttpd -d $SITE --no-tls 80", "tcp/80"),
            ask("nghttp -n https://$NAME/1k.txt"),
            ask("nghttp -na https://$NAME/index.html"),
            ask("nghttp -n https://$NAME/200k.bin"),
            ask("nghttp -n http://$NAME/20k.html"),
            ask("nghttp -n http://$NAME/1k.txt http://$NAME/8k.json"),
            ask("h2load -n 40 -c 2 -m 4 https://$NAME/8k.json"),
            ask("h2load -n 20 -c 1 http://$NAME/1k.txt"),
        ],
    ),
    Program(
        "websockets",
        {"tcp/80": "http:websocket", "tcp/443": "tls:websocket"},
        modules=["websockets"],
        version='"$PYTHON" -c "import websockets; print(websockets.__version__)"',
        steps=[
            serve('"$PYTHON" "$HELPERS/websocket.py" serve', "tcp/443"),
            ask('"$PYTHON" "$HELPERS/websocket.py" ws://$NAME/chat 3 40'),
            ask('"$PYTHON" "$HELPERS/websocket.py" ws://$NAME/feed 30 2000'),
            ask('"$PYTHON" "$HELPERS/websocket.py" wss://$NAME/chat 5 60'),
            ask('"$PYTHON" "$HELPERS/websocket.py" wss://$NAME/feed 20 9000'),
            ask('"$PYTHON" "$HELPERS/websocket.py" ws://$NAME/typing 25 1'),
        ],
    ),
    Program(
        "grpc",
        {"tcp/443": "tls:grpc", "tcp/50051": "http:grpc"},
        modules=["grpc"],
        version='"$PYTHON" -c "import grpc; print(grpc.__version__)"',
        steps=[
            serve('"$PYTHON" "$HELPERS/grpc_echo.py" serve', "tcp/443"),
            ask('"$PYTHON" "$HELPERS/grpc_echo.py" tls 3 100'),
            ask('"$PYTHON" "$HELPERS/grpc_echo.py" tls 40 5000'),
            ask('"$PYTHON" "$HELPERS/grpc_echo.py" clear 3 100'),
            ask('"$PYTHON" "$HELPERS/grpc_echo.py" clear 30 8000'),
        ],
    ),
    Program(
        "openssl-dtls",
        {"udp/4434": "dtls"},
        version="openssl version",
        tools={"openssl": "openssl"},
        variants=("near", "far"),
        steps=[
            serve(
                "while sleep 0.2; do echo answer; done | openssl s_server -dtls1_2 -accept 4434 -cert $CERT -key $KEY -mtu 1300 -quiet", "udp/4434"
            ),
            *[
                ask(
                    f"(sleep 0.3; {talk}; sleep 0.6) | timeout 6 openssl s_client -dtls1_2 -connect $SERVER:4434 -CAfile $CA {options} >/dev/null",
                    may_fail=True,
                )
                for talk, options in (
                    ("echo hello", ""),
                    ("head -c 700 $SITE/1k.txt; echo", "-cipher ECDHE-RSA-AES128-GCM-SHA256"),
                    ("for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done", ""),
                    ("echo named", "-servername $NAME"),
                )
            ],
        ],
    ),
    Program(
        "tinyproxy",
        {"tcp/8888": "http:proxy", "tcp/80": "http", "tcp/443": "tls"},
        version="tinyproxy -v",
        tools={"tinyproxy": "tinyproxy", "curl": "curl"},
        variants=("near",),
        files={
            "proxy.conf": 'Port 8888\nListen 0.0.0.0\nTimeout 60\nAllow 10.77.0.0/24\nConnectPort 443\nMaxClients 20\nPidFile "$DIR/proxy.pid"\nLogFile "$DIR/proxy.log"\n'
        },
        steps=[
            SERVE_HTTP,
            SERVE_TLS,
            serve("tinyproxy -d -c $DIR/proxy.conf", "tcp/8888"),
            ask("curl -sfS -o a -x http://$SERVER:8888 http://$NAME/1k.txt"),
            ask("curl -sfS -o a -x http://$SERVER:8888 http://$NAME/60k.png"),
            ask("curl -sfS --cacert $CA -o a -x http://$SERVER:8888 https://$NAME/20k.html"),
        ],
    ),
    Program(
        "apt",
        {"tcp/80": "http"},
        version="apt-get --version",
        tools={"apt-get": "apt", "dpkg-deb": "dpkg"},
        variants=("near",),
        steps=[
            setup(
                "mkdir -p repo state/lists/partial cache/archives/partial empty package/DEBIAN && printf 'Package: words\\nVersion: "
                "1.0\\nArchitecture: all\\nMaintainer: Lab\\n"
                "Description: words\\n' >package/DEBIAN/control && cp $SITE/200k.bin package/ && dpkg-deb -b package repo/words.deb >/dev/null "
                "&& cd repo && "
                "{ dpkg-deb -f words.deb; printf 'Filename: ./words.deb\\nSize: %s\\nSHA256: %s\\n' $(stat -c %s words.deb) $(sha256sum <words.deb | cut -d' ' -f1); } "
                ""
                ">Packages"
            ),
            serve('SITE=$DIR/repo "$PYTHON" "$HELPERS/web.py" 80', "tcp/80"),
            ask("echo 'deb [trusted=yes] http://'$NAME'/ ./' >sources.list"),
            ask(f"{APT} update"),
            ask(f"{APT} download words"),
        ],
    ),
    Program(
        "pip",
        {"tcp/443": "tls", "tcp/80": "http"},
        version='"$PYTHON" -m pip --version',
        tools={"openssl": "openssl"},
        variants=("near",),
        files={
            "repo/simple/words/index.html": '<!doctype html><a href="words-1.0.tar.gz">words-1.0.tar.gz</a>',
            "repo/simple/words/words-1.0.tar.gz": "no archive at all",
        },
        steps=[
            serve('SITE=$DIR/repo "$PYTHON" "$HELPERS/web.py" 443 tls', "tcp/443"),
            serve('SITE=$DIR/repo "$PYTHON" "$HELPERS/web.py" 80', "tcp/80"),
            ask('"$PYTHON" -m pip --isolated download --no-cache-dir --no-deps --cert $CA -i https://$NAME/simple/ words', may_fail=True),
            ask('"$PYTHON" -m pip --isolated index versions --cert $CA -i https://$NAME/simple/ words', may_fail=True),
            ask('"$PYTHON" -m pip --isolated download --no-cache-dir --no-deps --trusted-host $NAME -i http://$NAME/simple/ words', may_fail=True),
        ],
    ),
]
