"""The queue in the operator's hand: pauses, holds, other ways, the summary and the live view."""

import json
import os
import pty
import re
import select
import signal
import struct
import fcntl
import termios

from peers import (FINAL_ADDRESS, RECORDS, SENDER_ADDRESS, Puerto, Unbound, final_postfix, run,
                   wait_for)
from scripted import Sink


def send(puerto, to, sender="ana@example.com"):
    run(puerto.sendmail, "-f", sender, to, input=b"Subject: x\n\nhello\n")


def orders(puerto):
    return json.loads(puerto.command("queue", "rules", "--json").stdout)["orders"]


def overview(puerto, *conditions):
    return json.loads(puerto.command("queue", "summary", "--json", *conditions).stdout)


def test_a_pause_holds_mail_back_over_a_restart_until_it_is_ended(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Puerto(world)
    said = puerto.command("pause", "--to", "example.net", "--for", "2h", "--note", "they asked").stdout
    assert b"example.net" in said and b"in 2h" in said, said
    puerto.says("pause to=example.net: given by uid 0")
    send(puerto, "you@example.net")
    wait_for("the mail to wait for the pause's end",
             lambda: (overview(puerto)["recipients"]["next_attempt"] or "") >=
             orders(puerto)[0]["until"][:16])
    puerto.stop()
    puerto.start()
    assert [order["kind"] for order in orders(puerto)] == ["pause"], "it outlives a restart"
    send(puerto, "me@example.net")
    wait_for("both to wait", lambda: overview(puerto)["recipients"]["active"] == 0
             and puerto.queue_length() == 2)
    assert "status=" not in puerto.log(), "nothing was tried"
    listed = puerto.command("pause", "list").stdout.decode()
    assert "example.net" in listed and "they asked" in listed
    assert "example.net" in puerto.command("queue", "summary").stdout.decode()
    puerto.command("resume", "--to", "example.net")
    final.wait(2)
    puerto.wait_empty()
    assert puerto.command("resume", "--to", "example.net", check=False).returncode == 66


def test_a_pause_ends_by_itself(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Puerto(world)
    puerto.command("pause", "--to", "*", "--for", "4s")
    send(puerto, "you@example.net")
    final.wait(1)
    puerto.says("pause to=*: has ended")
    assert orders(puerto) == []


def test_mail_behind_a_pause_that_was_asked_for_is_told_when_that_ends(world):
    """Most of it was never tried: its own next attempt would be now."""
    address = "127.0.0.61"
    Unbound(world, ["slow.example. IN MX 10 mx.slow.example.", f"mx.slow.example. IN A {address}"])
    sink = Sink(world, address)
    sink.misbehave("rcpt", "421 4.7.28 Our system has detected an unusual rate of mail")
    providers = world.folder / "providers"
    providers.mkdir()
    (providers / "slow.toml").write_text(
        'hosts = ["mx.slow.example"]\nconnections = 1\n'
        '[[reply]]\nsays = "4.7.28"\ndo = "park"\nfor = "30m"\n')
    puerto = Puerto(world, sections=(
        f'[delivery]\nallow_private = true\nbind_ipv4 = "{SENDER_ADDRESS}"\nproviders = "{providers}"\n'))
    for number in range(20):
        send(puerto, f"user{number}@slow.example")
    puerto.says("asked for a pause")
    wait_for("nothing to be under way", lambda: overview(puerto)["recipients"]["active"] == 0
             and puerto.queue_length() == 20)

    listed = [json.loads(line) for line in puerto.command("queue", "list", "--json").stdout.splitlines()]
    untried = [message for message in listed if message["recipients"][0]["attempts"] == 0]
    assert len(listed) == 20 and len(untried) >= 15, listed
    shown = {message["id"]: json.loads(puerto.command("queue", "show", message["id"], "--json").stdout)
             for message in listed}
    parks = [park for message in shown.values() for park in message["parked"]]
    assert len(parks) == 20 and len({park["until"][:16] for park in parks}) <= 2, parks
    until = parks[0]["until"]
    assert parks[0]["lane"] == "slow" and "4.7.28" in parks[0]["reason"], parks[0]
    for message in [*listed, *shown.values()]:
        assert message["recipients"][0]["next_attempt"][:16] >= until[:16], (message, until)
    one = untried[0]["id"]
    text = puerto.command("queue", "list").stdout.decode()
    assert "due now" not in text and re.search(r"next try in (29|30)m\n", text), text
    for words in (puerto.command("queue", "show", one).stdout.decode(),
                  puerto.command("why", one).stdout.decode()):
        assert "due now" not in words and "4.7.28" in words, words
        assert re.search(r"[Nn]ext (try|attempt) .*in (29|30) ?m", words), words
    [lane] = overview(puerto)["lanes"]
    assert lane["until"][:16] == until[:16] and lane["state"] == "parked", lane
    sink.behave()
    puerto.command("queue", "retry", "--all", "--yes")
    wait_for("the first to be taken", lambda: sink.messages)


def test_mail_goes_another_way_until_that_is_taken_back(world):
    Unbound(world, RECORDS + ["dead.example. IN MX 10 mx.dead.example.",
                              "mx.dead.example. IN A 127.0.0.66"])
    final = final_postfix(world, virtual_mailbox_domains="example.net, dead.example")
    puerto = Puerto(world)
    send(puerto, "you@dead.example")
    puerto.says("status=deferred")
    assert puerto.queue_length() == 1
    refused = puerto.command("queue", "reroute", "--to", "dead.example", "--via", FINAL_ADDRESS,
                             "--yes", check=False)
    assert refused.returncode == 2 and b"brackets" in refused.stderr
    dry = puerto.command("queue", "reroute", "--to", "dead.example", "--via",
                         f"[{FINAL_ADDRESS}]:25", "--dry-run")
    assert b"this would be 1 message" in dry.stdout and orders(puerto) == []
    puerto.command("queue", "reroute", "--to", "dead.example", "--via", f"[{FINAL_ADDRESS}]:25", "--yes")
    final.wait(1)
    puerto.stop()
    puerto.start()
    send(puerto, "me@dead.example")
    final.wait(2)
    puerto.wait_empty()
    number = orders(puerto)[0]["number"]
    puerto.command("queue", "rules", "--remove", str(number))
    send(puerto, "them@dead.example")
    wait_for("the old way to be tried", lambda: puerto.log().count("status=deferred") >= 2)
    assert orders(puerto) == []


def test_new_mail_is_held_by_rule_and_only_root_sees_bodies(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Puerto(world)
    puerto.command("queue", "hold", "--rule", "--from", "shop@example.com")
    send(puerto, "you@example.net", "shop@example.com")
    send(puerto, "you@example.net", "ana@example.com")
    final.wait(1)
    puerto.stop()
    puerto.start()
    wait_for("the rest to be held", lambda: puerto.queue_length() == 1)
    message = json.loads(puerto.command("queue", "list", "--held", "--json").stdout)
    assert message["held"] and "order.held" in message["held_for"]
    text = puerto.command("queue", "list").stdout.decode()
    assert "holds such mail" in text, text
    body = puerto.command("queue", "body", message["id"]).stdout
    assert body.endswith(b"\r\n\r\nhello\r\n") and b"Subject: x\r\n" in body
    puerto.says(f"{message['id']}: shown whole to uid 0")
    number = orders(puerto)[0]["number"]
    taken = puerto.command("queue", "rules", "--remove", str(number))
    assert b"stays held" in taken.stderr
    puerto.command("queue", "release", "--held", "--yes")
    final.wait(2)
    # The server's own user is nobody here; somebody else may see the queue and no more.
    stranger = ["setpriv", "--reuid=bin", "--regid=bin", "--clear-groups", puerto.binary,
                "--config", puerto.configuration]
    puerto.command("pause", "--to", "example.net")
    send(puerto, "you@example.net")
    wait_for("it to wait", lambda: puerto.queue_length() == 1)
    waiting = json.loads(puerto.command("queue", "list", "--json").stdout)["id"]
    assert run(*stranger, "queue", "list").stdout
    for denied in (["queue", "body", waiting], ["queue", "hold", waiting], ["resume", "--all"],
                   ["pause", "--to", "*"], ["queue", "hold", "--rule", "--to", "*"]):
        done = run(*stranger, *denied, check=False)
        assert done.returncode == 77, (denied, done)
    assert len(orders(puerto)) == 1


def test_a_summary_tells_of_lanes_that_are_out_of_reach(world):
    Unbound(world, RECORDS)
    puerto = Puerto(world)
    for number in range(8):
        send(puerto, f"you{number}@example.net")
    wait_for("the lane to be out of reach",
             lambda: any(lane["state"] == "out_of_reach" for lane in overview(puerto)["lanes"]))
    counted = overview(puerto, "--class", "connection-refused")
    assert counted["destinations"][0]["domain"] == "example.net"
    shown = puerto.command("queue", "summary").stdout.decode()
    assert re.search(r"out of reach, failures in a row: \d+; one message tries it", shown), shown
    listed = puerto.command("queue", "list", "--class", "connection-refused", "--to", "you",
                            "--older", "0s", "--larger", "10").stdout
    assert listed.count(b"Connection refused") >= 1, listed


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, command, rows, columns, **environment):
        self.process, self.descriptor = pty.fork()
        if self.process == 0:
            os.execvpe(command[0], [str(word) for word in command],
                       os.environ | {"TERM": "xterm-256color"} | environment)
        self.resize(rows, columns)
        self.seen = b""

    def resize(self, rows, columns):
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, size)

    def read(self):
        while select.select([self.descriptor], [], [], 0.05)[0]:
            try:
                some = os.read(self.descriptor, 65536)
            except OSError:
                return
            if not some:
                return
            self.seen += some

    def says(self, *words):
        def said():
            self.read()
            return all(word in self.seen for word in words)
        wait_for(f"the terminal to show {words}", said)

    def shows_anew(self, *words):
        """A terminal that changes its size has everything drawn anew."""
        rows = 20

        def shown():
            nonlocal rows
            rows = 50 - rows
            self.seen = b""
            self.resize(rows, 100)
            os.kill(self.process, signal.SIGWINCH)
            select.select([self.descriptor], [], [], 2)
            self.read()
            return all(word in self.seen for word in words)
        wait_for(f"the terminal to show {words} anew", shown)

    def type(self, octets):
        os.write(self.descriptor, octets)

    def ends(self):
        status = None

        def ended():
            nonlocal status
            self.read()
            pid, code = os.waitpid(self.process, os.WNOHANG)
            status = os.waitstatus_to_exitcode(code) if pid else None
            return bool(pid)
        wait_for("the command to end", ended)
        return status


def test_top_on_a_terminal(world):
    Unbound(world, RECORDS)
    puerto = Puerto(world)
    puerto.command("pause", "--to", "example.net")
    send(puerto, "you@example.net")
    wait_for("it to wait", lambda: puerto.queue_length() == 1)
    top = [puerto.binary, "--config", puerto.configuration, "top"]
    terminal = Terminal(top, 30, 120)
    # Between words the screen moves its cursor; what has not changed is not drawn again.
    terminal.says(b"puerto top", b"example.net", b"second:", b"\x1b[?1049h")
    terminal.shows_anew(b"puerto top", b"example.net")
    terminal.type(b"s")
    puerto.stop()
    terminal.shows_anew(b"running")
    puerto.start()
    terminal.type(b"q")
    assert terminal.ends() == 0
    assert b"\x1b[?1049l" in terminal.seen, "the screen is given back"
    plain = Terminal(top, 30, 120, NO_COLOR="1")
    plain.says(b"puerto top")
    plain.type(b"\x03")
    assert plain.ends() == 0
    assert not re.search(rb"\x1b\[3[0-7]m|\x1b\[38;", plain.seen), "no colours"
    dumb = Terminal(top, 30, 120, TERM="dumb")
    assert dumb.ends() == 2 and b"--once" in dumb.seen
    nowhere = puerto.command("top", check=False)
    assert nowhere.returncode == 2 and b"no terminal" in nowhere.stderr
    once = puerto.command("top", "--once").stdout.decode()
    assert "per second: accepted 0.0" in once and "example.net" in once
    document = json.loads(puerto.command("top", "--json").stdout)
    assert document["queue"]["messages"] == 1 and document["rates"]["accepted"] == 0.0
