"""Web: browsers, command line clients and the clients of languages, over HTTP/1.1, HTTP/2 and HTTP/3."""

from program import Program, ask, serve

NGINX = {"nginx.conf": """
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
"""}
SERVE_NGINX = serve("nginx -c $DIR/nginx.conf", "tcp/443")
SERVE_HTTP = serve('"$PYTHON" "$HELPERS/web.py" 80', "tcp/80")
SERVE_TLS = serve('"$PYTHON" "$HELPERS/web.py" 443 tls', "tcp/443")

PROGRAMS = [
    Program(
        "curl", {"tcp/80": "http", "tcp/443": "tls"}, names=False, version="curl --version", tools={"curl": "curl"}, variants=("near", "far", "narrow"),
        steps=[
            SERVE_HTTP, SERVE_TLS,
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
        ]),
    Program(
        "curl-http2", {"tcp/80": "http", "tcp/443": "tls"}, names=True, version="curl --version",
        tools={"curl": "curl", "nginx": "nginx-light", "dnsmasq": "dnsmasq-base"}, files=NGINX,
        steps=[
            SERVE_NGINX,
            ask("curl -sfS --http2 --cacert $CA -o a https://$NAME/1k.txt"),
            ask("curl -sfS --http2 --cacert $CA -Z -o a -o b -o c -o d https://$NAME/20k.html https://$NAME/8k.json https://$NAME/60k.png https://$NAME/"),
            ask("curl -sfS --http2 --cacert $CA --tls-max 1.2 -o a https://$NAME/60k.png"),
            ask("curl -sfS -6 --http2 --cacert $CA -o a https://$NAME/200k.bin"),
            ask("curl -sfS --http2 --cacert $CA -o a https://$NAME/700k.bin"),
            ask("curl -sfS -6 -o a http://$NAME/60k.png"),
        ]),
    Program(
        "wget", {"tcp/80": "http", "tcp/443": "tls"}, names=True, version="wget --version",
        tools={"wget": "wget", "nginx": "nginx-light", "dnsmasq": "dnsmasq-base"}, files=NGINX,
        steps=[
            SERVE_NGINX,
            ask("wget -q -O a http://$NAME/20k.html"),
            ask("wget -q -p -P mirror http://$NAME/index.html"),
            ask("wget -q --ca-certificate=$CA -O a https://$NAME/1k.txt"),
            ask("wget -q --ca-certificate=$CA -p -P mirror https://$NAME/index.html"),
            ask("wget -q --ca-certificate=$CA --secure-protocol=TLSv1_2 -O a https://$NAME/200k.bin"),
            ask("wget -q -6 --ca-certificate=$CA -O a https://$NAME/60k.png"),
        ]),
]
