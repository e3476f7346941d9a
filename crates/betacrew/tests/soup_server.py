"""An exchange that speaks SoupBinTCP, as the venue's own package has it.

soup_server.py check
soup_server.py serve OPTIONS    OPTIONS is a JSON object:
    messages  file with the session's messages, each behind a 16-bit big-endian length
    breaks    messages sent until a connection is broken, drawn up to this number; 0: never
    seed      of what is drawn
    session   name of the session
    user, password    of the only user; without them any login is accepted
    late      logins that are rejected because the session is not available yet
    end       whether the session ends after its last message

Prints its port, then a line of JSON for each login: [user, session, sequence].
"""

import asyncio
import json
import random
import sys

from nasdaq_protocols import soup


def split(stream):
    messages = []
    while stream:
        end = 2 + int.from_bytes(stream[:2], "big")
        messages.append(bytes(stream[2:end]))
        stream = stream[end:]
    return messages


class Exchange:
    def __init__(self, options):
        self.messages = split(memoryview(open(options["messages"], "rb").read()))
        self.breaks = options.get("breaks", 0)
        self.rng = random.Random(options.get("seed", 1))
        self.session = options.get("session", "DAY1")
        self.user = options.get("user")
        self.password = options.get("password")
        self.late = options.get("late", 0)
        self.end = options.get("end", True)


class Session(soup.SoupServerSession, session_type="server"):
    exchange = None

    async def on_login(self, msg):
        exchange = Session.exchange
        print(json.dumps([msg.user, msg.session, int(msg.sequence)]), flush=True)
        if exchange.user and (msg.user, msg.password) != (exchange.user, exchange.password):
            return soup.LoginRejected(soup.LoginRejectReason.NOT_AUTHORIZED)
        if exchange.late > 0:
            exchange.late -= 1
            return soup.LoginRejected(soup.LoginRejectReason.SESSION_NOT_AVAILABLE)
        if msg.session not in ("", exchange.session):
            return soup.LoginRejected(soup.LoginRejectReason.SESSION_NOT_AVAILABLE)
        self.sequence = int(msg.sequence) or len(exchange.messages) + 1
        asyncio.get_running_loop().call_soon(self.stream)
        return soup.LoginAccepted(exchange.session, self.sequence)

    def stream(self):
        asyncio.create_task(self.play())

    async def play(self):
        exchange = Session.exchange
        left = exchange.rng.randint(1, exchange.breaks) if exchange.breaks else None
        while self.sequence <= len(exchange.messages) and not self.is_closed():
            if left == 0:
                self._transport.abort()
                return
            left = left and left - 1
            self.send_seq_msg(exchange.messages[self.sequence - 1])
            if self.sequence % 1000 == 0:
                while self._transport.get_write_buffer_size() > 1 << 16:
                    await asyncio.sleep(0.001)
        if exchange.end:
            self.end_session()

    async def on_unsequenced(self, msg):
        pass


async def serve(options):
    Session.exchange = Exchange(json.loads(options))
    server = await asyncio.get_running_loop().create_server(Session, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "serve":
        asyncio.run(serve(*arguments))
