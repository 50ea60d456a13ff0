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
        "ssh", SSH, version="ssh -V", tools=SSH_TOOLS, files=SSH_FILES, variants=("near", "far", "narrow"),
        steps=[
            *SSH_SERVER,
            ask(f"{SSH_CLIENT} $SERVER true"),
            ask(f"{SSH_CLIENT} $SERVER 'ls -l /usr/bin | head -200; uname -a'"),
            ask(f"{SSH_CLIENT} $SERVER6 cat $SITE/20k.html"),
            ask(f"{SSH_CLIENT} -c aes128-ctr -m hmac-sha2-256 $SERVER 'cat >/dev/null' <$SITE/60k.png"),
            # Somebody who types: a character at a time, each echoed by a terminal.
            ask(f"for c in l s ' ' / u s r '\n' p w d '\n' d a t e '\n' e x i t '\n'; do printf '%s' \"$c\"; sleep 0.07; done | {SSH_CLIENT} -tt $SERVER"),
        ]),
    Program(
        "scp", SSH, version="ssh -V", tools=SSH_TOOLS, files=SSH_FILES,
        steps=[
            *SSH_SERVER,
            ask("scp -q -F $DIR/ssh_config $SITE/700k.bin $SERVER:$DIR/up.bin"),
            ask("scp -q -F $DIR/ssh_config $SERVER:$SITE/700k.bin down.bin"),
            ask("scp -q -O -F $DIR/ssh_config $SERVER:$SITE/200k.bin old.bin"),
            ask("printf 'ls %s\\nget %s/20k.html\\nput %s/60k.png %s/x.png\\n' $SITE $SITE $SITE $DIR | sftp -q -F $DIR/ssh_config $SERVER"),
        ]),
]
