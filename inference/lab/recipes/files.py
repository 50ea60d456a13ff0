"""Files: copies, shares and version control."""

from program import Program, ask, serve, setup

from .remote import SSH_FILES, SSH_SERVER, SSH_TOOLS

FTP = {"tcp/21": "ftp", "tcp/*": "ftp-data"}
SERVE_FTP = serve(
    """mkdir -p ftp/upload && cp $SITE/* ftp/ && "$PYTHON" -c "
from pyftpdlib.authorizers import DummyAuthorizer; from pyftpdlib.handlers import FTPHandler; from pyftpdlib.servers import FTPServer
a = DummyAuthorizer(); a.add_user('lab', 'words', 'ftp', perm='elradfmwMT'); a.add_anonymous('ftp'); FTPHandler.authorizer = a
FTPServer(('::', 21), FTPHandler).serve_forever()" """,
    "tcp/21",
)
SAMBA = {
    "smb.conf": """[global]
workgroup = LAB
netbios name = LABSERVER
server role = standalone server
map to guest = Bad User
guest account = root
server min protocol = NT1
private dir = $DIR/s
lock directory = $DIR/s
state directory = $DIR/s
cache directory = $DIR/s
pid directory = $DIR/s
ncalrpc dir = $DIR/s/ncalrpc
log file = $DIR/samba.log
passdb backend = tdbsam:$DIR/s/passdb.tdb
load printers = no
printcap name = /dev/null
disable spoolss = yes
interfaces = eth0
bind interfaces only = yes
local master = yes
os level = 65
preferred master = yes
[site]
path = $SITE
guest ok = yes
[up]
path = $DIR/up
guest ok = yes
read only = no
""",
    "client.conf": (
        "[global]\nworkgroup = LAB\nlock directory = $DIR/c\nstate directory = $DIR/c\ncache directory = $DIR/c\nprivate dir = $DIR/c\nname "
        "resolve order = bcast host\n"
    ),
}
SAMBA_FOLDERS = setup("mkdir -p s/ncalrpc up /run/samba/nmbd /run/samba/ncalrpc && chmod 777 up")
ARIA = "HOME=$DIR aria2c --quiet --no-conf --allow-overwrite=true --bt-enable-lpd=true --enable-dht=true --enable-dht6=false --bt-save-metadata=false --file-allocation=none --bt-tracker-connect-timeout=1"
REPOSITORY = setup(
    "git config --global user.name Lab && git config --global user.email lab@example.org && git config --global safe.directory '*' && "
    "git init -q --bare repo.git && git init -q work && cp $SITE/20k.html $SITE/60k.png work/ && git -C work add . && "
    "git -C work commit -qm first && git -C work push -q ../repo.git HEAD:main && git -C repo.git symbolic-ref HEAD refs/heads/main"
)

PROGRAMS = [
    Program(
        "rsync",
        {"tcp/873": "rsync"},
        version="rsync --version",
        tools={"rsync": "rsync"},
        files={"rsyncd.conf": "use chroot = no\nuid = root\ngid = root\n[site]\npath = $SITE\n[upload]\npath = $DIR/upload\nread only = no\n"},
        steps=[
            setup("mkdir upload"),
            serve("rsync --daemon --no-detach --config=$DIR/rsyncd.conf --log-file=/dev/null", "tcp/873"),
            ask("rsync $SERVER::"),
            ask("rsync -a $SERVER::site/20k.html a"),
            ask("rsync -az $SERVER::site/ mirror/"),
            ask("rsync -a $SERVER::site/ mirror/"),
            ask("rsync -a $SITE/200k.bin $SERVER::upload/"),
        ],
    ),
    Program(
        "git",
        {"tcp/9418": "git"},
        version="git --version",
        tools={"git": "git"},
        steps=[
            REPOSITORY,
            serve("git daemon --reuseaddr --export-all --enable=receive-pack --base-path=$DIR", "tcp/9418"),
            ask("git ls-remote -q git://$SERVER/repo.git"),
            ask("git clone -q git://$NAME/repo.git clone"),
            ask("git clone -q --depth 1 git://$SERVER6/repo.git clone6 || git clone -q --depth 1 'git://['$SERVER6']/repo.git' clone6"),
            ask("cd clone && head -c 90000 /dev/urandom >more && git add more && git commit -qm more && git push -q origin HEAD:main"),
            ask("cd clone && git fetch -q && git pull -q origin main"),
        ],
    ),
    Program(
        "git-https",
        {"tcp/443": "tls:git"},
        version="git --version",
        tools={"git": "git"},
        variants=("near",),
        steps=[
            REPOSITORY,
            setup("git -C repo.git update-server-info && cp -r repo.git site.git"),
            serve('SITE=$DIR "$PYTHON" "$HELPERS/web.py" 443 tls', "tcp/443"),
            ask("git -c http.sslCAInfo=$CA ls-remote -q https://$NAME/repo.git"),
            ask("git -c http.sslCAInfo=$CA clone -q https://$NAME/repo.git clone"),
            ask("git -c http.sslCAInfo=$CA -C clone fetch -q"),
        ],
    ),
    Program(
        "git-ssh",
        {"tcp/22": "ssh"},
        version="git --version",
        tools={"git": "git", **SSH_TOOLS},
        files=SSH_FILES,
        variants=("near",),
        steps=[
            *SSH_SERVER,
            REPOSITORY,
            ask("GIT_SSH_COMMAND='ssh -F '$DIR/ssh_config git clone -q ssh://$SERVER$DIR/repo.git clone"),
            ask(
                "cd clone && head -c 90000 /dev/urandom >more && git add more && git commit -qm more && GIT_SSH_COMMAND='ssh -F '$DIR/ssh_config "
                "git push -q origin HEAD:main"
            ),
            ask("cd clone && GIT_SSH_COMMAND='ssh -F '$DIR/ssh_config git fetch -q"),
        ],
    ),
    Program(
        "rsync-ssh",
        {"tcp/22": "ssh"},
        version="rsync --version",
        tools={"rsync": "rsync", **SSH_TOOLS},
        files=SSH_FILES,
        variants=("near",),
        steps=[
            *SSH_SERVER,
            ask("rsync -a -e 'ssh -F '$DIR/ssh_config $SERVER:$SITE/ mirror/"),
            ask("rsync -a -e 'ssh -F '$DIR/ssh_config $SERVER:$SITE/ mirror/"),
            ask("rsync -az -e 'ssh -F '$DIR/ssh_config $SITE/200k.bin $SERVER:$DIR/up.bin"),
        ],
    ),
    Program(
        "ftp",
        FTP,
        version="curl --version",
        tools={"curl": "curl"},
        modules=["pyftpdlib"],
        steps=[
            SERVE_FTP,
            ask("curl -sfS -o a ftp://$SERVER/20k.html"),
            ask("curl -sfS -o a ftp://lab:words@$SERVER/ "),
            ask("curl -sfS -T $SITE/60k.png ftp://lab:words@$SERVER/upload/"),
            ask("curl -sfS -P - -o a ftp://$SERVER/200k.bin"),
            ask("curl -sS -u lab:wrong -o a ftp://$SERVER/1k.txt", may_fail=True),
            ask("curl -sfS -o a 'ftp://['$SERVER6']/8k.json'"),
        ],
    ),
    Program(
        "lftp",
        FTP,
        version="lftp --version",
        tools={"lftp": "lftp", "vsftpd": "vsftpd"},
        files={
            "vsftpd.conf": "listen=YES\nanonymous_enable=YES\nno_anon_password=NO\nanon_root=$SITE\nbackground=NO\nseccomp_sandbox=NO\nsecure_chroot_dir=$DIR/empty\nrun_as_launching_user=NO\n"
            "nopriv_user=nobody\npasv_address=$SERVER\n"
        },
        steps=[
            setup("mkdir empty; mkdir -p /run/vsftpd/empty"),
            serve("vsftpd $DIR/vsftpd.conf", "tcp/21"),
            *[
                ask(f"lftp -c 'set net:max-retries 1; set net:timeout 8; set ftp:ssl-allow no; open {where}; {what}'", may_fail=False)
                for where, what in (
                    ("ftp://10.77.0.1", "cls -l"),
                    ("ftp://10.77.0.1", "get 20k.html -o a; get 8k.json -o b"),
                    ("ftp://10.77.0.1", "set ftp:passive-mode off; get 200k.bin -o c"),
                    ("ftp://10.77.0.1", "mirror . m"),
                )
            ],
        ],
    ),
    Program(
        "tftp",
        {"udp/69": "tftp", "udp/*": "tftp"},
        version="in.tftpd -V",
        tools={"in.tftpd": "tftpd-hpa", "tftp": "tftp-hpa", "curl": "curl"},
        variants=("near", "narrow", "far"),
        steps=[
            setup("mkdir up && chmod 777 up"),
            serve("in.tftpd -L -4 -u root -c -a 0.0.0.0:69 -s $DIR/../$(basename $DIR)", ""),
            setup("cp $SITE/* . 2>/dev/null; true"),
            ask("sleep 0.5; tftp -m binary $SERVER -c get 1k.txt"),
            ask("tftp -m binary $SERVER -c get 20k.html"),
            ask("tftp -m ascii $SERVER -c get 8k.json"),
            ask("curl -sfS --tftp-blksize 1400 -o b tftp://$SERVER/60k.png"),
            ask("cp $SITE/8k.json mine && tftp -m binary $SERVER -c put mine up/mine"),
            ask("tftp $SERVER -c get none", may_fail=True),
        ],
    ),
    Program(
        "smbclient",
        {"tcp/445": "smb", "tcp/139": "smb", "udp/137": "netbios"},
        version="smbclient --version",
        tools={"smbd": "samba", "smbclient": "smbclient"},
        files=SAMBA,
        variants=("near", "far"),
        steps=[
            SAMBA_FOLDERS,
            serve("smbd --foreground --no-process-group -s $DIR/smb.conf", "tcp/445"),
            ask("mkdir -p c; smbclient -s $DIR/client.conf -N -L $SERVER"),
            ask("smbclient -s $DIR/client.conf -N //$SERVER/site -c 'ls; get 20k.html a'"),
            ask("smbclient -s $DIR/client.conf -N //$SERVER/site -c 'get 700k.bin b'"),
            ask('smbclient -s $DIR/client.conf -N -m SMB2 //$SERVER/up -c "put $SITE/60k.png p.png; ls; del p.png"'),
            ask(
                "smbclient -s $DIR/client.conf -N -m NT1 --option='client min protocol=NT1' //$SERVER/site -c 'ls; get 8k.json c.json'", may_fail=True
            ),
            ask("smbclient -s $DIR/client.conf -N -p 139 //$SERVER/site -c 'get 1k.txt d'", may_fail=True),
            ask("smbclient -s $DIR/client.conf -U 'someone%wrong' //$SERVER/none -c ls", may_fail=True),
        ],
    ),
    Program(
        "libnfs",
        {"tcp/2049": "nfs", "udp/111": "nfs", "tcp/111": "nfs", "tcp/*": "nfs", "udp/*": "nfs"},
        version="ganesha.nfsd -v",
        tools={"ganesha.nfsd": "nfs-ganesha", "nfs-cat": "libnfs-utils"},
        files={
            "ganesha.conf": """
NFS_CORE_PARAM { Protocols = 4; NFS_Port = 2049; Enable_NLM = false; Enable_RQUOTA = false; }
NFSv4 { Graceless = true; RecoveryRoot = "$DIR/nfs"; }
NFS_KRB5 { Active_krb5 = false; }
EXPORT { Export_Id = 7; Path = $DIR/share; Pseudo = /site; Access_Type = RW; Squash = No_Root_Squash; SecType = sys; Protocols = 4; Transports = TCP; FSAL { Name = VFS; } }
"""
        },
        steps=[
            setup("mkdir -p nfs share && cp $SITE/* share/ && mkdir -p /run/ganesha /var/run/ganesha"),
            serve("ganesha.nfsd -F -L $DIR/ganesha.log -f $DIR/ganesha.conf -p $DIR/ganesha.pid", "tcp/2049"),
            ask('nfs-ls "nfs://$SERVER/site/?version=4"'),
            ask('nfs-cat "nfs://$SERVER/site/20k.html?version=4" >a'),
            ask('nfs-cat "nfs://$SERVER/site/200k.bin?version=4" >b'),
            ask('nfs-cp $SITE/60k.png "nfs://$SERVER/site/new.png?version=4"', may_fail=True),
        ],
    ),
    Program(
        "aria2",
        {"udp/6771": "bittorrent", "udp/6881": "bittorrent", "tcp/*": "bittorrent", "udp/*": "bittorrent"},
        version="aria2c --version",
        tools={"aria2c": "aria2", "mktorrent": "mktorrent"},
        steps=[
            setup(
                "mkdir seed leech && for f in 200k.bin 700k.bin 20k.html; do cp $SITE/$f seed/ && mktorrent -l 15 -o $f.torrent -a "
                "http://$SERVER:1/none seed/$f; done"
            ),
            serve(f"{ARIA} -d $DIR/seed --seed-ratio=0 --check-integrity=true --listen-port=6881 --dht-listen-port=6881 *.torrent", "tcp/6881"),
            *[
                ask(
                    f"sleep 1; {ARIA} -d $DIR/leech --seed-time=0 --listen-port=69{n}1 --dht-listen-port=69{n}1 --bt-stop-timeout=12 {options} "
                    f"{name}.torrent",
                    may_fail=True,
                    timeout=20,
                )
                for n, (name, options) in enumerate(
                    (("200k.bin", ""), ("700k.bin", "--bt-require-crypto=true --bt-min-crypto-level=arc4"), ("20k.html", ""))
                )
            ],
        ],
    ),
    Program(
        "libtorrent",
        {"udp/*": "bittorrent", "tcp/*": "bittorrent"},
        version='"$PYTHON" -c "import libtorrent; print(libtorrent.__version__)"',
        modules=["libtorrent"],
        steps=[
            serve('"$PYTHON" "$HELPERS/torrent.py" seed', "tcp/6881"),
            *[
                ask(f'"$PYTHON" "$HELPERS/torrent.py" {name} {how}', timeout=40)
                for name, how in (("20k.html", "tcp"), ("200k.bin", "tcp"), ("200k.bin", "utp"), ("700k.bin", "utp"), ("60k.png", "encrypted"))
            ],
        ],
    ),
]
