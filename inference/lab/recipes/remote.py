"""Remote access: shells and screens."""

from program import Program, ask, serve, setup

SSH = {"tcp/22": "ssh"}
SSH_TOOLS = {"ssh": "openssh-client", "sshd": "openssh-server"}
SSH_FILES = {
    "sshd_config": """
Port 22
HostKey $DIR/host_key
AuthorizedKeysFile $DIR/user_key.pub
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
PidFile none
Subsystem sftp internal-sftp
""",
    "ssh_config": """
Host *
    IdentityFile $DIR/user_key
    UserKnownHostsFile $DIR/known_hosts
    StrictHostKeyChecking no
    BatchMode yes
    User root
    LogLevel ERROR
""",
}
SSH_SERVER = [
    setup("ssh-keygen -q -t ed25519 -N '' -f host_key && ssh-keygen -q -t ed25519 -N '' -f user_key && mkdir -p /run/sshd"),
    serve('"$(command -v sshd)" -D -e -f $DIR/sshd_config', "tcp/22"),
]
SSH_CLIENT = "ssh -F $DIR/ssh_config"

PROGRAMS = [
    Program(
        "ssh",
        SSH,
        version="ssh -V",
        tools=SSH_TOOLS,
        files=SSH_FILES,
        variants=("near", "far", "narrow"),
        steps=[
            *SSH_SERVER,
            ask(f"{SSH_CLIENT} $SERVER true"),
            ask(f"{SSH_CLIENT} $SERVER 'ls -l /usr/bin | head -200; uname -a'"),
            ask(f"{SSH_CLIENT} $SERVER6 cat $SITE/20k.html"),
            ask(f"{SSH_CLIENT} -c aes128-ctr -m hmac-sha2-256 $SERVER 'cat >/dev/null' <$SITE/60k.png"),
            # Somebody who types: a character at a time, each echoed by a terminal.
            ask(
                f"for c in l s ' ' / u s r '\n' p w d '\n' d a t e '\n' e x i t '\n'; do printf '%s' \"$c\"; sleep 0.07; done | {SSH_CLIENT} -tt "
                "$SERVER"
            ),
        ],
    ),
    Program(
        "scp",
        SSH,
        version="ssh -V",
        tools=SSH_TOOLS,
        files=SSH_FILES,
        steps=[
            *SSH_SERVER,
            ask("scp -q -F $DIR/ssh_config $SITE/700k.bin $SERVER:$DIR/up.bin"),
            ask("scp -q -F $DIR/ssh_config $SERVER:$SITE/700k.bin down.bin"),
            ask("scp -q -O -F $DIR/ssh_config $SERVER:$SITE/200k.bin old.bin"),
            ask("printf 'ls %s\\nget %s/20k.html\\nput %s/60k.png %s/x.png\\n' $SITE $SITE $SITE $DIR | sftp -q -F $DIR/ssh_config $SERVER"),
        ],
    ),
    Program(
        "telnet",
        {"tcp/23": "telnet"},
        version="dpkg-query -W -f 'inetutils-telnet ${Version}' inetutils-telnet",
        tools={"telnetd": "inetutils-telnetd", "telnet": "inetutils-telnet", "socat": "socat"},
        files={"shell": "#!/bin/sh\necho Welcome to the lab\nexec /bin/sh -i\n"},
        steps=[
            serve('socat TCP4-LISTEN:23,reuseaddr,fork EXEC:"telnetd -h -E $DIR/shell",nofork', "tcp/23"),
            *[
                ask(
                    f"(sleep 0.5; for l in {lines}; do echo $l; sleep {pause}; done; echo exit; sleep 0.5) | timeout 12 telnet $SERVER", may_fail=True
                )
                for lines, pause in (
                    ("pwd id date", "0.3"),
                    ("ls uptime 'ls\\ -l\\ /usr/lib' env", "0.4"),
                    ("date date date date date date", "0.2"),
                    ("cat\\ $SITE/8k.json", "0.8"),
                )
            ],
        ],
    ),
    Program(
        "tigervnc",
        {"tcp/5900": "vnc"},
        version="Xtigervnc -version",
        tools={"Xtigervnc": "tigervnc-standalone-server"},
        modules=["vncdotool"],
        variants=("near", "far"),
        steps=[
            serve("Xtigervnc :7 -rfbport 5900 -SecurityTypes None,TLSNone -geometry 640x480 -depth 24 -localhost=0 -nolisten tcp", "tcp/5900"),
            ask("vncdo -s $SERVER::5900 capture a.png"),
            ask("vncdo -s $SERVER::5900 type hello key enter pause 0.3 capture b.png"),
            ask("vncdo -s $SERVER::5900 move 100 100 click 1 pause 0.2 move 300 200 click 3 pause 0.3 mousemove 20 20"),
            ask("vncdo -s $SERVER::5900 type several_words_of_text pause 1 capture c.png capture d.png"),
        ],
    ),
    Program(
        "freerdp",
        {"tcp/3389": "rdp"},
        version="xfreerdp --version",
        tools={"xfreerdp": "freerdp2-x11", "freerdp-shadow-cli": "freerdp2-shadow-x11", "Xvfb": "xvfb"},
        variants=("near",),
        steps=[
            serve("Xvfb :8 -screen 0 800x600x24 -nolisten tcp & sleep 1; DISPLAY=:8 freerdp-shadow-cli /port:3389 -auth", "tcp/3389"),
            *[
                ask(
                    f"Xvfb :9 -screen 0 800x600x24 -nolisten tcp >/dev/null 2>&1 & x=$!; sleep 1; DISPLAY=:9 timeout {seconds} xfreerdp "
                    f"/v:$SERVER:3389 /u:lab /p:words /cert:ignore /size:640x480 {options}; kill $x",
                    may_fail=True,
                )
                for seconds, options in ((4, ""), (3, "/sec:tls"), (5, "/bpp:16 +fonts"))
            ],
        ],
    ),
    Program(
        "asyncssh",
        SSH,
        version='"$PYTHON" -c "import asyncssh; print(asyncssh.__version__)"',
        modules=["asyncssh"],
        steps=[
            serve('"$PYTHON" "$HELPERS/ssh.py" serve', "tcp/22"),
            *[ask(f'"$PYTHON" "$HELPERS/ssh.py" {what}') for what in ("run 1", "run 5", "type 12", "sftp 2")],
        ],
    ),
]
