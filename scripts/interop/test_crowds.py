"""Peers that take connections and say nothing, by the hundred: whoever else gets mail,
on another host or on this one, gets it at once."""

import pathlib
import re
import selectors
import signal
import socket
import threading
import time

from peers import FINAL_ADDRESS, RECORDS, UNPRIVILEGED, Puerto, Unbound, run, wait_for
from scripted import Client, Sink, numbered

SILENT_ADDRESS = "127.0.0.66"
NETWORK = "10.9.8"
NAME_SERVER = "127.0.0.67"
MANY = 700
# Seconds in which mail for others must be there.
AT_ONCE = 5


class Silent:
    """SMTP servers at some addresses that fall silent at a stage: "banner", "drip" (an
    octet of a greeting without end now and then), "ehlo" (they answer that, and then
    nothing), "dot"."""

    def __init__(self, world, addresses, stage="banner"):
        self.stage, self.open, self.most, self.seen, self.by_address = stage, {}, 0, 0, {}
        self._selector = selectors.DefaultSelector()
        for address in addresses:
            listener = socket.create_server((address, 25), backlog=1024)
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ)
        self._closed = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        world.add(self)

    def stop(self):
        self._closed = True
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()

    def _serve(self):
        dripped = time.monotonic()
        while not self._closed:
            for key, _ in self._selector.select(0.2):
                try:
                    self._read(key.fileobj) if key.fileobj in self.open else self._accept(key.fileobj)
                except OSError:
                    self._drop(key.fileobj)
            if self.stage == "drip" and time.monotonic() > dripped + 1:
                dripped = time.monotonic()
                for connection in list(self.open):
                    try:
                        connection.send(b"220-wait a little\r\n")
                    except OSError:
                        self._drop(connection)

    def _accept(self, listener):
        connection, _ = listener.accept()
        connection.setblocking(False)
        self.open[connection] = b""
        self.seen += 1
        self.most = max(self.most, len(self.open))
        self._selector.register(connection, selectors.EVENT_READ)
        if self.stage in ("ehlo", "dot"):
            connection.send(b"220 silent.example.org\r\n")

    def _drop(self, connection):
        if self.open.pop(connection, None) is not None:
            self._selector.unregister(connection)
            connection.close()

    def _read(self, connection):
        octets = connection.recv(65536)
        if not octets:
            return self._drop(connection)
        text = self.open[connection] + octets
        *lines, self.open[connection] = text.split(b"\r\n")
        for line in lines:
            verb = line[:4].upper()
            if verb == b"EHLO" and self.stage in ("ehlo", "dot"):
                connection.send(b"250 silent.example.org\r\n")
            elif self.stage == "dot" and verb in (b"MAIL", b"RCPT"):
                connection.send(b"250 ok\r\n")
            elif self.stage == "dot" and verb == b"DATA":
                connection.send(b"354 go\r\n")


def behind(*addresses, above="example.org"):
    """Records for many domains whose exchangers, each by a name of its own, are there."""
    records = []
    for n in range(MANY):
        domain = f"s{n}.{above}"
        records += [f"{domain}. IN MX 10 mx.{domain}.",
                    f"mx.{domain}. IN A {addresses[n % len(addresses)]}"]
    return records


def crowd(domain="s{}.example.org", number=MANY):
    with Client() as client:
        for n in range(number):
            reply = client.send(numbered(n), f"you@{domain.format(n)}")
            assert reply.startswith("250"), reply


def nobody_else_waits(puerto, sink, number=100_000):
    """Sends to a healthy domain and to a mailbox here; says how long that took."""
    mailbox = pathlib.Path("/var/mail") / UNPRIVILEGED
    started = time.monotonic()
    with Client() as client:
        assert client.send(numbered(number), "you@example.net").startswith("250")
        local = client.send(numbered(number + 1), f"{UNPRIVILEGED}@example.com")
        assert local.startswith("250"), local
    wait_for("mail to a healthy domain", lambda: sink.copies()[number] == 1, AT_ONCE)
    sent = re.compile(f"to=<{UNPRIVILEGED}@example.com>.*status=sent")
    wait_for("mail to a mailbox", lambda: sent.search(puerto.log()), AT_ONCE)
    mailbox.unlink(missing_ok=True)
    return time.monotonic() - started


def scene(world, silent, addresses):
    Unbound(world, RECORDS + behind(*addresses))
    sink = Sink(world, FINAL_ADDRESS)
    puerto = Puerto(world)
    crowd()
    wait_for("the silence", lambda: silent.seen > 0 and len(silent.open) > 0)
    took = max(nobody_else_waits(puerto, sink), nobody_else_waits(puerto, sink, 200_000))
    # What was delivered is told first and leaves the queue a moment later.
    wait_for("nothing but the crowd to wait", lambda: puerto.queue_length() == MANY, 10)
    assert "status=bounced" not in puerto.log()
    return puerto, took


def at_one_address(world, stage, most):
    silent = Silent(world, [SILENT_ADDRESS], stage)
    puerto, took = scene(world, silent, [SILENT_ADDRESS])
    assert silent.most <= most, f"{silent.most} connections to one address"
    told = puerto.log().count(f"too many connections wait for {SILENT_ADDRESS}")
    assert told >= MANY / 2, told
    return f"others {took * 1000:.0f} ms, {silent.most} connections"


def test_one_address_that_says_nothing_stops_nobody_elses_mail(world):
    return at_one_address(world, "banner", 5)


def test_a_greeting_without_end_stops_nobody_elses_mail(world):
    return at_one_address(world, "drip", 5)


def test_silence_after_ehlo_stops_nobody_elses_mail(world):
    return at_one_address(world, "ehlo", 5)


def test_silence_after_the_dot_stops_nobody_elses_mail(world):
    return at_one_address(world, "dot", 5)


def test_a_network_of_silent_addresses_stops_nobody_elses_mail(world):
    run("ip", "route", "add", "local", f"{NETWORK}.0/24", "dev", "lo", check=False)
    addresses = [f"{NETWORK}.{n}" for n in range(1, 251)]
    silent = Silent(world, addresses)
    puerto, took = scene(world, silent, addresses)
    assert silent.most <= 20, f"{silent.most} connections to one network"
    puerto.says(f"too many connections wait for {NETWORK}.0/24")
    return f"others {took * 1000:.0f} ms, {silent.most} connections"


def test_a_silent_name_server_stops_nobody_elses_mail(world):
    Unbound(world, RECORDS, stubs={f"s{n}.example": NAME_SERVER for n in range(MANY)})
    sink = Sink(world, FINAL_ADDRESS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((NAME_SERVER, 53))
        puerto = Puerto(world)
        crowd("s{}.example")
        time.sleep(1)
        took = max(nobody_else_waits(puerto, sink), nobody_else_waits(puerto, sink, 200_000))
        wait_for("nothing but the crowd to wait", lambda: puerto.queue_length() == MANY, 10)
    return f"others {took * 1000:.0f} ms"


def resident(puerto):
    status = pathlib.Path(f"/proc/{puerto.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))


def test_many_connections_that_wait_cost_little_and_end_with_the_server(world):
    addresses = [f"127.3.{n // 250}.{n % 250 + 1}" for n in range(MANY)]
    silent = Silent(world, addresses)
    # Each domain is its own operator.
    Unbound(world, RECORDS + behind(*addresses, above="example"))
    sink = Sink(world, FINAL_ADDRESS)
    puerto = Puerto(world)
    with Client() as client:
        assert client.send(numbered(1), "you@example.net").startswith("250")
    wait_for("one message", lambda: sink.copies()[1] == 1)
    before = resident(puerto)
    crowd("s{}.example")
    wait_for("all to wait", lambda: len(silent.open) == MANY)
    cost = (resident(puerto) - before) / MANY
    took = nobody_else_waits(puerto, sink)
    puerto.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    puerto.process.wait(40)
    ended = time.monotonic() - started
    assert ended < 10, ended
    puerto.start()
    wait_for("nothing but the crowd to wait", lambda: puerto.queue_length() == MANY, 10)
    return f"{cost:.0f} KiB for each, others {took * 1000:.0f} ms, ended in {ended:.1f} s"


def test_the_log_tells_that_a_message_came_before_it_is_gone(world):
    Unbound(world, RECORDS)
    Sink(world, FINAL_ADDRESS)
    puerto = Puerto(world)

    def send():
        with Client() as client:
            for n in range(200):
                assert client.send(numbered(n), "you@example.net").startswith("250")

    threads = [threading.Thread(target=send) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    puerto.wait_empty()
    wait_for("the log", lambda: puerto.log().count(": removed") == 1600)
    came, gone = set(), 0
    for line in puerto.log().splitlines():
        found = re.search(r"qmgr\[\d+\]: (\w+): (from=|removed)", line)
        if found and found.group(2) == "from=":
            came.add(found.group(1))
        elif found:
            gone += 1
            assert found.group(1) in came, line
    assert gone == 1600, gone
