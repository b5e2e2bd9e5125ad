"""`puerto relay test` with what is no relay at all: silent, rude, something else."""

import concurrent.futures
import time

from peers import Unbound
from relays import Asker, Full, Speaker, records

# Address → what it says, and what is said of it.
ODD = {
    "127.0.0.71": (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", "no mail server"),
    "127.0.0.72": (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "no mail server"),
    "127.0.0.73": (b"\x00\xff" * 3000 + b"\r\n", "no mail server"),
    "127.0.0.74": (b"554 5.7.1 no mail from you\r\n", "turns this machine away: 554 5.7.1"),
    "127.0.0.75": (b"421 4.3.2 too busy\r\n", "turns this machine away: 421 4.3.2"),
    "127.0.0.76": (b"220 \x1b[31mhello\r\n500 5.5.1 \x1b[2Jno\r\n", "before it is asked"),
    # These two are waited for.
    "127.0.0.77": (b"", "says nothing in 20 seconds"),
    "127.0.0.78": (b"220 hello\r\n", "no reply to EHLO"),
}
DROPPED, DEAD = "127.0.0.79", "127.0.0.80"


def test_what_is_no_relay(world):
    for address, (words, _) in ODD.items():
        Speaker(world, address, 25, words)
    Full(world, DROPPED, 25)
    said = {address: words for address, (_, words) in ODD.items()}
    said |= {DROPPED: "nothing answers", DEAD: "refused"}
    Unbound(world, records())
    asker = Asker(world)
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(len(said)) as pool:
        answers = dict(zip(said, pool.map(lambda a: asker.ask(f"[{a}]"), said)))
        shown = dict(zip(said, pool.map(
            lambda a: asker.ask(f"[{a}]", json_wanted=False, language="es"), ODD)))
    # A server that says nothing is given up: twice here, one after the other.
    assert time.monotonic() - begun < 120
    for address, (done, document) in answers.items():
        assert done.returncode == 1, (address, document)
        [problem] = document["problems"]
        assert problem["id"] == "relay.unreachable" and said[address] in problem["seen"], document
        assert document["hosts"][0]["probes"] == [] and document["ok"] is False
    for address, (done, _) in shown.items():
        # Nothing of theirs drives the terminal.
        assert b"\x1b" not in done.stdout and b"{" not in done.stdout, (address, done)
