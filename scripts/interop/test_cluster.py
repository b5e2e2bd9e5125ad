"""Several nodes on one queue: nothing is lost, whichever part of it dies."""

import json
import random
import smtplib
import socket
import subprocess
import time

from cluster import TAKEN_OVER_WITHIN, Account, Networks, cluster, nodes_on, patroni
from peers import wait_for

# Connections of a node to one destination, as configured by default, and what it may have
# delivered but not yet recorded.
IN_FLIGHT = 20 + 200


def addresses(nodes):
    return [node.host.outside for node in nodes]


def test_kill_9_of_nodes(world):
    networks, _, nodes = cluster(world, 3)
    account = Account(networks, addresses(nodes), 3_000)
    kills = 0
    while account.sending():
        time.sleep(random.uniform(0.5, 1.5))
        node = random.choice(nodes)
        node.kill()
        account.excuse(IN_FLIGHT)
        kills += 1
        node.start()
    return f"{kills} kills, {account.settle(nodes)}"


def test_what_a_dead_node_held_goes_out_from_another(world):
    networks, _, nodes = cluster(world, 2)
    networks.final.pause()
    account = Account(networks, addresses(nodes[:1]), 50)
    wait_for("all to be taken", lambda: not account.sending())
    nodes[0].kill()
    account.excuse(IN_FLIGHT)
    networks.final.resume()
    killed = time.monotonic()
    balance = account.settle(nodes[1:])
    seconds = time.monotonic() - killed
    assert seconds <= TAKEN_OVER_WITHIN, f"they waited {seconds:.0f} s"
    return f"after {seconds:.0f} s, {balance}"


def cut_off_in_turn(world, network, rounds, seconds):
    """Each of two nodes loses a network for a while, under load."""
    networks, _, nodes = cluster(world, 2)
    account = Account(networks, addresses(nodes), 2_000)
    for node in nodes * rounds:
        time.sleep(1)
        node.host.cut(network)
        account.excuse(IN_FLIGHT)
        time.sleep(seconds)
        node.host.mend(network)
    return account.settle(nodes)


def test_a_node_without_its_database_takes_nothing_and_recovers(world):
    return cut_off_in_turn(world, "inside", 2, 4)


def test_a_node_without_the_internet_leaves_its_mail_to_others(world):
    return cut_off_in_turn(world, "outside", 1, 5)


def test_a_database_that_is_killed_and_comes_back(world):
    networks, database, nodes = cluster(world, 2)
    account = Account(networks, addresses(nodes), 2_000)
    for _ in range(3):
        time.sleep(1.5)
        database.kill()
        account.excuse(IN_FLIGHT * len(nodes))
        time.sleep(1)
        database.start()
    balance = account.settle(nodes)
    refuses, takes = "]: error: no mail is taken: ", "]: mail is taken again"

    def all_take_mail():
        logs = [node.log() for node in nodes]
        return all(log.count(refuses) == log.count(takes) for log in logs)

    wait_for("the logs to say that mail is taken", all_take_mail)
    database.kill()
    for node in nodes:
        wait_for("the log to say that none is",
                 lambda: node.log().rfind(refuses) > node.log().rfind(takes))
    database.start()
    wait_for("the logs to say that mail is taken again", all_take_mail)
    return balance


def test_a_node_that_begins_before_its_database_says_so_and_waits(world):
    """What supervises it would start it again and again, and clients would hear nothing."""
    networks, database, nodes = cluster(world, 1)
    node, = nodes
    password = node.folder / "password"
    known = password.read_text()

    def greeting():
        with socket.create_connection((node.host.outside, 25), timeout=10) as client:
            return client.makefile("rb").readline()

    for break_it, mend_it in [
        (database.kill, database.start),
        (lambda: password.write_text("wrong\n"), lambda: password.write_text(known)),
        (lambda: database.sql("UPDATE puerto.version SET number = number + 90", "puerto"),
         lambda: database.sql("UPDATE puerto.version SET number = number - 90", "puerto")),
    ]:
        node.kill()
        break_it()
        node.start()
        wait_for("clients to be sent away", lambda: greeting().startswith(b"421 4.3.0 "))
        assert greeting().endswith(b"\r\n")
        # Nor does who asks for the queue wait for a word.
        done = node.host.run(node.binary, "queue", "list", "--config", node.configuration,
                             check=False, timeout=20)
        assert done.returncode == 69 and b"no mail is taken" in done.stderr, done
        done = node.host.run(node.binary, "sendmail", "--config", node.configuration, "-i",
                             "you@example.net", input=b"Subject: x\n\n", check=False, timeout=20)
        assert done.returncode == 75, done
        mend_it()
        wait_for("it to take mail", lambda: greeting().startswith(b"220 "), 30)
    account = Account(networks, addresses(nodes), 20)
    return account.settle(nodes)


def test_a_standby_is_promoted_under_load(world):
    networks = Networks(world)
    databases = patroni(world)
    nodes = nodes_on(world, [database.host.inside for database in databases], 2)
    account = Account(networks, addresses(nodes), 2_000)
    time.sleep(1.5)
    databases[0].kill()
    account.excuse(IN_FLIGHT * len(nodes))
    killed = time.monotonic()
    wait_for("the standby to lead", databases[1].leads, 90)
    seconds = time.monotonic() - killed
    return f"promoted after {seconds:.0f} s, {account.settle(nodes)}"


def test_every_node_shows_and_changes_the_whole_queue(world):
    networks, _, nodes = cluster(world, 3)
    account = Account(networks, addresses(nodes), 30, to="you@example.org")
    wait_for("all to be taken", lambda: not account.sending())
    lists = [sorted(json.loads(line)["id"] for line in node.ids()) for node in nodes]
    assert len(lists[0]) == 30 and lists[0] == lists[1] == lists[2]
    held, removed = lists[0][0], lists[0][1]
    nodes[1].command("queue", "hold", held)
    assert json.loads(nodes[2].command("queue", "show", held, "--json").stdout)["held"]
    nodes[2].command("queue", "remove", removed, "--yes")
    assert removed.encode() not in nodes[0].command("mailq").stdout
    listed = json.loads(nodes[0].command("nodes", "--json", check=False).stdout)["nodes"]
    assert sorted(node["name"] for node in listed) == ["node1", "node2", "node3"]
    assert all(node["alive"] for node in listed)
    # Who is stopped in good order is not missed.
    nodes[1].stop()
    stopped = nodes[0].command("nodes", "--json")
    assert [(node["name"], node["stopped"]) for node in json.loads(stopped.stdout)["nodes"]
            if not node["alive"]] == [("node2", True)], stopped
    nodes[1].start()
    nodes[2].kill()
    wait_for("its death to be seen", lambda: [
        node["name"] for node in json.loads(nodes[0].command("nodes", "--json", check=False).stdout)["nodes"]
        if not node["alive"]] == ["node3"])
    assert nodes[0].command("nodes", check=False).returncode == 1, "it is missed"
    nodes[0].command("queue", "remove", "--all", "--yes")
    wait_for("an empty queue", lambda: not nodes[1].ids())


def test_any_node_tells_the_story_of_a_message(world):
    networks, database, nodes = cluster(world, 2)
    networks.final.pause()
    with smtplib.SMTP(nodes[0].host.outside, 25, timeout=30) as client:
        client.sendmail("me@example.com", ["you@example.net"],
                        b"Subject: x\r\nMessage-ID: <story@example.com>\r\n\r\nhi\r\n")

    def story(node, what="<story@example.com>"):
        done = node.command("why", what, "--json", check=False)
        return json.loads(done.stdout) if done.stdout else {}

    wait_for("what one has taken to be told by the other", lambda: story(nodes[1]).get("events"))
    assert story(nodes[1])["state"] == "waiting"
    # Whoever took it dies, and another delivers it.
    nodes[0].kill()
    networks.final.resume()
    wait_for("the end of the story", lambda: story(nodes[1]).get("state") == "sent", 60)
    nodes[0].start()
    told = story(nodes[1])
    for name in ["story@example.com", "you@example.net", "me@example.com", told["id"]]:
        assert story(nodes[0], name) == told, name
    nodes_of = {event["event"]: event.get("node") for event in told["events"]}
    assert nodes_of["message_id"] == "node1", told["events"]
    assert told["recipients"][0]["attempts"][-1]["node"] == "node2", told
    page = nodes[0].command("why", told["id"]).stdout.decode()
    assert "by the node node2" in page, page
    # A database that is away is said at once; what is known then is told when it is back.
    database.kill()
    away = nodes[0].command("why", told["id"], "--json", check=False)
    assert away.returncode not in (0, 1) and b"database" in away.stderr, away
    database.start()
    wait_for("the story once more", lambda: story(nodes[0]) == told, 60)


def test_a_queue_moves_out_of_the_database_and_back(world):
    networks, _, nodes = cluster(world, 1)
    account = Account(networks, addresses(nodes), 1_000, to="you@example.org")
    wait_for("all to be taken", lambda: not account.sending(), 60)
    node = nodes[0]

    def shown():
        entries = [json.loads(line) for line in node.ids()]
        return sorted((entry["id"], entry["held"]) for entry in entries)

    # What is delivered is known by the history alone.
    with smtplib.SMTP(node.host.outside, 25, timeout=30) as client:
        client.sendmail("me@example.com", ["you@example.net"],
                        b"Subject: x\r\nMessage-ID: <gone@example.com>\r\n\r\nhi\r\n")

    def story(what="<gone@example.com>"):
        done = node.command("why", what, "--json", check=False)
        return json.loads(done.stdout) if done.stdout else {}

    wait_for("its delivery", lambda: story().get("state") == "sent", 60)
    gone = story()
    node.command("queue", "hold", shown()[0][0])
    before = shown()
    assert len(before) == 1_000
    waiting = story(before[1][0])
    assert b"node1" in node.command("store", "copy", "postgres", "segments", check=False).stderr
    node.stop()
    versions = node.command("store", "migrate").stdout.decode().split()
    assert versions[4] == versions[7].rstrip(")"), versions
    kills, ways = 0, [("postgres", "segments"), ("segments", "postgres")]
    for way in [ways[0], ways[0], ways[1], ways[0]]:
        copy = subprocess.Popen(
            node.host.within(node.binary, "store", "copy", *way, "--config", node.configuration),
            stdout=subprocess.DEVNULL)
        time.sleep(random.uniform(0.05, 0.5))
        copy.kill()
        kills += copy.wait() != 0
    history = node.folder / "state/history"
    node.command("store", "copy", *ways[0])
    assert list(history.glob("*.history")), "the history of the database has come, too"
    node.command("store", "copy", *ways[1])
    assert not list(history.glob("*.history")), "and has gone back"
    node.start()
    assert shown() == before
    assert story() == gone
    facts = [event["event"] for event in waiting["events"]]
    assert [event["event"] for event in story(before[1][0])["events"]][:len(facts)] == facts
    return f"{kills} kills"
