"""Breaks a cluster in turn for a while; called by scripts/torture."""

import argparse
import random
import sys
import time

from cluster import Account, Networks, nodes_on, patroni
from peers import World, wait_for

# What a node may have delivered and not yet recorded when it dies.
IN_FLIGHT = 220


class Trouble:
    """What goes wrong, one thing at a time, and how often it did."""

    def __init__(self, account, nodes, databases, dice):
        self.account, self.nodes, self.databases, self.dice = account, nodes, databases, dice
        self.counts = {}

    def strike(self):
        kinds = [(6, self.kill_node), (3, self.cut_database), (3, self.cut_internet),
                 (1, self.kill_leader)]
        kind = self.dice.choices([k for _, k in kinds], [weight for weight, _ in kinds])[0]
        print(f"{time.strftime('%H:%M:%S')} {kind.__name__.replace('_', ' ')}", flush=True)
        kind()
        self.counts[kind.__name__] = self.counts.get(kind.__name__, 0) + 1

    def kill_node(self):
        node = self.dice.choice(self.nodes)
        node.kill()
        self.account.excuse(IN_FLIGHT)
        time.sleep(self.dice.uniform(0, 20))
        node.start()

    def cut(self, network):
        node = self.dice.choice(self.nodes)
        node.host.cut(network)
        self.account.excuse(IN_FLIGHT)
        time.sleep(self.dice.uniform(1, 25))
        node.host.mend(network)

    def cut_database(self):
        self.cut("inside")

    def cut_internet(self):
        self.cut("outside")

    def kill_leader(self):
        leader = next((d for d in self.databases if d.leads()), None)
        standby = next((d for d in self.databases if d is not leader), None)
        if leader is None or not standby.is_synchronous():
            return
        leader.kill()
        self.account.excuse(IN_FLIGHT * len(self.nodes))
        wait_for("the standby to lead", standby.leads, 120)
        leader.start()
        wait_for("a synchronous standby", leader.is_synchronous, 180)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--minutes", type=float, default=30)
    arguments.add_argument("--nodes", type=int, default=3)
    arguments.add_argument("--rate", type=float, default=100)
    arguments.add_argument("--seed", type=int, default=None)
    given = arguments.parse_args()
    seed = given.seed if given.seed is not None else random.randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    world = World()
    failed = True
    try:
        networks, databases = Networks(world), patroni(world)
        nodes = nodes_on(world, [database.host.inside for database in databases], given.nodes)
        account = Account(networks, [node.host.outside for node in nodes],
                          round(given.minutes * 60 * given.rate), rate=given.rate)
        trouble = Trouble(account, nodes, databases, random.Random(seed))
        until = time.monotonic() + given.minutes * 60
        while time.monotonic() < until:
            time.sleep(trouble.dice.uniform(1, 5))
            trouble.strike()
            for node in nodes:
                node.alive()
        balance = account.settle(nodes, 600)
        failed = False
        done = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count
                         in sorted(trouble.counts.items()))
        print(f"{given.minutes:g} minutes, {given.nodes} nodes: {done}; {balance}")
    finally:
        world.close(keep=failed)
        if failed:
            print(f"what it left: {world.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
