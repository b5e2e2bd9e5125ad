"""A next hop that takes everything and keeps it as it came, octet by octet."""

import collections
import contextlib
import socket
import threading

Arrival = collections.namedtuple("Arrival", "sender recipients octets parameters")


class Capture:
    """An SMTP server at an address. `arrivals` is what it took."""

    def __init__(self, world, address, offers=("8BITMIME", "SMTPUTF8", "PIPELINING"), port=25):
        self.offers = offers
        self.arrivals, self.connections = [], []
        self.socket = socket.create_server((address, port), backlog=200)
        threading.Thread(target=self._listen, daemon=True).start()
        world.add(self)

    def stop(self):
        # Closing alone would leave the thread that waits in it.
        for one in [self.socket, *self.connections]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _listen(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection, connection.makefile("rwb") as stream:
            def say(text):
                stream.write(text.encode() + b"\r\n")
                stream.flush()

            say("220 capture.example ESMTP")
            sender, recipients, parameters = None, [], b""
            while line := stream.readline():
                verb = line[:4].upper()
                if verb == b"EHLO":
                    lines = ["capture.example", *self.offers]
                    for index, offer in enumerate(lines):
                        say(f"250{' ' if index + 1 == len(lines) else '-'}{offer}")
                elif verb == b"MAIL":
                    sender, recipients = path(line), []
                    parameters = line.rsplit(b">", 1)[-1].upper().strip()
                    say("250 ok")
                elif verb == b"RCPT":
                    recipients.append(path(line))
                    say("250 ok")
                elif verb == b"DATA":
                    say("354 go on")
                    octets = bytearray()
                    while (line := stream.readline()) not in (b".\r\n", b""):
                        octets += line[1:] if line.startswith(b".") else line
                    self.arrivals.append(Arrival(sender, recipients, bytes(octets), parameters))
                    say("250 ok")
                elif verb == b"QUIT":
                    say("221 bye")
                    return
                else:
                    say("250 ok")


def path(line):
    return line.split(b"<", 1)[-1].rsplit(b">", 1)[0].decode(errors="replace")
