"""SSH with asyncssh: ssh.py serve, or ssh.py run|sftp|type TIMES, to $SERVER."""

import asyncio
import os
import sys
from pathlib import Path

import asyncssh


class Anybody(asyncssh.SSHServer):
    def begin_auth(self, username):
        return True

    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        return password == "words"


async def shell(process):
    process.stdout.write(f"Welcome: {process.command}\n")
    async for line in process.stdin:
        if line.strip() == "exit":
            break
        process.stdout.write(f"You said: {line}" * 3)
    process.exit(0)


async def serve():
    key = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    await asyncssh.create_server(Anybody, "", 22, server_host_keys=[key], process_factory=shell, sftp_factory=True)
    await asyncio.Future()


async def talk(what: str, times: int):
    async with asyncssh.connect(
        os.environ["SERVER"], known_hosts=None, username="lab", password="words", client_keys=None, config=None
    ) as connection:
        if what == "run":
            for i in range(times):
                print(await connection.run(f"job {i}", input="some lines\n" * 20))
        elif what == "type":
            async with connection.create_process(term_type="xterm") as process:
                for i in range(times):
                    process.stdin.write(f"word {i}\n")
                    await asyncio.sleep(0.1)
                process.stdin.write("exit\n")
        else:
            async with connection.start_sftp_client() as sftp:
                for i in range(times):
                    await sftp.get(str(Path(os.environ["SITE"]) / "200k.bin"), f"got-{i}")
                    print(await sftp.listdir(os.environ["SITE"]))


asyncio.run(serve() if sys.argv[1] == "serve" else talk(sys.argv[1], int(sys.argv[2])))
