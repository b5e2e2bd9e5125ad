"""What `puerto dns` and `puerto check` make of damaged records, judged by pyspf: one
record, every meant sender kept, nobody else let in, and content with its own advice."""

import concurrent.futures
import ipaddress
import json

import spf
from damage import DKIM_DAMAGE, DKIM_HARMLESS, DMARC_CASES, SPF_CASES
from peers import DNS_ADDRESS, Puerto, run, wait_for
from test_check import Bind as Serving

OURS = "192.0.2.25"
STRANGER = "203.0.113.200"
# Whoever the records of the cases may mean, by address.
SENDERS = ["198.51.100.10", "198.51.100.11", "198.51.100.20", "198.51.100.30", "198.51.100.40",
           "198.51.100.50", "198.51.100.70", "198.51.100.90", "198.51.100.99", "2001:db8:1::1"]
SERVICES = [
    "_spf IN TXT \"v=spf1 ip4:198.51.100.20 -all\"",
    "_soft IN TXT \"v=spf1 ip4:198.51.100.90 ~all\"",
    "host IN A 198.51.100.30", "mx IN A 198.51.100.40", "host IN AAAA 2001:db8:2::1",
    "mx IN AAAA 2001:db8:2::2", "mail IN A 192.0.2.25",
    "xn--bcher-kva IN TXT \"v=spf1 ip4:198.51.100.99 -all\"",
    "*.allow IN A 127.0.0.2", "why IN TXT \"no\"",
]
STRICTNESS = {"pass": 0, "none": 1, "neutral": 1, "softfail": 2, "fail": 3}


def strings(text):
    """A TXT value for a zone file, whatever octets it has."""
    octets = text if isinstance(text, bytes) else text.encode()
    pieces = [octets[at:at + 255] for at in range(0, len(octets), 255)] or [b""]
    return " ".join('"' + "".join(f"\\{octet:03d}" for octet in piece) + '"' for piece in pieces)


def zone(texts):
    """The records of example.com, with a name for each case that has these texts."""
    lines = ["ns1 IN A 127.0.0.53", "ns2 IN A 127.0.0.53", *SERVICES]
    for name, values in texts.items():
        if "_" not in name:
            lines += [f"{name} IN A 198.51.100.50", f"{name} IN AAAA 2001:db8:2::3",
                      f"{name} IN MX 10 mx"]
        lines += [f"{name} IN TXT {strings(value)}" for value in values]
    return lines


def judge(record, address, domain="case.example.com"):
    """What pyspf says of a record at a domain that has the services beside it."""
    known = {(domain, "A"): ["198.51.100.50"], (domain, "TXT"): [record],
             (domain, "AAAA"): ["2001:db8:2::3"], (domain, "MX"): [(10, "mx.example.com")]}
    for line in SERVICES:
        name, _, kind, value = line.split(" ", 3)
        known[(f"{name}.example.com", kind)] = [value.strip('"')]

    def look_up(name, kind, strict=True, timeout=None, level=0):
        name = str(name).rstrip(".").lower()
        found = known.get((name, kind))
        if kind == "A" and name.endswith(".allow.example.com"):
            found = ["127.0.0.2"]
        as_answer = (lambda value: (value.encode(),)) if kind == "TXT" else lambda value: value
        return [((name, kind), as_answer(value)) for value in found or []]

    spf.DNSLookup = look_up
    return spf.check2(i=address, s=f"me@{domain}", h="mail.example.com")[0]


class Advice:
    """What the two commands say of a case."""

    def __init__(self, puerto, name):
        domain = f"{name}.example.com"
        shown = puerto.command("--lang", "en", "dns", domain, "--egress", OURS, "--json")
        self.plan = json.loads(shown.stdout)
        done = puerto.command("--lang", "en", "check", domain, "--egress", OURS, "--only", "spf",
                              "--json", check=False)
        self.checks = json.loads(done.stdout)["checks"]
        own = [r for r in self.plan["records"] if r["name"] == domain and r["type"] == "TXT"]
        self.states = [r["state"] for r in own]
        self.record = next(r for r in own if r["state"] != "delete")
        self.text = self.record["value"]
        self.said = " ".join([self.record["why"], *(n["text"] for n in self.plan["notes"])])
        self.findings = [c for c in self.checks if c["status"] == "finding"]


class Dmarc:
    """What `puerto dns` makes of a DMARC record."""

    def __init__(self, puerto, name):
        domain = f"{name}.example.com"
        shown = puerto.command("--lang", "en", "dns", domain, "--egress", OURS, "--json")
        own = [r for r in json.loads(shown.stdout)["records"] if r["name"] == f"_dmarc.{domain}"]
        self.states = [r["state"] for r in own]
        self.text = own[0]["value"]
        self.expected = "keep" if own[0].get("old") is None else "change"


class Dkim:
    """What the two commands say of the record of a domain's only key."""

    def __init__(self, puerto, name):
        domain, at = f"{name}.example.com", f"s._domainkey.{name}.example.com"
        shown = puerto.command("--lang", "en", "dns", domain, "--egress", OURS, "--json")
        own = [r for r in json.loads(shown.stdout)["records"] if r["name"] == at]
        self.states, self.why = [r["state"] for r in own], " ".join(r["why"] for r in own)
        self.kept = [r["value"] for r in own if r["state"] != "delete"]
        done = puerto.command("--lang", "en", "check", domain, "--egress", OURS, "--only", "dkim",
                              "--json", check=False)
        of_key = [c for c in json.loads(done.stdout)["checks"] if c["subject"] in (at, domain)]
        self.wrong = [c for c in of_key if c["status"] == "finding" and c["severity"] != "info"
                      and c["id"] != "dkim.ed25519-dual"]
        self.says = " ".join(c["seen"] + " " + c["remedy"] for c in self.wrong)


def every(puerto, names, of=Advice):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return dict(zip(names, pool.map(lambda name: of(puerto, name), names)))


def fault_of(case, advice):
    """What is wrong with the mended record of a case; None if nothing is."""
    record = advice.text
    results = {address: judge(record, address) for address in [*SENDERS, OURS, STRANGER]}
    if "permerror" in results.values():
        return "is in error"
    if results[OURS] != "pass":
        return "does not let us pass"
    for address in SENDERS:
        passes, was = results[address] == "pass", judge(case.meant, address) == "pass"
        if was and not passes and not case.left:
            return f"loses {address}"
        if passes and not was:
            return f"lets {address} in"
    before = judge(case.meant, STRANGER)
    if results[STRANGER] == "pass" or STRICTNESS[results[STRANGER]] < STRICTNESS[before]:
        return f"is looser: {before} was meant for strangers, {results[STRANGER]} it says"
    unnamed = [word for word in case.left if word not in advice.said]
    if unnamed:
        return f"and nobody says anything of {unnamed}"
    if not case.left and advice.record["state"] == "decide":
        return f"is left to the person: {advice.said}"
    proposed = [c for c in advice.findings if f'TXT "{record}"' in c["remedy"]]
    if not proposed:
        return f"is not what check says: {[(c['id'], c['remedy']) for c in advice.findings]}"
    return None


def serve(world, texts):
    """A name server with these texts at these names of example.com."""
    served = Serving(world, DNS_ADDRESS, {
        "": [f"ns{number}.example.com. IN A {DNS_ADDRESS}" for number in (1, 2)],
        "in-addr.arpa": ["25.2.0.192 IN PTR mail.example.com."],
        "example.com": zone(texts)})
    world.add(served)
    answer = ("dig", "+short", "+tries=1", f"@{DNS_ADDRESS}", "example.com", "SOA")
    wait_for("BIND", lambda: b"ns1" in run(*answer, check=False).stdout)
    return served


def is_content(advice):
    """Whether nothing more is to be done but what was the owner's own wish."""
    wishes = {"spf.no-all", "spf.after-all", "spf.redirect-with-all", "spf.ptr-mechanism"}
    found = {c["id"] for c in advice.findings if c["severity"] != "info"}
    return advice.states == ["keep"] and found <= wishes


def test_a_damaged_spf_record_is_mended_as_pyspf_reads_it(world):
    puerto = Puerto(world, start=False)
    world.running.remove(puerto)
    cases = {f"c{number}": case for number, case in enumerate(SPF_CASES)}
    run("ip", "address", "add", f"{DNS_ADDRESS}/8", "dev", "lo", check=False)
    served = serve(world, {name: case.texts for name, case in cases.items()})
    advices = every(puerto, cases)
    wrong = {name: fault_of(case, advices[name]) for name, case in cases.items()}
    wrong = [f"{cases[name].kind}: {cases[name].texts} > {advices[name].text!r} {fault}"
             for name, fault in wrong.items() if fault]
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong)
    served.stop()
    # Who does what the advice says is asked for nothing more.
    texts = {advice.text: name for name, advice in advices.items()}
    served = serve(world, {name: [text] for text, name in texts.items()})
    again = every(puerto, texts.values())
    wrong = [f"{texts[a.text] if a.text in texts else ''} {a.text}: {a.states} {a.said} {a.findings}"
             for a in again.values() if not is_content(a)]
    assert not wrong, f"{len(wrong)} of {len(texts)}:\n" + "\n".join(wrong)
    served.stop()
    return f"{len(cases)} records, {len(texts)} when mended"


def tags(record):
    """The tags of a DMARC record that is right, as receivers read them."""
    parts = [part.strip() for part in record.split(";") if part.strip()]
    pairs = [[word.strip() for word in part.split("=", 1)] for part in parts]
    assert [word.upper() for word in pairs[0]] == ["V", "DMARC1"], record
    found = {name.lower(): value.lower() for name, value in pairs}
    assert len(found) == len(pairs), record
    return {name: sorted(uri.strip() for uri in value.split(",")) for name, value in found.items()}


def test_a_damaged_dmarc_record_keeps_what_its_owner_asked_for(world):
    puerto = Puerto(world, start=False)
    world.running.remove(puerto)
    cases = {f"c{number}": case for number, case in enumerate(DMARC_CASES)}
    run("ip", "address", "add", f"{DNS_ADDRESS}/8", "dev", "lo", check=False)
    served = serve(world, {f"_dmarc.{name}": case.texts for name, case in cases.items()})
    shown = every(puerto, cases, Dmarc)
    wrong = []
    for name, case in cases.items():
        try:
            right = tags(shown[name].text) == tags(case.meant)
        except (AssertionError, ValueError):
            right = False
        if not right or shown[name].states != [shown[name].expected]:
            wrong.append(f"{case.kind}: {case.texts} > {shown[name].text!r} {shown[name].states}")
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong)
    served.stop()
    return f"{len(cases)} records"


def test_a_key_record_is_judged_by_what_receivers_read(world):
    puerto = Puerto(world, start=False)
    world.running.remove(puerto)
    kinds = DKIM_HARMLESS | DKIM_DAMAGE
    names = {kind: f"c{number}" for number, kind in enumerate(kinds)}
    names["beside"] = f"c{len(names)}"
    for name in names.values():
        puerto.command("dkim", "new", f"{name}.example.com", "--selector", "s", "--type", "ed25519")
    keys = json.loads(puerto.command("dkim", "list", "--json").stdout)["keys"]
    records = {key["name"].split(".")[2]: key["record"] for key in keys}
    texts = {f"s._domainkey.{names[kind]}": [change(records[names[kind]])]
             for kind, change in kinds.items()}
    texts[f"s._domainkey.{names['beside']}"] = ["site=1", records[names["beside"]], "v=DKIM1; p="]
    run("ip", "address", "add", f"{DNS_ADDRESS}/8", "dev", "lo", check=False)
    served = serve(world, texts)
    found = every(puerto, names.values(), Dkim)
    failed = []
    for kind, name in names.items():
        advice, record = found[name], records[name]
        if kind in DKIM_HARMLESS:
            right = advice.states == ["keep"] and not advice.wrong
        elif kind == "beside":
            right = sorted(advice.states) == ["delete", "delete", "keep"] and advice.wrong
        else:
            right = (advice.states == ["change"] and advice.kept == [record]
                     and "{" not in advice.why
                     and any(record in c["remedy"] for c in advice.wrong))
        if not right:
            failed.append(f"{kind}: {advice.states} {advice.why} | {advice.wrong}")
    shown = "\n".join(f"{kind}: {found[name].why} | {found[name].says}"
                      for kind, name in names.items())
    (world.folder / "said").write_text(shown)
    assert not failed, f"{len(failed)} of {len(names)}:\n" + "\n".join(failed)
    served.stop()
    served = serve(world, {f"s._domainkey.{name}": [record] for name, record in records.items()})
    again = every(puerto, [names["quotes"], names["beside"]], Dkim)
    assert all(a.states == ["keep"] and not a.wrong for a in again.values()), again
    served.stop()
    return f"{len(names)} records"
