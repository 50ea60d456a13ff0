"""Mail: sending and fetching, in clear, after STARTTLS, and in TLS from the start (which is TLS on the wire)."""

from program import Program, ask, serve, setup

SMTP_SERVER = serve('"$PYTHON" "$HELPERS/smtpd.py" 25 587', "tcp/587")
DOVECOT = {
    "dovecot.conf": """
base_dir = $DIR/dovecot
log_path = $DIR/dovecot.log
protocols = imap pop3
listen = *, ::
default_internal_user = dovecot
default_login_user = dovenull
default_internal_group = dovecot
first_valid_gid = 0
ssl = yes
ssl_cert = <$CERT
ssl_key = <$KEY
disable_plaintext_auth = no
mail_location = maildir:$DIR/mail
mail_uid = 65534
mail_gid = 65534
passdb {
  driver = static
  args = password=words
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=$DIR/mail
}
"""
}
MAILS = setup(
    "mkdir -p mail/cur mail/new mail/tmp && for i in $(seq 1 12); do "
    "{ printf 'From: ann@example.org\\r\\nTo: lab@example.org\\r\\nSubject: Letter %s\\r\\n"
    "Message-Id: <%s@example.org>\\r\\n\\r\\n' $i $i; head -c $((i * 700)) $SITE/20k.html; } >mail/new/$i.lab; done && chown -R 65534:65534 mail "
    "&& mkdir dovecot"
)
PLACES = {"tcp/143": "imap", "tcp/110": "pop3", "tcp/993": "tls:imap", "tcp/995": "tls:pop3"}
SMTP_PLACES = {"tcp/25": "smtp", "tcp/587": "smtp"}

PROGRAMS = [
    Program(
        "swaks",
        SMTP_PLACES,
        version="swaks --version",
        tools={"swaks": "swaks"},
        modules=["aiosmtpd"],
        steps=[
            SMTP_SERVER,
            ask("swaks --server $SERVER --from ann@example.org --to lab@example.net --helo ann.example.org"),
            ask(
                "swaks --server $SERVER --from ann@example.org --to lab@example.net,bob@example.net --body $SITE/20k.html --header 'Subject: A page'"
            ),
            ask("swaks --server $SERVER --from a@example.org --to lab@example.net --attach $SITE/200k.bin"),
            ask("swaks --server $SERVER --port 587 --from a@example.org --to lab@example.net --quit-after RCPT"),
            ask("swaks --server $SERVER --from nobody@example.org --to refused@example.net", may_fail=True),
            ask("swaks --server $SERVER --port 587 --tls --from a@example.org --to lab@example.net --attach $SITE/60k.png", may_fail=True),
        ],
    ),
    Program(
        "smtplib",
        SMTP_PLACES,
        version='"$PYTHON" --version',
        modules=["aiosmtpd"],
        files={
            "client.py": """
import os, smtplib, ssl, sys
from email.message import EmailMessage
host, port, tls, letters, size = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "tls", int(sys.argv[4]), int(sys.argv[5])
with smtplib.SMTP(host, port, local_hostname="desk.example.org") as s:
    if tls:
        context = ssl.create_default_context(cafile=os.environ["CA"])
        s.starttls(context=context)
    for i in range(letters):
        m = EmailMessage()
        m["From"], m["To"], m["Subject"] = "ann@example.org", f"bob{i}@example.net", f"Report {i}"
        m.set_content("Dear Bob,\\n" + "here are the figures. " * (size // 22))
        s.send_message(m)
"""
        },
        steps=[
            SMTP_SERVER,
            ask('"$PYTHON" client.py $SERVER 25 clear 1 100'),
            ask('"$PYTHON" client.py $SERVER 25 clear 6 3000'),
            ask('"$PYTHON" client.py $SERVER6 25 clear 1 90000'),
            ask('"$PYTHON" client.py $NAME 587 tls 1 500'),
            ask('"$PYTHON" client.py $NAME 587 tls 4 20000'),
        ],
    ),
    Program(
        "imap",
        PLACES,
        version="dovecot --version",
        tools={"dovecot": "dovecot-imapd", "curl": "curl"},
        files=DOVECOT,
        steps=[
            MAILS,
            serve("dovecot -F -c $DIR/dovecot.conf", "tcp/143"),
            ask("curl -sfS -u lab:words imap://$NAME/"),
            ask("curl -sfS -u lab:words 'imap://'$NAME'/INBOX;MAILINDEX=3'"),
            ask("curl -sfS -u lab:words imap://$NAME/INBOX -X 'FETCH 1:12 (FLAGS ENVELOPE BODYSTRUCTURE)'"),
            ask("curl -sfS -u lab:words 'imap://'$NAME'/INBOX?SUBJECT%20Letter'"),
            ask("curl -sS -u lab:wrong imap://$NAME/", may_fail=True),
            ask("curl -sfS --ssl-reqd --cacert $CA -u lab:words 'imap://'$NAME'/INBOX;MAILINDEX=9'"),
            ask("curl -sfS --cacert $CA -u lab:words 'imaps://'$NAME'/INBOX;MAILINDEX=7'"),
            ask("curl -sfS --cacert $CA -u lab:words imaps://$NAME/INBOX -X 'FETCH 1:12 BODY[]'"),
        ],
    ),
    Program(
        "imaplib",
        PLACES,
        version='"$PYTHON" --version',
        tools={"dovecot": "dovecot-imapd"},
        files=DOVECOT
        | {
            "client.py": """
import imaplib, os, ssl, sys
host, tls, letters = sys.argv[1], sys.argv[2], int(sys.argv[3])
context = ssl.create_default_context(cafile=os.environ["CA"])
m = imaplib.IMAP4_SSL(host, ssl_context=context) if tls == "tls" else imaplib.IMAP4(host)
if tls == "starttls":
    m.starttls(context)
m.login("lab", "words")
m.select("INBOX")
_, found = m.search(None, "ALL")
for number in found[0].split()[:letters]:
    m.fetch(number, "(RFC822)")
m.append("INBOX", None, None, b"Subject: A note\\r\\n\\r\\n" + b"Do not forget. " * 40)
m.create("Archive"); m.list(); m.noop(); m.close(); m.logout()
"""
        },
        steps=[
            MAILS,
            serve("dovecot -F -c $DIR/dovecot.conf", "tcp/143"),
            *[
                ask(f'"$PYTHON" client.py $NAME {tls} {letters}')
                for tls, letters in (("clear", 2), ("clear", 12), ("starttls", 5), ("tls", 1), ("tls", 12))
            ],
        ],
    ),
    Program(
        "pop3",
        PLACES,
        version="curl --version",
        tools={"dovecot": "dovecot-pop3d", "curl": "curl"},
        files=DOVECOT
        | {
            "client.py": """
import os, poplib, sys
p = poplib.POP3(sys.argv[1])
if sys.argv[2] == "apop": print(p.getwelcome())
p.user("lab"); p.pass_("words"); p.stat(); p.list(); p.uidl()
for i in range(1, int(sys.argv[3]) + 1): p.retr(i)
p.dele(1); p.rset(); p.quit()
"""
        },
        steps=[
            MAILS,
            serve("dovecot -F -c $DIR/dovecot.conf", "tcp/110"),
            ask("curl -sfS -u lab:words pop3://$NAME/"),
            ask("curl -sfS -u lab:words pop3://$NAME/4"),
            ask('"$PYTHON" client.py $SERVER clear 2'),
            ask('"$PYTHON" client.py $SERVER6 clear 12'),
            ask("curl -sS -u lab:wrong pop3://$NAME/", may_fail=True),
            ask("curl -sfS --ssl-reqd --cacert $CA -u lab:words pop3://$NAME/6"),
            ask("curl -sfS --cacert $CA -u lab:words pop3s://$NAME/ pop3s://$NAME/11"),
        ],
    ),
]
