"""kill -9 under load: what was acknowledged arrives, and twice only where it may."""

import random
import time

from load import Sender, copies_of
from peers import RECORDS, SENDER_ADDRESS, Puerto, Unbound, final_postfix

MESSAGES = 10_000
CLIENTS = 10
CONNECTIONS = 20  # to the one destination, as configured by default


def test_ten_thousand_messages_with_kill_9_every_second(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Puerto(world, "", '[queue]\nretry = ["1s"]\n')
    acknowledged, unanswered = [], []
    senders = [Sender([SENDER_ADDRESS], range(c, MESSAGES, CLIENTS), acknowledged, unanswered)
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
    copies = copies_of(final.messages())
    lost = [n for n in range(MESSAGES) if copies[n] == 0]
    assert not lost, f"{len(lost)} acknowledged messages never arrived, such as {lost[:5]}"
    extra = sum(copies.values()) - MESSAGES
    allowed = len(unanswered) + kills * CONNECTIONS
    assert extra <= allowed, f"{extra} copies too many, {allowed} would be excusable"
    return f"{kills} kills, {len(unanswered)} unanswered, {extra} duplicates, 0 lost"
