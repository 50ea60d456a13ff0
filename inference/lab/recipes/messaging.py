"""Messages: brokers, chat, and what small things say."""

from program import Program, ask, join, serve, setup

NATS = """
import asyncio, os, sys, nats
async def main():
    c = await nats.connect(f"nats://{sys.argv[1]}:4222")
    got = []
    async def take(m):
        got.append(m)
        if m.reply: await m.respond(b"yes")
    await c.subscribe("orders.*", cb=take)
    for i in range(int(sys.argv[2])):
        await c.publish("orders.new", os.urandom(int(sys.argv[3])))
    await c.request("orders.ask", b"there?", timeout=5)
    await c.drain()
asyncio.run(main())
"""
PIKA = """
import pika, sys
c = pika.BlockingConnection(pika.ConnectionParameters(sys.argv[1], credentials=pika.PlainCredentials("lab", "words")))
ch = c.channel()
ch.queue_declare("work"); ch.confirm_delivery()
for i in range(int(sys.argv[2])):
    ch.basic_publish("", "work", b"job " * int(sys.argv[3]), pika.BasicProperties(delivery_mode=2, headers={"n": i}))
for i in range(int(sys.argv[2])):
    method, _, _ = ch.basic_get("work")
    ch.basic_ack(method.delivery_tag)
c.close()
"""
PAHO = """
import sys, time, paho.mqtt.client as mqtt
host, version, count, size, qos = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
got = []
c = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"meter-{count}", protocol=version)
c.on_message = lambda client, data, message: got.append(message)
c.connect(host, 1883, 30); c.loop_start()
c.subscribe("house/+/temperature", qos)
for i in range(count):
    c.publish(f"house/{i % 4}/temperature", b"21.5 " * size, qos, retain=i == 0).wait_for_publish(10)
end = time.monotonic() + 5
while len(got) < count and time.monotonic() < end: time.sleep(0.05)
c.disconnect(); c.loop_stop()
"""
XMPP = """
import asyncio, sys, slixmpp
class Client(slixmpp.ClientXMPP):
    def __init__(self, name, other, count):
        super().__init__(f"{name}@example.org", "words")
        self.other, self.count = other, count
        self.enable_starttls = False; self.enable_direct_tls = False; self.enable_plaintext = True
        self["feature_mechanisms"].unencrypted_plain = True
        self["feature_mechanisms"].unencrypted_scram = True
        self.add_event_handler("session_start", self.start)
    async def start(self, _):
        self.send_presence(); await self.get_roster()
        for i in range(self.count):
            self.send_message(mto=f"{self.other}@example.org", mbody=f"Message {i}: " + "hello " * (i % 12), mtype="chat")
            await asyncio.sleep(0.1)
        await self.disconnect()
async def main():
    c = Client(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    c.connect(sys.argv[1], 5222)
    await asyncio.wait_for(c.disconnected, 15)
asyncio.run(main())
"""
IRC = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], 6667)); f = s.makefile("rw", newline="\\r\\n", encoding="utf-8")
def say(line): f.write(line + "\\r\\n"); f.flush()
nick = sys.argv[2]
say(f"NICK {nick}"); say(f"USER {nick} 0 * :{nick} of the lab")
for line in f:
    if line.startswith("PING"): say("PONG" + line[4:].rstrip())
    if " 376 " in line or " 422 " in line: break
say("JOIN #lab"); say("LIST"); say("WHO #lab")
for i in range(int(sys.argv[3])): say(f"PRIVMSG #lab :line {i} of what there is to say " + "la " * (i % 9)); time.sleep(0.1)
say("TOPIC #lab :all and sundry"); say("QUIT :bye")
for line in f: pass
"""

PROGRAMS = [
    Program(
        "mosquitto",
        {"tcp/1883": "mqtt", "tcp/8883": "tls:mqtt"},
        version="mosquitto -h",
        tools={"mosquitto": "mosquitto", "mosquitto_pub": "mosquitto-clients"},
        files={
            "m.conf": (
                "listener 1883\nallow_anonymous true\nlistener 8883\nallow_anonymous true\ncafile $CA\ncertfile $CERT\nkeyfile $KEY\nuser root\n"
            )
        },
        steps=[
            serve("mosquitto -c $DIR/m.conf", "tcp/8883"),
            join("mosquitto_sub -h $SERVER -i listener -t 'house/#' -t '$SYS/broker/uptime'"),
            ask("mosquitto_pub -h $SERVER -t house/door -m open"),
            ask("mosquitto_pub -h $SERVER -t house/picture -f $SITE/20k.html -q 1"),
            ask('for i in $(seq 1 20); do echo "reading $i"; done | mosquitto_pub -h $SERVER -V 5 -t house/meter -l -q 2'),
            ask("mosquitto_pub -h $SERVER6 -V 311 -u lab -P words -t house/light -m off -r --will-topic house/gone --will-payload x"),
            ask("mosquitto_pub -h $NAME -p 8883 --cafile $CA -t house/secret -m words"),
            ask("mosquitto_sub -h $SERVER -t house/light -C 1 -W 4"),
        ],
    ),
    Program(
        "paho",
        {"tcp/1883": "mqtt"},
        version='"$PYTHON" -c "import paho.mqtt; print(paho.mqtt.__version__)"',
        modules=["paho.mqtt"],
        tools={"mosquitto": "mosquitto"},
        files={"m.conf": "listener 1883\nallow_anonymous true\nuser root\n", "client.py": PAHO},
        steps=[
            serve("mosquitto -c $DIR/m.conf", "tcp/1883"),
            ask('"$PYTHON" client.py $SERVER 4 3 2 0'),
            ask('"$PYTHON" client.py $SERVER 5 30 40 1'),
            ask('"$PYTHON" client.py $SERVER6 4 10 300 2'),
        ],
    ),
    Program(
        "rabbitmq",
        {"tcp/5672": "amqp"},
        version="dpkg-query -W -f '${Version}' rabbitmq-server",
        modules=["pika"],
        tools={"rabbitmq-server": "rabbitmq-server"},
        variants=("near",),
        files={"client.py": PIKA},
        steps=[
            serve(
                "hostname lab; mkdir -p /run/rabbitmq; chmod 755 $DIR; /usr/lib/erlang/bin/epmd -daemon 2>/dev/null; echo 127.0.0.1 lab "
                ">>/etc/hosts; "
                "HOME=$DIR RABBITMQ_PID_FILE=$DIR/r.pid RABBITMQ_MNESIA_BASE=$DIR/mnesia RABBITMQ_LOGS=- "
                "RABBITMQ_ENABLED_PLUGINS_FILE=$DIR/plugins RABBITMQ_NODENAME=rabbit@lab "
                'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=\'-rabbit default_user <<"lab">> -rabbit default_pass <<"words">> -rabbit loopback_users []\' '
                "sh -c '$(ls /usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server)'",
                "tcp/5672",
                timeout=90,
            ),
            ask('sleep 3; "$PYTHON" client.py $SERVER 2 10'),
            ask('"$PYTHON" client.py $SERVER 25 400'),
            ask('"$PYTHON" client.py $SERVER6 8 50'),
        ],
    ),
    Program(
        "nats",
        {"tcp/4222": "nats"},
        version="nats-server --version",
        go="nats-server",
        modules=["nats"],
        files={"client.py": NATS},
        steps=[
            serve("nats-server -a :: -p 4222", "tcp/4222"),
            ask('"$PYTHON" client.py $SERVER 3 20'),
            ask('"$PYTHON" client.py $SERVER 40 900'),
            ask('"$PYTHON" client.py "[$SERVER6]" 10 100'),
        ],
    ),
    Program(
        "libcoap",
        {"udp/5683": "coap"},
        version="coap-client-notls -h",
        tools={"coap-server-notls": "libcoap3-bin", "coap-client-notls": "libcoap3-bin"},
        steps=[
            serve("coap-server-notls -d 10", "udp/5683"),
            ask("coap-client-notls -m get coap://$SERVER/.well-known/core"),
            ask("coap-client-notls -m get coap://$SERVER/time"),
            ask("coap-client-notls -m get -N coap://$SERVER/"),
            ask("coap-client-notls -m put -e 'a new thing' coap://$SERVER/example_data"),
            ask("coap-client-notls -m put -f $SITE/8k.json -b 512 coap://$SERVER/example_data"),
            ask("coap-client-notls -m get -s 3 coap://$SERVER/time"),
            ask("coap-client-notls -m get 'coap://['$SERVER6']/example_data'"),
        ],
    ),
    Program(
        "ngircd",
        {"tcp/6667": "irc"},
        version="ngircd --version",
        tools={"ngircd": "ngircd"},
        files={
            "ngircd.conf": "[Global]\nName = irc.example.org\nInfo = Lab\nListen = ::,0.0.0.0\nMotdPhrase = Hello all\nServerUID = irc\nServerGID = irc\n[Limits]\nMaxConnectionsIP = 0\n"
            "[Options]\nDNS = no\nIdent = no\nPAM = no\n",
            "client.py": IRC,
        },
        steps=[
            serve("ngircd -n -f $DIR/ngircd.conf", "tcp/6667"),
            join('for i in 1 2 3; do "$PYTHON" client.py $SERVER listener$i 25; done'),
            ask('"$PYTHON" client.py $SERVER ann 3'),
            ask('"$PYTHON" client.py $SERVER bob 15'),
            ask('"$PYTHON" client.py $SERVER6 eve 6'),
        ],
    ),
    Program(
        "prosody",
        {"tcp/5222": "xmpp"},
        version="prosodyctl about",
        tools={"prosody": "prosody"},
        modules=["slixmpp"],
        files={
            "prosody.cfg.lua": """
data_path = "$DIR/prosody"; pidfile = "$DIR/prosody.pid"; run_as_root = true; daemonize = false
modules_enabled = {"roster", "saslauth", "disco", "ping", "version", "offline", "message", "presence", "iq"}
modules_disabled = {"s2s", "tls"}
c2s_require_encryption = false; allow_unencrypted_plain_auth = true; authentication = "internal_plain"; interfaces = {"*"}; c2s_ports = {5222}
c2s_direct_tls_ports = {}; log = { info = "*console" }; plugin_paths = {}; certificates = "$DIR"
VirtualHost "example.org"
""",
            "client.py": XMPP,
        },
        steps=[
            setup("mkdir -p prosody && for n in ann bob eve; do prosodyctl --root --config $DIR/prosody.cfg.lua register $n example.org words; done"),
            serve("prosody --root --config $DIR/prosody.cfg.lua", "tcp/5222"),
            join('"$PYTHON" client.py $SERVER eve ann 60'),
            ask('"$PYTHON" client.py $SERVER ann bob 2'),
            ask('"$PYTHON" client.py $SERVER bob ann 12'),
            ask('"$PYTHON" client.py $SERVER ann eve 6'),
        ],
    ),
    Program(
        "aiocoap",
        {"udp/5683": "coap"},
        version='"$PYTHON" -c "import aiocoap.meta; print(aiocoap.meta.version)"',
        modules=["aiocoap"],
        variants=("near", "far"),
        steps=[
            serve('"$PYTHON" "$HELPERS/coap.py" serve', "udp/5683"),
            *[
                ask(f'"$PYTHON" "$HELPERS/coap.py" {what}')
                for what in (
                    "GET .well-known/core 0",
                    "GET kitchen/temperature 0",
                    "PUT kitchen/temperature 20",
                    "PUT attic/temperature 900",
                    "GET none 0",
                )
            ],
        ],
    ),
]
