"""SPF records as panels, text programs and hands leave them, with what they were meant as."""

import dataclasses


@dataclasses.dataclass
class Case:
    """`meant` is the record that all the texts were to be; `left` are words that nobody
    can read, of which the person has to be told."""
    kind: str
    texts: list
    meant: str
    left: tuple = ()


BASES = [
    "v=spf1 ip4:198.51.100.10 include:_spf.example.com -all",
    "v=spf1 a mx ip4:198.51.100.64/28 a:host.example.com ~all",
    "v=spf1 mx:case.example.com ip6:2001:db8:1::1 include:_soft.example.com ?all",
    "v=spf1 ip4:198.51.100.10 ip4:198.51.100.11 a:host.example.com include:_spf.example.com -all",
]
HARD = BASES[0]
ENDS = ("-all", "~all", "?all")

DASHES = [*map(chr, range(0x2010, 0x2016)), "\u2212", "\ufe58", "\ufe63", "\uff0d", "&ndash;",
          "&#8211;", "\u00e2\u20ac\u201c", "\u2011"]
SPACES = ["\u00a0", "\u2002", "\u2003", "\u2009", "\u200a", "\u202f", "\u205f", "\u3000", "\u1680",
          "\t", "\x0b", "\x0c", "\r\n", "\n", "&nbsp;", "%20", "\u00c2\u00a0", "\\032"]
HIDDEN = ["\ufeff", "\u200b", "\u200c", "\u200d", "\u200e", "\u2060", "\u00ad", "\u202a"]
QUOTES = [('"', '"'), ("'", "'"), ("`", "`"), ("\u00b4", "\u00b4"), ("\u201c", "\u201d"),
          ("\u201e", "\u201c"), ("\u00ab", "\u00bb"), ("\u2039", "\u203a"), ("\u2018", "\u2019"),
          ("\u300c", "\u300d"), ("\uff02", "\uff02"), ('\\"', '\\"'), ('""', '""'), ('"', ""),
          ("", '"'), ("&quot;", "&quot;"), ("(", ")"), ("[", "]"), ("{", "}"), ("<", ">"),
          ("<p>", "</p>"), ("\u2033", "\u2033"), ('"\u00a0', '"')]
VERSIONS = ["v=spf1;", "v=spf1,", "v=spf1:", "v = spf1", "v= spf1", "v =spf1", "V=SPF1;", "spf1",
            "v=spf1 v=spf1", "v:spf1", "v=spf 1", "v=spf", "v=spf2", "v-spf1", "v=spf1.", "=spf1",
            "v=SPF1 v=spf1", "v==spf1", "v=sfp1", "TXT v=spf1", "@ IN TXT v=spf1", "spf=v1",
            "v=spf1-", "v=spfl", "SPF: v=spf1", "v=spf1 =", "v=spf1/", "v=spf01", "vspf1",
            'v="spf1"', "v=spf1 spf1", "spf:1", "ｖ=spf1"]
SEPARATORS = [",", ", ", ";", "; ", " ; ", " , ", " ,", " ;", "|", " | ", "  ", ";;", "\\ ",
              "\\; ", " . ", " + ", "/ "]
TYPOS = [
    ("ip4:", "ipv4:"), ("ip4:", "IPv4:"), ("ip4:", "ip:"), ("ip4:", ""), ("ip4:", "ip4="),
    ("ip4:", "ip4: "), ("ip4:", "ip4 :"), ("ip4:", "ip4 "), ("ip4:", "ip4;"), ("ip4:", "ip4::"),
    ("ip4:", "ip6:"), ("ip4:", "a:"), ("ip4:", "mx:"), ("ip4:", "ip4."), ("ip4:", "ip4,"),
    ("ip4:", "ip-4:"), ("ip4:", "pi4:"), ("ip4:", "ip4:ip4:"),
    ("ip4:", "ip4/"), ("ip4:", "+ip4:"), ("ip4:", "+ ip4:"), ("ip4:", "ipv4="), ("ip4:", "i p4:"),
    ("include:", "include="), ("include:", "include: "), ("include:", "include "),
    ("include:", "includes:"), ("include:", "inlcude:"), ("include:", "Include :"),
    ("include:", "include::"), ("include:", "include:https://"), ("include:", "include:http://"),
    ("include:", "include;"), ("include:", "+include:"), 
    ("include:", "include:include:"), ("include:", "include:@"),
    ("include:", "include:spf:"),
    ("a:", "a: "), ("a:", "a="), ("a:", "A:"), ("a:", "a::"), ("a:", "ip4:"),
    ("a:", "host:"), ("a:", "aaaa:"), ("a:", "a:http://"), 
    ("ip6:", "ipv6:"), ("ip6:", "ip:"), ("ip6:", ""), ("ip6:", "ip4:"), ("ip6:", "ip6="),
    ("ip6:", "a:"), ("ip6:", "ip6: "), ("ip6:2001:db8:1::1", "ip6:[2001:db8:1::1]"),
    ("/28", "/255.255.255.240"), ("/28", " /28"), ("/28", "/ 28"), 
    ("198.51.100.10", "198.51.100.10/32"), ("198.51.100.10", "198.51.100.10/"),
    ("198.51.100.10", "198.51.100.10."),
    ("198.51.100.10", "[198.51.100.10]"), ("198.51.100.10", "198.51.100.10:25"),
    ("198.51.100.10", "<198.51.100.10>"), ("198.51.100.10", "198. 51.100.10"),
    
    ("_spf.example.com", "_spf.example.com."), ("_spf.example.com", "_SPF.EXAMPLE.COM"),
    ("_spf.example.com", "_spf.example.com/"), ("_spf.example.com", "<_spf.example.com>"),
    ("_spf.example.com", "_spf .example.com"), ("_spf.example.com", "_spf.example.com,"),
    ("_spf.example.com", "'_spf.example.com'"), ("_spf.example.com", "_spf.example.com?all"),
    ("mx ", "mx: "), ("mx ", "MX "), ("mx ", "+mx "), ("mx ", "mx, "), ("mx ", "mx/ "),
    ("a mx", "amx"), ("a mx", "a, mx"), ("a mx", "a: mx:"), ("a mx", "a;mx"),
]
ALLS = ["{} all", "{}  all", "{}al", "{}alll", "{}ALL", "{}all.", "{}all;", "{}all,", "{}{}all",
        "{}all {}all", "{}all\"", "{}a ll", "{}all-", "{}all:", "{}all=", "({}all)", "{}all\u00a0",
        "\u00a0{}all", "{}\u00a0all", "{}:all", "{}=all", "{}all v=spf1"]


def damaged():
    """Every kind of damage done to a record that has what it takes."""
    for base in BASES:
        end = base.split(" ")[-1]
        sign = end[0]
        for dash in DASHES if sign == "-" else []:
            yield "dash", base, base.replace(end, f"{dash}all")
            yield "dash", base, base.replace(end, f"{dash} all")
        for space in SPACES:
            yield "space", base, base.replace(" ", space)
            yield "space", base, space.join(base.rsplit(" ", 1))
            if base is HARD:
                yield "space", base, base.replace(" ", space, 1)
                yield "space", base, space + base
                yield "space", base, base + space
        for mark in HIDDEN if base is HARD else []:
            yield "mark", base, mark + base
            yield "mark", base, base + mark
            yield "mark", base, base.replace("include:", f"include:{mark}")
            yield "mark", base, base.replace(" -all", f" -{mark}all")
        for before, after in QUOTES if base is HARD else []:
            yield "quotes", base, before + base + after
            yield "quotes", base, base.replace("_spf.example.com", f"{before}_spf.example.com{after}")
            yield "quotes", base, base.replace("198.51.100.10", f"{before}198.51.100.10{after}")
        for version in VERSIONS:
            if base is HARD or base is BASES[1]:
                yield "version", base, base.replace("v=spf1", version)
        for separator in SEPARATORS:
            first, rest = base.split(" ", 1)
            yield "separator", base, f"{first} {rest.replace(' ', separator)}"
            yield "separator", base, base.replace(" ", separator)
        for right, wrong in TYPOS:
            if right in base:
                yield "typo", base, base.replace(right, wrong)
        for form in ALLS:
            yield "all", base, base.replace(end, form.replace("{}", sign))
        yield "case", base, base.upper()
        words = base.split(" ")
        for at in range(1, len(words)):
            yield "cut", base, " ".join(words[:at]) + words[at] + "".join(
                f" {word}" for word in words[at + 1:])
            yield "cut", base, " ".join(words[:at]) + "  " + " ".join(words[at:])
            yield "cut", base, " ".join(words[:at]) + '" "' + " ".join(words[at:])
            yield "cut", base, " ".join(words[:at]) + '""' + " ".join(words[at:])
            yield "cut", base, " ".join(words[:at]) + '" "' + words[at] + "".join(
                f" {word}" for word in words[at + 1:])
        yield "doubled", base, f"{base} {base}"
        yield "doubled", base, f"{base}{base}"
        yield "doubled", base, f"{base}; {base}"
        yield "doubled", base, f'"{base}" "{base}"'


# What may be anything: the sender is the person's to name.
UNCLEAR = [
    ("include:", "inc:"), ("include:", "include."), ("include:", "include:v=spf1 include:"),
    ("a:", "a "), ("a:", ""), ("198.51.100.10", "198.51.100.010"),
    ("198.51.100.10", "198,51,100,10"), ("198.51.100.10", "198.51.100.10-198.51.100.20"),
    ("a mx", "a/mx"), ("ip4:198.51.100.10", "ip4:198.51.100"), ("ip4:198.51.100.10", "ip4:"),
    ("ip4:198.51.100.10", "ip4:198.51.100.300"), ("ip4:198.51.100.10", "ip4:198.51.100.0/33"),
    ("ip4:198.51.100.10", "ip4:198.51.100.*"), ("ip4:198.51.100.10", "ip4:198.51.100.10/ab"),
    ("_spf.example.com", "_spf"), ("_spf.example.com", ""), ("_spf.example.com", "%{x}.example.com"),
    ("_spf.example.com", "_spf..example.com"), ("ip4:198.51.100.10", "nonsense"),
    ("ip4:198.51.100.10", "exists:"), ("ip4:198.51.100.10", "mx:-"), 
    ("a:host.example.com", "host.example.com"), ("ip6:2001:db8:1::1", "ip6:zz"),
    ("ip6:2001:db8:1::1", "ip6:2001:db8:1:1"),
    ("v=spf1", "SPF"), ("v=spf1", "x=spf1"),
]


def unclear():
    """Words that are nothing alone, in each record that has the right one."""
    for base in BASES:
        for right, wrong in UNCLEAR:
            if right in base:
                words = [word for word in base.replace(right, wrong).split()
                         if word not in base.split()]
                yield Case("unclear", [base.replace(right, wrong)], base, (max(words, key=len).split(",")[0],))


def by_hand():
    """Records whose meaning stands beside them."""
    ip, other = "ip4:198.51.100.10", "ip4:198.51.100.11"
    inc, soft = "include:_spf.example.com", "include:_soft.example.com"
    yield Case("two", [f"v=spf1 {ip} -all", f"v=spf1 {inc} ~all"], f"v=spf1 {ip} {inc} -all")
    yield Case("two", [f"v=spf1 exp=why.example.com {ip} -all", f"v=spf1 exp=why.example.com {inc} -all"],
               f"v=spf1 {ip} {inc} -all")
    yield Case("two", [f"v=spf1 ra=me {ip} -all", f"v=spf1 op=x {inc} -all"], f"v=spf1 {ip} {inc} -all")
    yield Case("two", [f"v=spf1 {ip} redirect=_spf.example.com", f"v=spf1 {other} ~all"],
               f"v=spf1 {ip} {other} {inc} -all")
    yield Case("two", [f"v=spf1 {ip} - all", f"\u201cv=spf1 {inc} ~all\u201d"], f"v=spf1 {ip} {inc} -all")
    yield Case("two", [f"v=spf1 {ip} +all", f"v=spf1 {inc} +all"], f"v=spf1 {ip} {inc} ~all")
    yield Case("two", [f"v=spf1; {ip} -all", f"spf1 {inc} -all"], f"v=spf1 {ip} {inc} -all")
    yield Case("two", [f"v=spf1 {ip} -all", f"V=SPF1 {ip} -ALL"], f"v=spf1 {ip} -all")
    yield Case("two", ["v=spf1 -all", f"v=spf1 {ip} ~all"], f"v=spf1 {ip} -all")
    yield Case("two", ["v=spf1 a mx ~all", f"v=spf1 {inc} ?all", f"v=spf1 {ip}"],
               f"v=spf1 a mx {inc} {ip} ~all")
    yield Case("right", [f"v=spf1 exp=why.example.com {ip} -all"], f"v=spf1 {ip} -all")
    yield Case("exp", [f"v=spf1 exp=why.example.com exp=why.example.com {ip} -all"], f"v=spf1 {ip} -all")
    yield Case("exp", [f"v=spf1 {ip} -all exp=why.example.com exp=host.example.com"],
               f"v=spf1 {ip} -all", ("exp=host.example.com",))
    yield Case("modifier", [f"v=spf1 rp=100 rr=e {ip};{inc} -all"], f"v=spf1 {ip} {inc} -all")
    yield Case("modifier", [f"v=spf1 {ip}, x-own=%{{d}} {inc} -all"], f"v=spf1 {ip} {inc} -all")
    yield Case("redirect", [f"v=spf1, {ip} redirect=_spf.example.com"], f"v=spf1 {ip} {inc} -all")
    yield Case("redirect", [f"v=spf1 {ip} redirect:_spf.example.com"], f"v=spf1 {ip} {inc} -all")
    yield Case("redirect", [f"v=spf1 {ip} redirect =_spf.example.com"], f"v=spf1 {ip} {inc} -all")
    yield Case("redirect", [f"v=spf1; redirect=_spf.example.com {ip}"], f"v=spf1 {ip} {inc} -all")
    yield Case("redirect", [f"v=spf1; {ip} redirect=_spf.example.com -all"], f"v=spf1 {ip} -all",
               ("redirect=_spf.example.com",))
    yield Case("redirect", ["v=spf1 redirect=_spf.example.com redirect=_soft.example.com"],
               f"v=spf1 {inc} {soft} -all")
    yield Case("middle", [f"v=spf1, {ip} ?all {inc} -all"], f"v=spf1 {ip} ?all", (inc,))
    yield Case("middle", [f"v=spf1; {ip} -all {inc}"], f"v=spf1 {ip} -all", (inc,))
    yield Case("middle", [f"v=spf1 -all; {ip}"], "v=spf1 -all", (ip,))
    yield Case("open", [f"v=spf1; {ip} +all"], f"v=spf1 {ip} ~all", ("+all",))
    yield Case("open", [f"v=spf1, {ip} all"], f"v=spf1 {ip} ~all", ("all",))
    yield Case("open", [f"v=spf1; {ip} ip4:0.0.0.0/0 -all"], f"v=spf1 {ip} -all", ("ip4:0.0.0.0/0",))
    yield Case("open", [f"v=spf1; {ip} ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all"], f"v=spf1 {ip} -all",
               ("ip4:0.0.0.0/1", "ip4:128.0.0.0/1"))
    yield Case("open", [f"v=spf1; {ip} ip6:::/0 -all"], f"v=spf1 {ip} -all", ("ip6:::/0",))
    yield Case("open", [f"v=spf1; {ip} a:host.example.com/0 -all"], f"v=spf1 {ip} -all",
               ("a:host.example.com/0",))
    yield Case("open", [f"v=spf1; {ip} mx/0 -all"], f"v=spf1 {ip} -all", ("mx/0",))
    yield Case("names", [f"v=spf1 {ip} include:bücher.example.com -all"],
               f"v=spf1 {ip} include:xn--bcher-kva.example.com -all")
    yield Case("names", [f"v=spf1 {ip} exists:%{{I}}.nobody.example.com; -all"], f"v=spf1 {ip} -all")
    yield Case("ptr", [f"v=spf1; {ip} ptr -all"], f"v=spf1 {ip} ptr -all")
    yield Case("ptr", [f"v=spf1; {ip} ptr: -all"], f"v=spf1 {ip} ptr -all")
    yield Case("none", ["v=spf1 "], "v=spf1")
    yield Case("none", ["v=spf1;"], "v=spf1")
    yield Case("octets", [b"v=spf1 ip4:198.51.100.10 \x96all"], f"v=spf1 {ip} -all")
    yield Case("octets", [b"v=spf1 ip4:198.51.100.10\xa0-all"], f"v=spf1 {ip} -all")
    yield Case("octets", [b"\x93v=spf1 ip4:198.51.100.10 -all\x94"], f"v=spf1 {ip} -all")


def each_once(cases):
    """The same text only once."""
    seen = set()
    for case in cases:
        key = tuple(map(repr, case.texts))
        if key not in seen:
            seen.add(key)
            yield case


SPF_CASES = list(each_once(
    [Case(kind, [text], base) for kind, base, text in damaged() if text != base]
    + list(unclear()) + list(by_hand())))


DMARC_BASES = [
    "v=DMARC1; p=reject; rua=mailto:a@r.example.com",
    "v=DMARC1; p=quarantine; sp=none; pct=25; rua=mailto:a@r.example.com,mailto:b@r.example.com; "
    "ruf=mailto:f@r.example.com; fo=1:d; adkim=s; aspf=s; ri=86400",
    "v=DMARC1; p=none; np=reject; rua=mailto:a@r.example.com!10m; psd=n; t=y",
    "v=DMARC1;p=reject;sp=reject;rua=mailto:a+b@r.example.com;",
]
DMARC_TYPOS = [
    ("v=DMARC1", "v=DMARC1;v=DMARC1"), ("v=DMARC1", "v=dmarc1"), ("v=DMARC1", "V=DMARC1"),
    ("v=DMARC1", "v = DMARC1"), ("v=DMARC1", "v=DMARC 1"), ("v=DMARC1", "v=DMARC"),
    ("v=DMARC1", "DMARC1"), ("v=DMARC1", "v:DMARC1"), ("v=DMARC1", "v=DMARC1."),
    ("v=DMARC1", "v==DMARC1"), ("v=DMARC1", "TXT v=DMARC1"), ("v=DMARC1", "_dmarc IN TXT v=DMARC1"),
    ("v=DMARC1", "v=DMARC1,"), ("v=DMARC1", "v=DMARC1:"), ("v=DMARC1", "v=DMRAC1"),
    ("v=DMARC1", "v=DKIM1"), ("v=DMARC1", "v=DMARC2"), ("v=DMARC1", "x v=DMARC1"),
    ("p=reject", "p=Reject"), ("p=reject", "p=rejected"), ("p=reject", "p = reject"),
    ("p=reject", "p:reject"), ("p=reject", "p=\"reject\""), ("p=reject", "p=reject."),
    ("; p=reject", "; policy=reject"), ("p=reject", "p reject"), ("p=reject", "p=rejct"),
    ("p=reject", "p=reject p=reject"), ("p=reject", "p=reject; p=reject"), ("p=reject", "p==reject"),
    ("p=quarantine", "p=quarantaine"), ("p=quarantine", "p=quarrantine"),
    ("p=quarantine", "p=QUARANTINE"), ("p=quarantine", "p=quarantine,"),
    ("p=none", "p=None"), ("p=none", "p=\u201cnone\u201d"), ("p=none", "p= none"),
    ("sp=", "sp ="), ("sp=", "SP="), ("sp=", "sp:"), ("pct=25", "pct=25%"), ("pct=25", "pct = 25"),
    ("pct=25", "pct:25"), ("adkim=s", "adkim=strict"), ("adkim=s", "adkim=S"),
    ("adkim=s", "adkim:s"), ("fo=1:d", "fo=1,d"), ("fo=1:d", "fo=1 d"), ("fo=1:d", "fo=1;d"),
    ("rua=mailto:", "rua=mailto: "), ("rua=mailto:", "rua="), ("rua=mailto:", "rua=mailto://"),
    ("rua=mailto:", "rua=MAILTO:"), ("rua=mailto:", "rua=mailto="), ("rua=mailto:", "rua = mailto:"),
    ("rua=mailto:", "rua:mailto:"), ("rua=mailto:", "rua=email:"), ("rua=mailto:", "rua=malito:"),
    ("rua=mailto:", "rua=mail to:"), ("rua=mailto:", "rua=mailto;"), ("rua=mailto:", "rua=<mailto:"),
    ("rua=mailto:", "rua=mailto:mailto:"), ("rua=mailto:", "rua=maito:"), ("rua=", "RUA="),
    ("ruf=", "ruf:"), (",mailto:", ";mailto:"), (",mailto:", "; mailto:"), (",mailto:", " mailto:"),
    (",mailto:", ", mailto:"), (",mailto:", ","), (",mailto:", ";"), (",mailto:", " , "),
    (",mailto:", "|mailto:"), (",mailto:", ",rua=mailto:"), (",mailto:", "; rua=mailto:"),
    (",mailto:", "mailto:"), ("@r.example.com", "@r.example.com."), ("@", " @ "), ("@", "@ "),
    ("@", "(at)"), (".com!10m", ".com !10m"),
]


def dmarc_damaged():
    """Every kind of damage done to a DMARC record."""
    for base in DMARC_BASES:
        for space in SPACES:
            yield "space", base, base.replace(" ", space)
            yield "space", base, base.replace(";", f";{space}")
            yield "space", base, space + base
            yield "space", base, base + space
        for mark in HIDDEN:
            yield "mark", base, mark + base
            yield "mark", base, base.replace("rua=", f"rua={mark}")
            yield "mark", base, base.replace("p=", f"p={mark}", 1)
        for before, after in QUOTES:
            yield "quotes", base, before + base + after
            yield "quotes", base, base.replace(
                "mailto:a@r.example.com", f"{before}mailto:a@r.example.com{after}")
        for separator in [",", ", ", " ", ";;", "; ;", " ;", " ; ", "|", ":", "\\;", "\\; ", "", "\uff1b"]:
            if separator or base is DMARC_BASES[0]:
                yield "separator", base, base.replace("; ", ";").replace(";", separator)
        for right, wrong in DMARC_TYPOS:
            if right in base:
                yield "typo", base, base.replace(right, wrong, 1)
        words = base.split("; ")
        if len(words) > 2:
            yield "order", base, "; ".join([words[1], words[0], *words[2:]])
            yield "order", base, "; ".join([words[0], *words[2:], words[1]])
        yield "case", base, base.upper()
        yield "doubled", base, f"{base} {base}"
        yield "doubled", base, f"{base}; {base}"


DMARC_CASES = list(each_once(
    Case(kind, [text], base) for kind, base, text in dmarc_damaged() if text != base))


# What is done to the record of a key, and whether it is still the same to receivers.
DKIM_HARMLESS = {
    "no version": lambda r: r.split("; ", 1)[1],
    "a semicolon at the end": lambda r: r + ";",
    "blanks in the key": lambda r: r[:-20] + " " + r[-20:-8] + "  " + r[-8:],
    "a line break in the key": lambda r: r[:-20] + "\r\n " + r[-20:],
    "a note": lambda r: r.replace("; p=", "; n=ours; p="),
    "for mail": lambda r: r.replace("; p=", "; s=email; p="),
    "for all": lambda r: r + "; s=*",
    "a hash": lambda r: r.replace("; p=", "; h=sha256; p="),
    "no blanks": lambda r: r.replace("; ", ";"),
    "blanks": lambda r: r.replace("=", " = ", 2).replace(";", " ;"),
    "a tag nobody knows": lambda r: r + "; x=1",
}
DKIM_DAMAGE = {
    "quotes": lambda r: f'"{r}"',
    "escaped quotes": lambda r: '\\"' + r + '\\"',
    "quotes in the key": lambda r: r[:-20] + '" "' + r[-20:],
    "typographic quotes": lambda r: f"\u201c{r}\u201d",
    "escaped semicolons": lambda r: r.replace(";", "\\;"),
    "two semicolons": lambda r: r.replace("; ", ";; ", 1),
    "version twice": lambda r: "v=DKIM1; " + r,
    "the key twice": lambda r: f"{r} {r}",
    "small letters": lambda r: r.replace("DKIM1", "dkim1"),
    "another version": lambda r: r.replace("DKIM1", "DKIM2"),
    "version at the end": lambda r: r.split("; ", 1)[1] + "; v=DKIM1",
    "commas": lambda r: r.replace(";", ","),
    "no semicolons": lambda r: r.replace(";", ""),
    "no key": lambda r: r.split("; p=")[0],
    "revoked": lambda r: r.split("; p=")[0] + "; p=",
    "cut short": lambda r: r[:-9],
    "padding lost": lambda r: r.rstrip("="),
    "no-break space": lambda r: r.replace("; ", ";\u00a0"),
    "no-break space in the key": lambda r: r[:-20] + "\u00a0" + r[-20:],
    "byte order mark": lambda r: "\ufeff" + r,
    "hidden mark in the key": lambda r: r[:-20] + "\u200b" + r[-20:],
    "armour": lambda r: r.replace("p=", "p=-----BEGIN PUBLIC KEY-----") + "-----END PUBLIC KEY-----",
    "testing": lambda r: r.replace("; p=", "; t=y; p="),
    "sha1 only": lambda r: r.replace("; p=", "; h=sha1; p="),
    "not for mail": lambda r: r.replace("; p=", "; s=tlsrpt; p="),
    "another kind": lambda r: r.replace("k=ed25519", "k=rsa"),
    "kind unknown": lambda r: r.replace("k=ed25519", "k=ed2551"),
    "kind lost": lambda r: r.replace("k=ed25519; ", ""),
    "colons": lambda r: r.replace("=", ":", 2),
    "small key": lambda r: r.lower(),
    "foreign": lambda r: "site-verification=1",
    "spf": lambda r: "v=spf1 -all",
    "dmarc": lambda r: "v=DMARC1; p=none",
    "zone file line": lambda r: "s._domainkey IN TXT " + r,
    "markup": lambda r: f"<p>{r}</p>",
    "empty": lambda r: "",
}
