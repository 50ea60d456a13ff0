"""Databases: their servers, and the clients that come with them."""

from program import Program, ask, serve, setup

# PostgreSQL refuses to be root.
POSTGRES = 'PATH="$(ls -d /usr/lib/postgresql/*/bin | tail -1):$PATH"; setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=$DIR/pg'
MYSQL = "mariadb --defaults-file=/dev/null -h $SERVER -u lab -pwords"
QUERIES = {
    "small.sql": "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(80));\n"
    + "".join(f"INSERT INTO people VALUES ({i}, 'Person number {i} of many');\n" for i in range(60))
    + "SELECT * FROM people WHERE id < 7;\n",
    "large.sql": "SELECT a.id, a.name, b.name FROM people a CROSS JOIN people b ORDER BY a.id;\n",
}

PROGRAMS = [
    Program(
        "redis",
        {"tcp/6379": "redis"},
        version="redis-server --version",
        tools={"redis-server": "redis-server", "redis-cli": "redis-tools"},
        steps=[
            serve("redis-server --bind '*' '-::*' --protected-mode no --save '' --dir $DIR", "tcp/6379"),
            ask("redis-cli -h $SERVER ping"),
            ask("redis-cli -h $SERVER set greeting 'hello, you'"),
            ask('for i in $(seq 1 40); do echo "lpush list item-$i"; done | redis-cli -h $SERVER'),
            ask("printf 'lrange list 0 -1\\nincr counter\\nhset user:7 name Ann city Berlin\\nhgetall user:7\\ninfo\\n' | redis-cli -h $SERVER6"),
            ask("redis-benchmark -h $SERVER -n 60 -c 2 -t set,get,lpush -q"),
            ask("redis-cli -3 -h $SERVER keys '*'"),
        ],
    ),
    Program(
        "redis-python",
        {"tcp/6379": "redis"},
        version='"$PYTHON" -c "import redis; print(redis.__version__)"',
        modules=["redis"],
        tools={"redis-server": "redis-server"},
        files={
            "client.py": """
import redis, sys
r = redis.Redis(host=sys.argv[1], protocol=int(sys.argv[2]))
pipe = r.pipeline()
for i in range(int(sys.argv[3])):
    pipe.set(f"session:{i}", "x" * (i % 50 + 3), ex=60)
pipe.execute()
print([r.get(f"session:{i}") for i in range(5)], r.zadd("z", {"a": 1, "b": 2}), r.zrange("z", 0, -1, withscores=True))
"""
        },
        steps=[
            serve("redis-server --bind '*' '-::*' --protected-mode no --save '' --dir $DIR", "tcp/6379"),
            ask('"$PYTHON" client.py $SERVER 2 5'),
            ask('"$PYTHON" client.py $SERVER 3 200'),
            ask('"$PYTHON" client.py $SERVER6 2 60'),
        ],
    ),
    Program(
        "memcached",
        {"tcp/11211": "memcached"},
        version="memcached --version",
        tools={"memcached": "memcached", "memccp": "libmemcached-tools"},
        steps=[
            serve("memcached -u root -l 0.0.0.0", "tcp/11211"),
            ask("memccp --servers=$SERVER $SITE/1k.txt"),
            ask("memccp --servers=$SERVER $SITE/20k.html $SITE/8k.json"),
            ask("memccat --servers=$SERVER 20k.html >a"),
            ask("memccat --servers=$SERVER 8k.json none >a", may_fail=True),
            ask("memcstat --servers=$SERVER"),
            ask("memccp --binary --servers=$SERVER $SITE/60k.png && memccat --binary --servers=$SERVER 60k.png >a"),
            ask("memcrm --servers=$SERVER 8k.json"),
        ],
    ),
    Program(
        "mariadb",
        {"tcp/3306": "mysql"},
        version="mariadb --version",
        tools={"mariadbd": "mariadb-server", "mariadb": "mariadb-client"},
        files=QUERIES,
        steps=[
            setup(
                "mariadb-install-db --no-defaults --user=root --datadir=$DIR/db --auth-root-authentication-method=normal --skip-test-db", timeout=60
            ),
            serve(
                "mariadbd --no-defaults --user=root --datadir=$DIR/db --socket=$DIR/db.sock --pid-file=$DIR/db.pid --bind-address='*' "
                "--innodb-buffer-pool-size=16M --ssl-cert=$CERT --ssl-key=$KEY --ssl-ca=$CA",
                "tcp/3306",
            ),
            setup(
                "mariadb --defaults-file=/dev/null -S $DIR/db.sock -u root -e \"CREATE DATABASE lab; GRANT ALL ON lab.* TO lab@'%' IDENTIFIED BY "
                "'words'\""
            ),
            ask(f"{MYSQL} -e 'SELECT VERSION(), NOW()'"),
            ask(f"{MYSQL} lab <small.sql"),
            ask(f"{MYSQL} lab <large.sql"),
            ask(f"{MYSQL} lab --compress <large.sql"),
            ask(f"{MYSQL} lab --ssl <large.sql"),
            ask("mariadb --defaults-file=/dev/null -h $SERVER -u lab -pwrong", may_fail=True),
            ask("mariadb-dump --no-defaults -h $SERVER -u lab -pwords lab >dump.sql"),
        ],
    ),
    Program(
        "pymysql",
        {"tcp/3306": "mysql"},
        version='"$PYTHON" -c "import pymysql; print(pymysql.__version__)"',
        modules=["pymysql"],
        tools={"mariadbd": "mariadb-server"},
        variants=("near",),
        files={
            "client.py": """
import pymysql, sys
c = pymysql.connect(host=sys.argv[1], user="lab", password="words", database="lab")
with c.cursor() as cursor:
    cursor.execute("CREATE TABLE IF NOT EXISTS t (id INT, words TEXT)")
    cursor.executemany("INSERT INTO t VALUES (%s, %s)", [(i, "some words " * (i % 9)) for i in range(int(sys.argv[2]))])
    c.commit()
    cursor.execute("SELECT * FROM t")
    print(len(cursor.fetchall()))
c.close()
"""
        },
        steps=[
            setup(
                "mariadb-install-db --no-defaults --user=root --datadir=$DIR/db --auth-root-authentication-method=normal --skip-test-db", timeout=60
            ),
            serve(
                "mariadbd --no-defaults --user=root --datadir=$DIR/db --socket=$DIR/db.sock --pid-file=$DIR/db.pid --bind-address='*' "
                "--innodb-buffer-pool-size=16M",
                "tcp/3306",
            ),
            setup(
                "mariadb --defaults-file=/dev/null -S $DIR/db.sock -u root -e \"CREATE DATABASE lab; GRANT ALL ON lab.* TO lab@'%' IDENTIFIED BY "
                "'words'\""
            ),
            ask('"$PYTHON" client.py $SERVER 3'),
            ask('"$PYTHON" client.py $SERVER 300'),
            ask('"$PYTHON" client.py $SERVER6 40'),
        ],
    ),
    Program(
        "postgresql",
        {"tcp/5432": "postgresql"},
        version="psql --version",
        tools={"psql": "postgresql-client", "pg_lsclusters": "postgresql"},
        files=QUERIES,
        steps=[
            setup(
                "mkdir pg && chown 65534:65534 pg && cp $CERT pg/cert.pem && cp $KEY pg/key.pem && chown 65534 pg/*.pem && chmod 600 pg/key.pem "
                f"&& {POSTGRES} "
                "sh -c 'printf words >pg/password; initdb -D pg/data -U lab --auth=scram-sha-256 --pwfile=pg/password >/dev/null' && "
                "echo 'host all all all scram-sha-256' >>pg/data/pg_hba.conf",
                timeout=60,
            ),
            serve(
                f"{POSTGRES} postgres -D pg/data -h '*' -k $DIR/pg -c ssl=on -c ssl_cert_file=$DIR/pg/cert.pem -c ssl_key_file=$DIR/pg/key.pem",
                "tcp/5432",
            ),
            *[
                ask(f'PGPASSWORD=words psql -q "host={host} user=lab dbname=postgres sslmode={tls} gssencmode=disable" {query}', may_fail=fails)
                for host, tls, query, fails in (
                    ("$SERVER", "disable", "-c 'SELECT version()'", False),
                    ("$SERVER", "disable", "-f small.sql", False),
                    ("$SERVER", "disable", "-f large.sql", False),
                    ("$SERVER6", "disable", "-c 'SELECT broken FROM nothing'", True),
                    ("$SERVER", "require", "-f large.sql", False),
                    ("$SERVER", "prefer", "-c '\\d'", False),
                )
            ],
            ask('PGPASSWORD=words pg_dump "host=$SERVER user=lab dbname=postgres sslmode=disable gssencmode=disable" >dump.sql'),
        ],
    ),
]
