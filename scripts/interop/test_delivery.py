"""puerto between Postfix and Postfix: by MX, through a relayhost, as a relayhost."""

import shutil

from peers import (FINAL_ADDRESS, RECORDS, RELAY_ADDRESS, SENDER_ADDRESS, UNPRIVILEGED, Postfix, Puerto,
                   Unbound, final_postfix, run, wait_for)
from scripted import Sink


def smtp_source(count, size, sender="user@example.com", to="someone@example.net"):
    run("smtp-source", "-s", "10", "-m", count, "-l", size, "-f", sender, "-t", to,
        f"inet:{SENDER_ADDRESS}:25", timeout=120)


def test_by_mx_through_unbound_to_postfix(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Puerto(world)
    smtp_source(200, 4096)
    messages = final.wait(200)
    assert len({m["Message-ID"] for m in messages}) == 200, "every message has an id of its own"
    assert all("Buen Puerto" in str(m["Received"]) or any(
        "mail.example.com" in r for r in m.get_all("Received")) for m in messages)
    puerto.wait_empty()
    assert puerto.log().count("status=sent") == 200
    puerto.says(f"relay=mx.example.net[{FINAL_ADDRESS}]:25")


def test_as_a_client_of_a_relayhost_with_auth_and_tls(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    certificate, key = world.authority.issue("relay.example.org")
    relay = relay_with_auth(world, certificate, key)
    password = world.folder / "password"
    password.write_text("secret of the relay\n")
    password.chmod(0o600)
    shutil.chown(password, UNPRIVILEGED)
    puerto = Puerto(
        world,
        'relayhost = "[relay.example.org]:25"\nrelayhost_user = "puerto"\n'
        f'relayhost_password_file = "{password}"\n',
        f'[delivery]\nallow_private = true\ntls = "required"\nbind_ipv4 = "{SENDER_ADDRESS}"\n')
    smtp_source(20, 2000)
    final.wait(20)
    puerto.wait_empty()
    assert "sasl_method=" in relay.log(), "the relay saw us authenticate"
    assert "secret of the relay" not in puerto.log() + puerto.text()
    assert puerto.log().count("relay=relay.example.org") == 20


def test_a_relay_with_a_certificate_of_another_name_gets_no_mail(world):
    Unbound(world, RECORDS)
    certificate, key = world.authority.issue("other.example.org")
    relay = relay_with_auth(world, certificate, key)
    puerto = Puerto(
        world, 'relayhost = "[relay.example.org]:25"\n',
        f'[delivery]\nallow_private = true\ntls = "required"\nbind_ipv4 = "{SENDER_ADDRESS}"\n')
    smtp_source(1, 2000)
    wait_for("a deferral", lambda: "status=deferred" in puerto.log())
    puerto.says("dsn=4.7.5")
    assert puerto.queue_length() == 1
    assert "from=<user@example.com>" not in relay.log()


def test_many_domains_go_through_a_relay_in_one_transaction(world):
    Unbound(world, RECORDS)
    sink = Sink(world, RELAY_ADDRESS)
    puerto = Puerto(world, 'relayhost = "[relay.example.org]"\n')
    # At once, while nobody knows the way, and again, when it is known.
    for number in range(1, 4):
        recipients = [f"user@domain{n}.example.net" for n in range(50)]
        run(puerto.sendmail, "-f", "me@example.com", *recipients, input=b"Subject: x\n\nhi\n")
        puerto.wait_empty()
        assert [len(message.recipients) for message in sink.messages] == [50] * number


def test_a_password_goes_only_to_the_key_that_was_seen_first(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    # Certificates for another name: neither verifies.
    relay = relay_with_auth(world, *world.authority.issue("other.example.org"))
    password = world.folder / "password"
    password.write_text("secret of the relay\n")
    password.chmod(0o600)
    shutil.chown(password, UNPRIVILEGED)
    puerto = Puerto(world, 'relayhost = "[relay.example.org]:25"\nrelayhost_user = "puerto"\n'
                           f'relayhost_password_file = "{password}"\n')
    keys = puerto.state / "relay-keys"
    smtp_source(1, 2000)
    final.wait(1)
    wait_for("the key to be kept", keys.exists)
    assert "relay.example.org SHA256:" in keys.read_text()
    # Somebody else in the relay's place; a restart does not forget.
    puerto.stop()
    puerto.start()
    impostor = world.authority.issue("impostor.example.org")
    main = relay.folder / "main.cf"
    main.write_text(main.read_text() + f"smtpd_tls_cert_file = {impostor[0]}\n"
                                       f"smtpd_tls_key_file = {impostor[1]}\n")
    run("postfix", "-c", relay.folder, "reload")
    logins = relay.log().count("sasl_method=")
    smtp_source(1, 2000)
    wait_for("a deferral", lambda: "status=deferred" in puerto.log())
    puerto.says("dsn=4.7.5")
    puerto.says("no password is sent")
    assert relay.log().count("sasl_method=") == logins
    # The administrator says that it is right.
    keys.unlink()
    puerto.stop()
    puerto.start()
    run(puerto.binary, "queue", "retry", "--all", "--yes", "--config", puerto.configuration)
    final.wait(2)


ZONE = """\
$TTL 60
example.org. IN SOA ns.example.org. hostmaster.example.org. 1 7200 900 1209600 60
example.org. IN NS ns.example.org.
example.org. IN MX 10 relay.example.net.
ns.example.org. IN A 127.0.0.53
"""


def signed_zone(world):
    """The zone example.org, signed, and the anchor by which it is validated."""
    folder = world.folder / "signed"
    folder.mkdir()
    (folder / "zone").write_text(ZONE)
    for kind in (["-f", "KSK"], []):
        run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", *kind, "example.org", cwd=folder)
    run("dnssec-signzone", "-S", "-o", "example.org", "zone", cwd=folder)
    return folder / "zone.signed", folder / "dsset-example.org."


def test_a_host_that_only_mx_records_name_gets_the_password_if_dnssec_vouches_for_them(world):
    zone, anchor = signed_zone(world)
    records = RECORDS + [f"relay.example.net. IN A {RELAY_ADDRESS}"]
    resolver = Unbound(world, records, zones={"example.org": zone}, anchors=[anchor])
    final = final_postfix(world)
    relay = relay_with_auth(world, *world.authority.issue("relay.example.net"))
    password = world.folder / "password"
    password.write_text("secret of the relay\n")
    password.chmod(0o600)
    shutil.chown(password, UNPRIVILEGED)
    puerto = Puerto(world, 'relayhost = "example.org:25"\nrelayhost_user = "puerto"\n'
                           f'relayhost_password_file = "{password}"\n')
    smtp_source(1, 2000)
    final.wait(1)
    wait_for("the key to be kept", lambda: "example.org SHA256:" in
             (puerto.state / "relay-keys").read_text())
    logins = relay.log().count("sasl_method=")
    # The same records, and nobody vouches for them; then a forged one where they are signed.
    forged = zone.with_name("zone.forged")
    forged.write_text(zone.read_text().replace("10 relay.example.net.", "5 relay.example.net."))
    for said, file, anchors in [
            ("only MX records, which can be forged, name this host for example.org", zone, []),
            ("example.org:25: MX of example.org: the DNS failed: ", forged, [anchor])]:
        puerto.stop()
        resolver.stop()
        resolver = Unbound(world, records, zones={"example.org": file}, anchors=anchors)
        (puerto.state / "relay-keys").unlink(missing_ok=True)
        puerto.start()
        smtp_source(1, 2000)
        wait_for(said, lambda: said in puerto.log())
        assert relay.log().count("sasl_method=") == logins
    puerto.stop()
    resolver.stop()
    Unbound(world, records, zones={"example.org": zone}, anchors=[anchor])
    puerto.start()
    puerto.command("queue", "retry", "--all", "--yes")
    final.wait(3)


def relay_with_auth(world, certificate, key):
    return Postfix(world, "relay", RELAY_ADDRESS, {
        "mynetworks": "192.0.2.0/24",
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_tls_security_level": "may",
        "smtpd_tls_auth_only": "yes",
        "smtpd_tls_cert_file": certificate,
        "smtpd_tls_key_file": key,
        "smtpd_relay_restrictions": "permit_sasl_authenticated reject",
        "smtp_bind_address": RELAY_ADDRESS,
        "relayhost": f"[{FINAL_ADDRESS}]",
    }, password="secret of the relay")


def test_as_the_relayhost_of_a_postfix(world):
    Unbound(world, RECORDS)
    final = final_postfix(world)
    puerto = Puerto(world)
    client = Postfix(world, "client", "127.0.0.50", {
        "relayhost": f"[{SENDER_ADDRESS}]",
        "smtp_bind_address": "127.0.0.50",
    })
    run("smtp-source", "-s", "5", "-m", "50", "-l", "3000", "-f", "user@example.com",
        "-t", "someone@example.net", "inet:127.0.0.50:25", timeout=60)
    final.wait(50)
    puerto.wait_empty()
    wait_for("Postfix to have sent all", lambda: client.log().count("status=sent") == 50)
    assert "from client.example.org" in "".join(
        r for m in final.wait(50) for r in m.get_all("Received"))


def test_partial_refusals_bounce_for_exactly_those_recipients(world):
    Unbound(world, RECORDS)
    final = final_postfix(world, virtual_mailbox_maps="inline:{ good@example.net=all/ }",
                          smtpd_reject_unlisted_recipient="yes")
    puerto = Puerto(world)
    run(puerto.sendmail, "-f", "root@example.com", "good@example.net", "bad@example.net",
        input=b"Subject: two\n\nhello\n")
    final.wait(1)
    wait_for("the bounce", lambda: "sender non-delivery notification" in puerto.log())
    puerto.wait_empty()
    log = puerto.log()
    assert log.count("status=bounced") == 1 and "to=<bad@example.net>" in log
    assert "said: 550 5.1.1" in log
