"""Files: copies, shares and version control."""

from program import Program, ask, serve, setup

PROGRAMS = [
    Program(
        "rsync", {"tcp/873": "rsync"}, version="rsync --version", tools={"rsync": "rsync"},
        files={"rsyncd.conf": "use chroot = no\nuid = root\ngid = root\n[site]\npath = $SITE\n[upload]\npath = $DIR/upload\nread only = no\n"},
        steps=[
            setup("mkdir upload"),
            serve("rsync --daemon --no-detach --config=$DIR/rsyncd.conf --log-file=/dev/null", "tcp/873"),
            ask("rsync $SERVER::"),
            ask("rsync -a $SERVER::site/20k.html a"),
            ask("rsync -az $SERVER::site/ mirror/"),
            ask("rsync -a $SERVER::site/ mirror/"),
            ask("rsync -a $SITE/200k.bin $SERVER::upload/"),
        ]),
    Program(
        "git", {"tcp/9418": "git"}, version="git --version", tools={"git": "git"},
        steps=[
            setup("git config --global user.name Lab && git config --global user.email lab@example.org && git config --global safe.directory '*' && "
                  "git init -q --bare repo.git && git init -q work && cp $SITE/20k.html $SITE/60k.png work/ && git -C work add . && "
                  "git -C work commit -qm first && git -C work push -q ../repo.git HEAD:main && git -C repo.git symbolic-ref HEAD refs/heads/main"),
            serve("git daemon --reuseaddr --export-all --enable=receive-pack --base-path=$DIR", "tcp/9418"),
            ask("git ls-remote -q git://$SERVER/repo.git"),
            ask("git clone -q git://$NAME/repo.git clone"),
            ask("git clone -q --depth 1 git://$SERVER6/repo.git clone6 || git clone -q --depth 1 'git://['$SERVER6']/repo.git' clone6"),
            ask("cd clone && head -c 90000 /dev/urandom >more && git add more && git commit -qm more && git push -q origin HEAD:main"),
            ask("cd clone && git fetch -q && git pull -q origin main"),
        ]),
]
