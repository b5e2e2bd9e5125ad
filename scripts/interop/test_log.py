"""pflogsumm reads our log as it reads Postfix's."""

import re

from peers import RECORDS, SENDER_ADDRESS, Puerto, Unbound, final_postfix, run, wait_for


def test_pflogsumm_counts_what_happened(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Puerto(world, 'trusted_networks = ["127.0.0.1/32", "127.0.0.20/32"]\n')
    run("smtp-source", "-s", "5", "-m", "30", "-f", "user@example.com", "-t", "you@example.net",
        f"inet:{SENDER_ADDRESS}:25", check=False, timeout=60)
    run(puerto.sendmail, "-f", "me@example.com", "you@example.net", input=b"Subject: x\n\nhi\n")
    run(puerto.sendmail, "-f", "root@example.com", "you@gone.example.org", input=b"Subject: x\n\nhi\n")
    run("swaks", "--server", SENDER_ADDRESS, "--local-interface", "127.0.0.77", "--from",
        "a@example.org", "--to", "b@example.net", check=False)
    final.wait(1)
    wait_for("the bounce", lambda: "status=bounced" in puerto.log())
    puerto.wait_empty()
    log = puerto.mail_log
    report = run("pflogsumm", "--syslog-name", "puerto", log).stdout.decode()
    figures = dict((name, int(number)) for number, name in
                   re.findall(r"^\s+(\d+)\s+(received|delivered|bounced|rejected)\b", report, re.M))
    sent = puerto.log().count("status=sent")
    assert figures.get("delivered") == sent and sent >= 1, report
    assert figures.get("bounced") == 1, report
    assert figures.get("rejected", 0) >= 1, report
    assert figures.get("received", 0) >= 2, report
