"""What may go wrong beside the disk: next hops and name servers that misbehave,
programs that are killed, resources that run out, stops and reloads under load.

Every test holds that nothing acknowledged is lost and that there is one copy,
unless the answer to its final dot was lost.
"""

import collections
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

from peers import (DNS_ADDRESS, FINAL_ADDRESS, RECORDS, SENDER_ADDRESS, Puerto, Unbound,
                   wait_for)
from scripted import DROP, HANG, LOST, RESET, WAIT, Client, Sink, body_hash, numbered

AT_ONCE = '[queue]\nretry = ["1s"]\n'
OTHER_ADDRESS = "127.0.0.31"
OTHER = ["other.example.org. IN MX 10 mx.other.example.org.",
         f"mx.other.example.org. IN A {OTHER_ADDRESS}"]
SENDING_STAGES = ["banner", "ehlo", "mail", "rcpt", "data", "body", "dot"]


def many_destinations(number):
    """Records for so many domains, each with a mail exchanger and an address of its own."""
    records, domains = [], []
    for n in range(number):
        domain, address = f"d{n}.example.org", f"127.0.2.{n + 1}"
        records += [f"{domain}. IN MX 10 mx.{domain}.", f"mx.{domain}. IN A {address}"]
        domains.append((domain, address))
    return records, domains


def send(number, *recipients, **options):
    with Client() as client:
        reply = client.send(numbered(number), *recipients, **options)
    assert reply.startswith("250"), reply


def test_each_recipient_has_a_fate_of_its_own(world):
    Unbound(world, RECORDS + OTHER)
    sink, senders = Sink(world, FINAL_ADDRESS), Sink(world, OTHER_ADDRESS)
    puerto = Puerto(world, "", AT_ONCE)
    replies = {"taken": None, "later": "450 4.2.0 later", "never": "550 5.1.1 unknown"}
    fates = [(a, b, c) for a in replies for b in replies for c in replies]
    named = [[f"{fate}-{n}-{i}@example.net" for i, fate in enumerate(three)]
             for n, three in enumerate(fates)]
    sink.recipients = {name: replies[name.partition("-")[0]] for three in named for name in three}
    for n, three in enumerate(named):
        send(n, *three, sender="sender@other.example.org")
    wait_for("a first attempt for each", lambda: puerto.log().count("status=deferred") >= 27
             and puerto.log().count("status=bounced") == 27)
    sink.recipients = {name: reply for name, reply in sink.recipients.items()
                       if name.startswith("never")}
    puerto.wait_empty(30)
    for name in (name for three in named for name in three):
        assert sink.copies_for(name) == (0 if name.startswith("never") else 1), name
    returned = [re.findall(r"Final-Recipient: rfc822; ?(\S+)", bytes(m.start).decode())
                for m in senders.messages]
    wanted = [[name for name in three if name.startswith("never")] for three in named]
    assert sorted(returned) == sorted(filter(None, wanted)), returned
    return "27 messages of 3 recipients, 19 notifications"


def test_whatever_a_next_hop_does_once_there_is_one_copy(world):
    actions = [DROP, RESET, "451 4.3.0 busy", "421 4.3.2 closing"]
    cases = [(stage, action) for stage in SENDING_STAGES for action in actions
             if not (stage == "body" and action[0] == "4")]
    cases += [("banner", "554 5.3.2 not here"), ("ehlo", "550 5.3.2 not you"),
              ("dot", LOST), ("banner", "garbage"), ("mail", "621 what is this"), ("quit", DROP)]
    records, domains = many_destinations(len(cases))
    Unbound(world, RECORDS + records)
    puerto = Puerto(world, "", AT_ONCE)
    sinks = []
    for n, ((stage, action), (domain, address)) in enumerate(zip(cases, domains)):
        sink = Sink(world, address)
        sink.misbehave(stage, action, times=2 if action == LOST else 1)
        sinks.append(sink)
        send(n, f"you@{domain}")
    puerto.wait_empty(30)
    for n, (case, sink) in enumerate(zip(cases, sinks)):
        wanted = 3 if case[1] == LOST else 1
        assert sink.copies() == {n: wanted}, f"{case}: {sink.copies()}"
    assert "status=bounced" not in puerto.log()
    return f"{len(cases)} manners"


def test_a_final_refusal_is_returned_once_and_a_refused_session_is_not(world):
    final = [(stage, "554 5.7.1 no") for stage in ("mail", "rcpt", "data", "dot")]
    session = [("banner", "554 5.3.2 not here"), ("ehlo", "550 5.3.2 not you")]
    cases = final + session
    records, domains = many_destinations(len(cases))
    Unbound(world, RECORDS + OTHER + records)
    senders = Sink(world, OTHER_ADDRESS)
    puerto = Puerto(world, "", AT_ONCE)
    for n, ((stage, action), (domain, address)) in enumerate(zip(cases, domains)):
        Sink(world, address).misbehave(stage, action)
        send(n, f"you@{domain}", sender="sender@other.example.org")
    wait_for("all attempts", lambda: puerto.log().count("status=bounced") == len(final)
             and puerto.log().count("status=deferred") >= len(session))
    wait_for("the notifications", lambda: len(senders.messages) == len(final))
    assert all(message.sender == "" for message in senders.messages)
    assert puerto.queue_length() == len(session)


def test_421_in_mid_session_leaves_the_rest_to_the_next_session(world):
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    puerto = Puerto(world, "", AT_ONCE)
    send(0)
    wait_for("the first", lambda: sink.copies()[0] == 1)
    sink.misbehave("mail", "421 4.3.2 closing", times=3)
    for number in range(1, 60):
        send(number)
    puerto.wait_empty(30)
    assert sink.copies() == {n: 1 for n in range(60)}, sink.copies()


def test_a_next_hop_that_hangs_delays_nobody_else(world):
    stages = SENDING_STAGES + ["quit"]
    records, domains = many_destinations(len(stages))
    Unbound(world, RECORDS + records)
    good = Sink(world, FINAL_ADDRESS)
    puerto = Puerto(world, "", AT_ONCE)
    sinks = []
    for n, (stage, (domain, address)) in enumerate(zip(stages, domains)):
        sink = Sink(world, address)
        sink.misbehave(stage, HANG)
        sinks.append(sink)
        for copy in range(10):
            send(1000 * n + copy, f"you@{domain}")
    wait_for("all to hang", lambda: all(stage in sink.attempts
                                        for stage, sink in zip(stages, sinks)))
    slowest = 0
    for number in range(100_000, 100_020):
        started = time.monotonic()
        send(number)
        wait_for(f"message {number}", lambda: good.copies()[number] == 1, 5)
        slowest = max(slowest, time.monotonic() - started)
    assert slowest <= 2, f"{slowest:.1f} s late"
    for sink in sinks:
        sink.behave()
    puerto.wait_empty(40)
    for n, sink in enumerate(sinks):
        assert sink.copies() == {1000 * n + copy: 1 for copy in range(10)}, stages[n]
    return f"others at most {slowest * 1000:.0f} ms late"


def test_what_the_dns_does_not_answer_is_tried_again_and_what_is_not_there_returned(world):
    unbound = Unbound(world, RECORDS + OTHER)
    sink, senders = Sink(world, FINAL_ADDRESS), Sink(world, OTHER_ADDRESS)
    puerto = Puerto(world, "", AT_ONCE)
    sender = "sender@other.example.org"
    send(1, "you@nowhere.example.net", sender=sender)
    wait_for("the notification", lambda: len(senders.messages) == 1)
    send(2, "you@example.edu", sender=sender)
    wait_for("SERVFAIL to defer", lambda: "to=<you@example.edu>" in puerto.log())
    unbound.stop()
    send(3, "you@example.net", sender=sender)
    wait_for("no server to defer", lambda: "to=<you@example.net>" in puerto.log())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((DNS_ADDRESS, 53))
        send(4, "you@sub.example.net", sender=sender)
        wait_for("a silent server to defer", lambda: "to=<you@sub.example.net>" in puerto.log(), 40)
    log = puerto.log()
    for domain in ("example.edu", "example.net", "sub.example.net"):
        line = next(line for line in log.splitlines() if f"to=<you@{domain}>" in line)
        assert "dsn=4.4.3" in line and "status=deferred" in line, line
    unbound.start()
    wait_for("the message to get through", lambda: sink.copies()[3] == 1, 15)
    # This one turns out not to exist.
    wait_for("the other notification", lambda: len(senders.messages) == 2, 15)
    assert puerto.log().count("status=bounced") == 2
    assert puerto.queue_length() == 1


def syscalls_of(trace, names):
    """How often each was made, and each that can be interrupted is worth a kill."""
    counts = collections.Counter(re.findall(r"^\d* *(\w+)\(", trace, re.MULTILINE))
    return {name: counts[name] for name in names if counts[name]}


def test_sendmail_killed_at_any_system_call_sends_all_or_nothing(world):
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    puerto = Puerto(world, "", AT_ONCE)
    trace = world.folder / "trace"

    def sendmail(number, *strace):
        content = numbered(number, 100_000).replace(b"\r\n", b"\n")
        done = subprocess.run(["strace", "-o", trace, *strace, puerto.binary, "sendmail",
                               "-f", "me@example.com", "you@example.net"],
                              input=content, capture_output=True,
                              env=os.environ | {"PUERTO_CONFIG": str(puerto.configuration)})
        return done.returncode

    names = ["read", "write", "writev", "sendto", "sendmsg", "recvfrom", "recvmsg", "connect",
             "socket", "openat", "close", "poll", "shutdown", "exit_group"]
    assert sendmail(0) == 0
    counts = syscalls_of(trace.read_text(), names)
    assert counts.get("connect") and sum(counts.values()) > 20, counts
    taken, kills, number = [0], 0, 0
    for name, count in counts.items():
        # A write of output that nobody reads may be missing from one run to the next.
        for nth in range(1, count + 1):
            number += 1
            code = sendmail(number, "-e", f"inject={name}:signal=KILL:when={nth}")
            if code == 0:
                taken.append(number)
            else:
                kills += 1
    puerto.wait_empty(30)
    copies = sink.copies()
    assert all(copies[n] == 1 for n in taken), "exit 0, and not delivered once"
    assert all(count == 1 for count in copies.values()), copies
    whole = {n: body_hash(numbered(n, 100_000)) for n in copies}
    assert all(m.body_hash == whole[m.number] for m in sink.messages), "a message was cut"
    return f"{kills} kills, {len(copies) - len(taken)} of them after the message was complete"


def resident(puerto, key="VmRSS"):
    with open(f"/proc/{puerto.process.pid}/status", encoding="ascii") as status:
        return int(re.search(rf"{key}:\s+(\d+) kB", status.read()).group(1)) / 1024


def forget_peak(puerto):
    with open(f"/proc/{puerto.process.pid}/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def processor_seconds(puerto):
    with open(f"/proc/{puerto.process.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_clients_that_take_every_file_descriptor_keep_no_mail_from_leaving(world):
    records, domains = many_destinations(20)
    Unbound(world, RECORDS + records)
    sinks = [Sink(world, address) for _, address in domains]
    final = Sink(world, FINAL_ADDRESS)
    puerto = Puerto(world, "", AT_ONCE + "[limits]\nconnections_from_one_client = 500\n",
                    prefix=["prlimit", "--nofile=64"])
    early = Client()
    clients = [socket.create_connection((SENDER_ADDRESS, 25), timeout=10) for _ in range(200)]
    time_before, cpu_before = time.monotonic(), processor_seconds(puerto)
    for number, (domain, _) in enumerate(domains):
        reply = early.send(numbered(number), f"you@{domain}")
        assert reply.startswith("250"), reply
    wait_for("all 20 to leave",
             lambda: all(sink.copies() == {n: 1} for n, sink in enumerate(sinks)), 15)
    busy = (processor_seconds(puerto) - cpu_before) / max(time.monotonic() - time_before, 1)
    for connection in [*clients, early.connection]:
        connection.close()
    wait_for("clients to be served again", lambda: accepts(100), 10)
    wait_for("that message", lambda: final.copies()[100] == 1)
    puerto.wait_empty(20)
    # Who spins on a door that cannot be opened takes all of one; the mail itself takes some.
    assert busy < 0.5, f"{busy:.0%} of a processor while starved"
    deferred = puerto.log().count("status=deferred")
    return f"{busy:.1%} of a processor while starved, {deferred} deferred meanwhile"


def accepts(number):
    try:
        send(number)
        return True
    except (OSError, AssertionError):
        return False


def large(number, size):
    line = random.Random(number).randbytes(38).hex().encode() + b"\r\n"
    return numbered(number, 0) + line * (size // len(line))


def test_many_large_messages_at_once_take_little_memory(world):
    sessions, size = 500, 3 << 20
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    sink.misbehave("mail", "450 4.2.0 later")
    puerto = Puerto(world, "", '[queue]\nretry = ["1h"]\n'
                               "[limits]\nconnections_from_one_client = 600\n")
    clients = [Client() for _ in range(sessions)]
    for client in clients:
        assert client.envelope(["you@example.net"]).startswith("354")
    # All are in the midst of their content at the same time.
    piece = large(0, 1 << 20)
    for _ in range(size >> 20):
        for client in clients:
            client.connection.sendall(piece)
    for client in clients:
        client.connection.sendall(b".\r\n")
    replies = [client.reply() for client in clients]
    for client in clients:
        client.close()
    assert all(reply.startswith("250") for reply in replies), collections.Counter(replies)
    taking = resident(puerto, "VmHWM")
    forget_peak(puerto)
    sink.behave()
    started = time.monotonic()
    puerto.command("queue", "retry", "--all", "--yes")
    wait_for("a part of them to leave", lambda: len(sink.messages) >= 40)
    leaving = resident(puerto, "VmHWM")
    assert len({m.body_hash for m in sink.messages}) == 1
    assert max(taking, leaving) < 256, f"{taking:.0f} and {leaving:.0f} MiB"
    return (f"{sessions} sessions of 3 MiB, at most {taking:.0f} MiB resident while they came, "
            f"{leaving:.0f} while 40 left in {time.monotonic() - started:.1f} s")


def test_a_message_of_50_mib_is_streamed_and_arrives_intact(world):
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    puerto = Puerto(world, "", AT_ONCE + '[limits]\nmessage_size = "60MiB"\n')
    send(0)
    wait_for("the small one", lambda: sink.copies()[0] == 1)
    forget_peak(puerto)
    before = resident(puerto, "VmHWM")
    content = large(1, 50 << 20)
    with Client() as client:
        assert client.send(content).startswith("250")
    wait_for("the large one", lambda: sink.copies()[1] == 1)
    assert sink.messages[-1].body_hash == body_hash(content)
    more = resident(puerto, "VmHWM") - before
    assert more < 8, f"{more:.1f} MiB more"
    return f"{more:.1f} MiB more"


class Load:
    """Clients that send numbered messages until told to stop."""

    def __init__(self, clients=8, wrap=None):
        self.acknowledged, self.refused, self.broken = [], [], []
        self._stop, self._wrap = threading.Event(), wrap
        self._numbers = iter(range(10**9))
        self._lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        while not self._stop.is_set():
            with self._lock:
                number = next(self._numbers)
            try:
                with (self._wrap or Client)() as client:
                    reply = client.send(numbered(number))
                (self.acknowledged if reply.startswith("250") else self.refused).append(number)
            except OSError:
                self.broken.append(number)
                time.sleep(0.01)

    def stop(self):
        self._stop.set()
        for thread in self.threads:
            thread.join(30)


def test_a_stop_waits_for_nobody_who_cannot_have_the_message(world):
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    puerto = Puerto(world, "", AT_ONCE)

    def stop():
        puerto.process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert puerto.process.wait(40) == 0
        return time.monotonic() - started

    # A client that has gone silent in the middle, too.
    client = socket.create_connection((SENDER_ADDRESS, 25))
    client.sendall(b"HELO x\r\nMAIL FROM:<me@example.com>\r\nRCPT TO:<you@example.net>\r\n"
                   b"DATA\r\nSubject: x\r\n")
    client.settimeout(5)
    wait_for("354", lambda: b"354" in client.recv(1000))
    number, slowest = 0, 0
    for stage in ("banner", "ehlo", "mail", "rcpt", "data"):
        sink.misbehave(stage, HANG)
        number += 1
        before = sink.attempts.count(stage)
        with Client() as sender:
            assert sender.send(numbered(number), "you@example.net").startswith("250")
        wait_for(stage, lambda: sink.attempts.count(stage) > before)
        slowest = max(slowest, stop())
        sink.behave()
        puerto.start()
        wait_for("the message", lambda: sink.copies()[number] == 1)
        puerto.wait_empty()
        # The next one is not to find this connection.
        stop()
        puerto.start()
    assert slowest < 5, slowest
    assert b"421 4.3.2" in client.recv(1000)
    # Who may have it is waited for, and gets no second copy.
    sink.misbehave("dot", WAIT)
    with Client() as sender:
        assert sender.send(numbered(99), "you@example.net").startswith("250")
    wait_for("the dot", lambda: sink.waiting == 1)
    threading.Timer(4, sink.behave).start()
    assert stop() > 3
    puerto.start()
    puerto.wait_empty()
    assert sink.copies()[99] == 1
    return f"slowest {slowest:.1f} s"


def test_a_stop_under_load_ends_soon_and_loses_nothing(world):
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    puerto = Puerto(world, "", AT_ONCE)
    load = Load()
    slowest = 0
    for stop in range(1, 4):
        wanted = len(load.acknowledged) + 200
        wait_for("some load", lambda: len(load.acknowledged) >= wanted)
        started = time.monotonic()
        puerto.process.send_signal(signal.SIGTERM)
        code = puerto.process.wait(40)
        slowest = max(slowest, time.monotonic() - started)
        assert code == 0, code
        puerto.start()
    load.stop()
    puerto.wait_empty(30)
    copies = sink.copies()
    lost = [n for n in load.acknowledged if copies[n] == 0]
    assert not lost, f"{len(lost)} lost"
    assert all(count == 1 for count in copies.values()), "a stop makes no second copies"
    assert slowest <= 35
    return f"3 stops of at most {slowest:.1f} s, {len(load.acknowledged)} acknowledged, 0 lost"


def test_a_reload_under_load_fails_no_session_and_takes_the_new_certificate(world):
    Unbound(world, RECORDS)
    sink = Sink(world, FINAL_ADDRESS)
    authority = world.authority
    certificate, key = authority.issue("mail.example.com")
    puerto = Puerto(world, "", AT_ONCE + f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n')

    def serial():
        with Client() as client:
            assert client.command("STARTTLS").startswith("220")
            context = ssl.create_default_context(cafile=authority.certificate)
            with context.wrap_socket(client.connection, server_hostname="mail.example.com") as tls:
                return tls.getpeercert()["serialNumber"]

    load = Load()
    first = serial()
    for _ in range(10):
        wanted = len(load.acknowledged) + 20
        wait_for("some load", lambda: len(load.acknowledged) >= wanted)
        puerto.process.send_signal(signal.SIGHUP)
    # Only root may read the key, whose rights the daemon has given up.
    authority.issue("mail.example.com")
    assert key.stat().st_mode & 0o077 == 0 and key.stat().st_uid == 0, key.stat()
    puerto.process.send_signal(signal.SIGHUP)
    wait_for("the new certificate", lambda: serial() != first, 10)
    load.stop()
    assert not load.broken and not load.refused, (load.broken, load.refused)
    puerto.wait_empty(30)
    assert sink.copies() == {n: 1 for n in load.acknowledged}
    return f"11 reloads, {len(load.acknowledged)} sessions, 0 failed"
