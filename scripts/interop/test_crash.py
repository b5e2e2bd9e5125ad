"""kill -9 under load: what was acknowledged arrives, and twice only where it may."""

import collections
import random
import re
import socket
import threading
import time

from peers import RECORDS, SENDER_ADDRESS, Puerto, Unbound, final_postfix

MESSAGES = 10_000
CLIENTS = 10
CONNECTIONS = 20  # to the one destination, as configured by default


class Sender(threading.Thread):
    """Sends its share of messages, again and again until each is acknowledged
    or the attempt was left without an answer."""

    def __init__(self, numbers, acknowledged, unanswered):
        super().__init__(daemon=True)
        self.numbers, self.acknowledged, self.unanswered = numbers, acknowledged, unanswered

    def run(self):
        connection = None
        for number in self.numbers:
            while True:
                try:
                    connection = connection or self.connect()
                    self.send(connection, number)
                    break
                except (OSError, EOFError):
                    connection = None
                    time.sleep(0.02)
                except Unanswered:
                    # Whether this copy was taken is not known, so another follows.
                    connection = None
                    self.unanswered.append(number)
        if connection:
            connection.close()

    def connect(self):
        connection = socket.create_connection((SENDER_ADDRESS, 25), timeout=60)
        stream = connection.makefile("rwb", buffering=65536)
        self.expect(stream, b"220")
        self.command(stream, b"EHLO client.example.com\r\n", b"250")
        return stream

    def expect(self, stream, code):
        while True:
            line = stream.readline()
            if not line:
                raise EOFError
            if not line.startswith(code):
                raise OSError(line)
            if line[3:4] == b" ":
                return line

    def command(self, stream, line, code):
        stream.write(line)
        stream.flush()
        return self.expect(stream, code)

    def send(self, stream, number):
        stream.write(b"MAIL FROM:<me@example.com>\r\nRCPT TO:<you@example.net>\r\nDATA\r\n")
        stream.flush()
        self.expect(stream, b"250")
        self.expect(stream, b"250")
        self.expect(stream, b"354")
        stream.write(b"From: me@example.com\r\nSubject: n\r\nX-Number: %d\r\n\r\n" % number
                     + b"x" * 500 + b"\r\n.\r\n")
        try:
            stream.flush()
            self.expect(stream, b"250")
        except (OSError, EOFError) as error:
            raise Unanswered from error
        self.acknowledged.append(number)


class Unanswered(Exception):
    """The connection died between the final dot and the answer."""


def test_ten_thousand_messages_with_kill_9_every_second(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Puerto(world, "", '[queue]\nretry = ["1s"]\n')
    acknowledged, unanswered = [], []
    senders = [Sender(range(c, MESSAGES, CLIENTS), acknowledged, unanswered)
               for c in range(CLIENTS)]
    for sender in senders:
        sender.start()
    kills = 0
    while any(sender.is_alive() for sender in senders) or final.count() < MESSAGES:
        time.sleep(random.uniform(0.5, 1.5))
        puerto.kill()
        kills += 1
        puerto.start()
        assert kills < 300, f"not drained: {final.count()} arrived, {kills} kills"
    puerto.wait_empty(120)
    assert len(acknowledged) == MESSAGES
    time.sleep(1)
    copies = collections.Counter(
        int(re.search(rb"X-Number: (\d+)", m).group(1)) for m in final.messages())
    lost = [n for n in range(MESSAGES) if copies[n] == 0]
    assert not lost, f"{len(lost)} acknowledged messages never arrived, such as {lost[:5]}"
    extra = sum(copies.values()) - MESSAGES
    allowed = len(unanswered) + kills * CONNECTIONS
    assert extra <= allowed, f"{extra} copies too many, {allowed} would be excusable"
    return f"{kills} kills, {len(unanswered)} unanswered, {extra} duplicates, 0 lost"
