"""Clients that send numbered messages, and the account of those that arrived."""

import collections
import itertools
import re
import socket
import threading
import time


def copies_of(messages):
    """How many copies of each number are among raw messages."""
    return collections.Counter(
        int(re.search(rb"X-Number: (\d+)", message).group(1)) for message in messages)


class Sender(threading.Thread):
    """Sends its share of messages, again and again until each is acknowledged. It goes
    from one server to the next whenever one does not take a message."""

    def __init__(self, addresses, numbers, acknowledged, unanswered, to="you@example.net",
                 pace=0.0):
        """`pace`: seconds from one message to the next at least."""
        super().__init__(daemon=True)
        self.addresses, self.numbers, self.to = itertools.cycle(addresses), numbers, to
        self.acknowledged, self.unanswered = acknowledged, unanswered
        self.given_up, self.pace = False, pace

    def run(self):
        connection = None
        due = time.monotonic()
        for number in self.numbers:
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + self.pace, time.monotonic() - 1)
            while not self.given_up:
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
        connection = socket.create_connection((next(self.addresses), 25), timeout=20)
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
                raise Refused(line)
            if line[3:4] == b" ":
                return line

    def command(self, stream, line, code):
        stream.write(line)
        stream.flush()
        return self.expect(stream, code)

    def send(self, stream, number):
        stream.write(b"MAIL FROM:<me@example.com>\r\nRCPT TO:<%s>\r\nDATA\r\n" % self.to.encode())
        stream.flush()
        self.expect(stream, b"250")
        self.expect(stream, b"250")
        self.expect(stream, b"354")
        stream.write(b"From: me@example.com\r\nSubject: n\r\nX-Number: %d\r\n\r\n" % number
                     + b"x" * 500 + b"\r\n.\r\n")
        try:
            stream.flush()
            self.expect(stream, b"250")
        except Refused:
            raise
        except (OSError, EOFError) as error:
            raise Unanswered from error
        self.acknowledged.append(number)


class Refused(OSError):
    """An answer that takes nothing: the message is not the server's."""


class Unanswered(Exception):
    """The connection died between the final dot and the answer."""
