"""A next hop that does as it is told, and a client that notes what it was told.

Postfix is too slow for some tests and too well-behaved for the others: this sink
refuses, hangs, hangs up and forgets to answer at the stage that a test names.
"""

import collections
import contextlib
import hashlib
import re
import socket
import struct
import threading

from peers import SENDER_ADDRESS

DROP, RESET, HANG, WAIT, LOST = "drop", "reset", "hang", "wait", "lost"
STAGES = ["banner", "ehlo", "mail", "rcpt", "data", "body", "dot", "rset", "quit"]
# Content up to this is kept; of more, only the hash.
KEPT = 64 * 1024


class Message:
    """What the sink took: the envelope, the start of the content and the hash of its body."""

    def __init__(self, sender, recipients):
        self.sender, self.recipients = sender, recipients
        self.octets, self.start = 0, bytearray()
        self._hash, self._in_body, self._tail = hashlib.sha256(), False, b""

    def take(self, octets):
        self.octets += len(octets)
        if len(self.start) < KEPT:
            self.start += octets[:KEPT - len(self.start)]
        if not self._in_body:
            self._tail += octets
            _, end, octets = self._tail.partition(b"\r\n\r\n")
            if not end:
                return
            self._in_body, self._tail = True, b""
        self._hash.update(octets)

    @property
    def body_hash(self):
        return self._hash.hexdigest()

    @property
    def number(self):
        """What the header field X-Number says."""
        found = re.search(rb"^X-Number: (\S+)\r$", self.start, re.MULTILINE)
        return int(found.group(1)) if found else None


class Sink:
    """An SMTP server on port 25 of an address.

    `misbehave(stage, action)` says what it does at a stage: a reply such as
    "451 4.3.0 busy", or DROP, RESET, HANG (until `release`, and then drop), and at
    "dot" WAIT (until `release`, and then take it) or LOST: it keeps the message, and
    closes without an answer. `recipients` maps addresses to
    replies to their RCPT.
    """

    def __init__(self, world, address):
        self.address = address
        self.messages, self.sessions, self.peak, self.attempts = [], 0, 0, []
        self.recipients = {}
        self.waiting = 0
        self._manners = {}
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._closed = False
        self._listener = socket.create_server((address, 25), backlog=512)
        self._connections = set()
        threading.Thread(target=self._accept, daemon=True).start()
        world.add(self)

    def misbehave(self, stage, action, times=None):
        assert stage in STAGES
        self._manners[stage] = [action, times]

    def behave(self):
        self._manners.clear()
        self.release()

    def release(self):
        """Lets those go on that hang."""
        self._released.set()
        self._released = threading.Event()

    def copies(self):
        """How often each number came."""
        with self._lock:
            return collections.Counter(m.number for m in self.messages)

    def copies_for(self, recipient):
        with self._lock:
            return sum(m.recipients.count(recipient) for m in self.messages)

    def stop(self):
        """Closes everything, at once."""
        self._closed = True
        # A close alone would not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.release()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while not self._closed:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        with self._lock:
            self._connections.add(connection)
            self.sessions += 1
            self.peak = max(self.peak, len(self._connections))
        try:
            Visit(self, connection).run()
        except (OSError, EOFError):
            pass
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()

    def manner(self, stage):
        """What to do at a stage, if it is to be anything unusual."""
        with self._lock:
            self.attempts.append(stage)
            action, times = self._manners.get(stage, (None, None))
            if times is not None:
                self._manners[stage][1] = times - 1
                if times <= 0:
                    return None, None
            return action, self._released

    def keep(self, message):
        with self._lock:
            self.messages.append(message)


class Visit:
    """One connection to the sink."""

    def __init__(self, sink, connection):
        self.sink, self.connection = sink, connection
        self.pending = bytearray()
        self.sender, self.recipients = None, []

    def run(self):
        self.answer("banner", "220 sink.example.net ESMTP")
        while True:
            line = self.line()
            verb = line[:4].upper()
            if verb == b"EHLO":
                self.answer("ehlo", "250-sink.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
                                    "250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES")
            elif verb == b"MAIL":
                if self.answer("mail", "250 2.1.0 ok"):
                    self.sender, self.recipients = address_in(line), []
            elif verb == b"RCPT":
                self.recipient(address_in(line))
            elif verb == b"DATA":
                self.data()
            elif verb == b"RSET":
                self.sender, self.recipients = None, []
                self.answer("rset", "250 2.0.0 ok")
            elif verb == b"QUIT":
                self.answer("quit", "221 2.0.0 bye")
                return
            else:
                self.reply("502 5.5.1 what?")

    def recipient(self, address):
        reply = self.sink.recipients.get(address)
        if reply:
            self.reply(reply)
        elif self.answer("rcpt", "250 2.1.5 ok"):
            self.recipients.append(address)

    def data(self):
        if not self.recipients:
            self.reply("503 5.5.1 no valid recipients")
            return
        if not self.answer("data", "354 go on"):
            return
        action, released = self.sink.manner("body")
        if action:
            self.more()
            self.act("body", action, released)
        message = Message(self.sender, self.recipients)
        self.content(message)
        action, released = self.sink.manner("dot")
        if action == LOST:
            self.sink.keep(message)
            raise EOFError
        if action == WAIT:
            self.sink.waiting += 1
            released.wait(60)
            self.sink.waiting -= 1
        if action in (None, WAIT):
            # Kept before the answer, so that whoever has seen it finds the message.
            self.sink.keep(message)
            self.reply("250 2.0.0 taken")
        else:
            self.act("dot", action, released)

    def content(self, message):
        start = True  # of a line
        while True:
            if start and self.pending.startswith(b".\r\n"):
                del self.pending[:3]
                return
            end = self.pending.find(b"\r\n.\r\n")
            if end >= 0:
                self.take(message, bytes(self.pending[:end + 2]), start)
                del self.pending[:end + 5]
                return
            # The end of the content may be cut anywhere.
            whole = len(self.pending) - 5
            if whole > 0:
                cut = self.pending.rfind(b"\r\n", 0, whole)
                if cut >= 0:
                    self.take(message, bytes(self.pending[:cut + 2]), start)
                    del self.pending[:cut + 2]
                    start = True
            self.more()

    @staticmethod
    def take(message, octets, start):
        if start and octets.startswith(b"."):
            octets = octets[1:]
        message.take(octets.replace(b"\r\n.", b"\r\n"))

    def answer(self, stage, reply):
        """Answers, unless something else is to be done; says whether it went well."""
        action, released = self.sink.manner(stage)
        if action is None:
            self.reply(reply)
            return True
        self.act(stage, action, released)
        return False

    def act(self, stage, action, released):
        if action == HANG:
            released.wait(60)
        if action in (DROP, HANG):
            raise EOFError
        if action == RESET:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            raise EOFError
        self.reply(action)
        if action.startswith("421") or stage == "banner":
            raise EOFError

    def reply(self, text):
        self.connection.sendall(text.encode() + b"\r\n")

    def line(self):
        while True:
            end = self.pending.find(b"\r\n")
            if end >= 0:
                line = bytes(self.pending[:end])
                del self.pending[:end + 2]
                return line
            self.more()

    def more(self):
        octets = self.connection.recv(256 * 1024)
        if not octets:
            raise EOFError
        self.pending += octets


def address_in(line):
    found = re.search(rb"<([^>]*)>", line)
    return found.group(1).decode() if found else ""


def numbered(number, size=500):
    """A small message that can be told from the others."""
    return (b"From: me@example.com\r\nSubject: n\r\nX-Number: %d\r\n\r\n" % number
            + (b"%064d\r\n" % number) * (size // 66 + 1))


def body_hash(content):
    return hashlib.sha256(content.partition(b"\r\n\r\n")[2]).hexdigest()


class Client:
    """An SMTP client: each command gives the reply's last line; a lost connection
    raises OSError."""

    def __init__(self, address=SENDER_ADDRESS, timeout=60):
        self.connection = socket.create_connection((address, 25), timeout=timeout)
        self.stream = self.connection.makefile("rb")
        self.banner = self.reply()
        if self.banner.startswith("220"):
            self.command("EHLO client.example.com")

    def reply(self):
        while True:
            line = self.stream.readline().decode()
            if not line:
                raise ConnectionError("the server hung up")
            if line[3:4] != "-":
                return line.rstrip()

    def command(self, line):
        self.connection.sendall(line.encode() + b"\r\n")
        return self.reply()

    def envelope(self, recipients, sender="me@example.com"):
        """MAIL, RCPT and DATA; the reply to the first that fails, or that to DATA."""
        for line in [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{r}>" for r in recipients)]:
            reply = self.command(line)
            if not reply.startswith("250"):
                self.command("RSET")
                return reply
        return self.command("DATA")

    def send(self, content, *recipients, sender="me@example.com"):
        """Sends a message (no line of which begins with a dot); returns the last reply."""
        reply = self.envelope(recipients or ["you@example.net"], sender)
        if reply.startswith("354"):
            self.connection.sendall(content + b".\r\n")
            reply = self.reply()
        return reply

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
