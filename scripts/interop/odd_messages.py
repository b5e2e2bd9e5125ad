"""Message files of the kinds that programs really write and standards do not: each kind
is a rule, and its files are what the rule makes of a list of values.

`odd_messages.py FOLDER` writes them there, for `scripts/compare-postfix FOLDER`.
"""

import pathlib
import sys

LATIN = "José Núñez".encode("latin-1")
GBK = "会议通知".encode("gbk")
KOI8 = "Привет".encode("koi8-r")
UTF8 = "José 会议 Привет".encode()
ENCODINGS = {"utf8": UTF8, "latin1": LATIN, "gbk": GBK, "koi8": KOI8,
             "iso2022jp": "日本語".encode("iso2022_jp"), "cut": "Núñe".encode() + b"\xc3"}
BASIC = b"From: shop@example.com\nTo: ana@sink.example\nSubject: order\n"


def message(header, body=b"body\n", basic=BASIC):
    """A message of our own program: `header` is what is odd about it."""
    names = {line.split(b":")[0].strip().lower() for line in header.split(b"\n")}
    kept = [line for line in basic.splitlines(True) if line.split(b":")[0].lower() not in names]
    return header + b"".join(kept) + b"\n" + body


def repeated():
    values = {
        b"From": (b"shop@example.com", b"other@example.com"),
        b"To": (b"ana@sink.example", b"Bob <bob@sink.example>"),
        b"Cc": (b"c@sink.example", b"d@sink.example,"),
        b"Reply-To": (b"a@sink.example", b"b@sink.example"),
        b"Sender": (b"a@example.com", b"b@example.com"),
        b"Subject": (b"one", b"two"),
        b"Date": (b"Fri, 27 Nov 2026 10:00:00 +0000", b"Sat, 28 Nov 2026 10:00:00 +0000"),
        b"Message-ID": (b"<a@example.com>", b"<b@example.com>"),
        b"References": (b"<a@example.com>", b"<b@example.com>"),
        b"In-Reply-To": (b"<a@example.com>", b"<b@example.com>"),
        b"MIME-Version": (b"1.0", b"1.0"),
        b"Content-Type": (b"text/plain; charset=utf-8", b"text/html"),
        b"Content-Transfer-Encoding": (b"8bit", b"quoted-printable"),
        b"List-Unsubscribe": (b"<https://example.com/u>", b"<mailto:u@example.com>"),
        b"X-Mailer": (b"one", b"two"),
    }
    for name, (first, second) in values.items():
        line = lambda value: name + b": " + value + b"\n"
        key = name.decode().lower()
        yield f"{key}-full", message(line(first) + line(second))
        yield f"{key}-empty-first", message(line(b"") + line(first))
        yield f"{key}-empty-last", message(line(first) + line(b" "))
        yield f"{key}-apart-in-case", message(line(first) + line(second).upper())


def encodings():
    places = {
        "subject": b"Subject: %s\n", "from": b"From: %s <shop@example.com>\n",
        "from-quoted": b'From: "%s" <shop@example.com>\n', "from-comment": b"From: shop@example.com (%s)\n",
        "to": b"To: %s <ana@sink.example>\n", "reply-to": b"Reply-To: %s <shop@example.com>\n",
        "list-id": b"List-Id: %s <news.example.com>\n", "receipt": b"Disposition-Notification-To: %s <a@example.com>\n",
        "errors-to": b"Errors-To: %s <a@example.com>\n", "x": b"X-Customer: %s\n", "comments": b"Comments: %s\n",
        "filename": b"MIME-Version: 1.0\nContent-Type: application/pdf; name=\"%s.pdf\"\nContent-Transfer-Encoding: 7bit\n",
        "list-unsubscribe": b"List-Unsubscribe: <https://example.com/?%s>\n",
        "organization": b"Organization: %s\n",
    }
    for place, form in places.items():
        for name, octets in ENCODINGS.items():
            yield f"{place}-{name}", message(form % octets)
    for name, octets in ENCODINGS.items():
        yield f"body-{name}", message(b"", octets + b"\n")
        yield f"body-{name}-described", message(
            b"MIME-Version: 1.0\nContent-Type: text/plain; charset=%s\n" % name.encode(), octets + b"\n")
    wide = "hola\nñandú\n".encode("utf-16")
    yield "utf16-body", message(b"", wide)
    yield "utf16-body-described", message(b"Content-Type: text/plain; charset=utf-16\n", wide)
    yield "utf16-whole", "Subject: x\n\nhola\n".encode("utf-16")
    yield "utf8-mark", b"\xef\xbb\xbf" + message(b"Subject: mark\n")
    yield "utf8-mark-body", message(b"", b"\xef\xbb\xbfhola\n")
    yield "nul-body", message(b"", b"a\0b\n")
    yield "nul-header", message(b"Subject: a\0b\n")
    yield "nul-name", message(b"X-\0Y: a\n")
    yield "control", message(b"Subject: a\x07b\x1b[31mc\x0b\x0cd\n", b"\x07\x1b[31m\x7f\n")


def encoded_words():
    for name, subject in {
        "cut-inside": b"=?utf-8?B?w4==?= =?utf-8?B?sQ==?=",
        "cut-inside-q": b"=?utf-8?Q?a=C3?= =?utf-8?Q?=B1o?=",
        "long": b"=?utf-8?Q?" + b"=C3=B1" * 60 + b"?=",
        "very-long": b"=?utf-8?B?" + b"w7Eg" * 400 + b"?=",
        "blanks": b"=?utf-8?Q?a b c?=",
        "unknown-charset": b"=?x-nonsense?Q?a=C3=B1o?=",
        "empty": b"=?utf-8?Q??=",
        "unclosed": b"=?utf-8?Q?a=C3=B1o",
        "bad-hex": b"=?utf-8?Q?a=ZZo?=",
        "bad-base64": b"=?utf-8?B?w7E?=",
        "glued": b"a=?utf-8?Q?=C3=B1?=o",
        "adjacent-without-blank": b"=?utf-8?Q?a?==?utf-8?Q?b?=",
        "language": b"=?utf-8*es?Q?a=C3=B1o?=",
        "beside-raw": b"=?utf-8?Q?a=C3=B1o?= " + UTF8,
        "raw-inside": b"=?iso-8859-1?Q?a\xf1o?=",
        "newline-inside": b"=?utf-8?Q?a=0D=0ABcc:_x@sink.example?=",
        "quoted": b'"=?utf-8?Q?a=C3=B1o?="',
    }.items():
        yield f"subject-{name}", message(b"Subject: " + subject + b"\n")
        yield f"from-{name}", message(b"From: " + subject + b" <shop@example.com>\n")


def lengths():
    word, solid = b"word " * 400, b"x" * 3000
    for name, header in {
        "subject-words": b"Subject: " + word, "subject-solid": b"Subject: " + solid,
        "to-many-in-a-line": b"To: " + b", ".join(b"a%d@sink.example" % n for n in range(200)),
        "to-name": b"To: " + word + b"<ana@sink.example>", "to-solid-name": b'To: "' + solid + b'" <ana@sink.example>',
        "references": b"References: " + b"<0123456789@example.com>" * 200,
        "list-unsubscribe": b"List-Unsubscribe: <https://example.com/?" + b"a=b&" * 500 + b">",
        "x-solid": b"X-Token: " + solid, "x-utf8": b"X-Text: " + UTF8 * 200,
        "dkim": b"DKIM-Signature: v=1; a=rsa-sha256; d=example.edu; s=x; h=from; bh=; b=" + solid,
        "content-type": b"MIME-Version: 1.0\nContent-Type: application/x; name=" + solid,
        "message-id": b"Message-ID: <" + b"y" * 1200 + b"@example.com>",
        "name": b"X-" + b"n" * 1200 + b": a",
        "received": b"Received: from a by b with " + solid + b"; Fri, 27 Nov 2026 10:00:00 +0000",
        "300-KiB": b"\n".join(b"X-Field-%d: %s" % (n, b"v" * 90) for n in range(3000)),
        "5000-recipients": b"To: " + b",\n ".join(b"u%d@sink.example" % n for n in range(5000)),
    }.items():
        yield f"header-{name}", message(header + b"\n")
    part = b"--b\nContent-Type: %s\n\n%s\n"
    multi = b"MIME-Version: 1.0\nContent-Type: multipart/%s; boundary=b\n"
    long = b"y " * 1000 + b"\n"
    yield "text", message(b"", long)
    yield "text-8bit", message(b"", UTF8 * 100 + b"\n")
    yield "text-solid", message(b"", solid + b"\n")
    yield "html", message(b"MIME-Version: 1.0\nContent-Type: text/html\n", b"<p>" + solid + b"</p>\n")
    yield "base64", message(b"MIME-Version: 1.0\nContent-Transfer-Encoding: base64\n", b"QUJD" * 800 + b"\n")
    yield "quoted-printable", message(b"MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n",
                                      b"a=C3=B1o=20" * 200 + b"=\nend\n")
    for kind in (b"text/plain", b"message/rfc822", b"message/delivery-status", b"text/rfc822-headers",
                 b"application/octet-stream", b"image/png\nContent-Transfer-Encoding: base64"):
        name = kind.decode().split("\n")[0].replace("/", "-")
        for outer in (b"mixed", b"signed", b"report"):
            yield f"{outer.decode()}-{name}", message(
                multi % outer, part % (kind, b"Subject: s\n\n" + long) + b"--b--\n")
    yield "preamble", message(multi % b"mixed", long + part % (b"text/plain", b"a") + b"--b--\n" + long)


def addresses():
    forms = {
        "route": b"<@a.example,@b.example:c@sink.example>", "percent": b"a%sink.example@sink.example",
        "bang": b"sink.example!a", "bang-domain": b"x!y@sink.example", "nested-comment": b"a@sink.example (b (c (d)))",
        "comment-inside": b"a(x)@(y)sink.example", "quoted-local": b'"a b"@sink.example',
        "quoted-newline": b'"A\n B" <a@sink.example>', "group": b"Friends: a@sink.example, b@sink.example;",
        "empty-group": b"undisclosed-recipients:;", "open-group": b"Friends: a@sink.example, b@sink.example",
        "semicolons": b"a@sink.example; b@sink.example;", "blanks": b"a@sink.example b@sink.example",
        "trailing-comma": b"a@sink.example,", "leading-comma": b",a@sink.example", "commas": b"a@sink.example,,,b@sink.example",
        "comma-in-name": b"Kock, Arne <a@sink.example>", "colon-in-name": b"Shop: Orders <a@sink.example>",
        "bracket-name": b"[Shop] Orders <a@sink.example>", "at-name": b"a@sink.example <a@sink.example>",
        "other-at-name": b"b@example.edu <a@sink.example>", "quoted": b'"a@sink.example"', "double": b"<<a@sink.example>>",
        "mailto": b"<mailto:a@sink.example>", "via": b"<a@sink.example> via shop", "port": b"a@sink.example:25",
        "unclosed-quote": b'"Ana <a@sink.example>', "unclosed-angle": b"Ana <a@sink.example", "no-open": b"Ana a@sink.example>",
        "literal": b"a@[192.0.2.1]", "bare-literal": b"a@192.0.2.1", "dots": b"x..y@sink.example", "first-dot": b".x@sink.example",
        "last-dot": b"x.@sink.example", "trailing-root": b"a@sink.example.", "long-local": b"l" * 80 + b"@sink.example",
        "empty": b"<>", "named-empty": b"Ana <>, b@sink.example", "bare": b"root", "case": b"A@SINK.EXAMPLE, a@sink.example",
        "slash": b"a/b=c@sink.example", "single-quotes": b"'Ana' <a@sink.example>", "single-quoted": b"'a@sink.example'",
        "apostrophe": b"o'brien@sink.example", "backslash": b'"A\\"B" <a@sink.example>', "dot-name": b"J. R. Doe <a@sink.example>",
        "u-label": "a@mañana.sink.example".encode(), "utf8-local": "ñ@sink.example".encode(), "tabs": b"\ta@sink.example\t",
        "folded": b"a@sink.example,\n\tb@sink.example,\n  c@sink.example", "colon-last": b"a@sink.example, bob@sink.example:",
        "equals": b"Ana =?utf-8?Q?N=C3=BA?= <a@sink.example>", "newline-first": b"\n a@sink.example",
        "two-angles": b"<a@sink.example> <b@sink.example>", "name-last": b"<a@sink.example> Ana", "exim": b"a@sink.example, ,b@sink.example",
    }
    for name, form in forms.items():
        yield f"to-{name}", message(b"To: " + form + b"\n")
        yield f"from-{name}", message(b"From: " + form + b"\n")
    for name in ("group", "semicolons", "comma-in-name", "dots", "u-label", "mailto", "bare"):
        for field in (b"Cc", b"Reply-To", b"Sender", b"Bcc", b"Disposition-Notification-To", b"Return-Receipt-To"):
            yield f"{field.decode().lower()}-{name}", message(field + b": " + forms[name] + b"\n")


def bodies():
    odd = [b"8BITMIME", b"8-bit", b"utf-8", b"binary", b"7-bit", b'"7bit"', b"8BIT;", b"none", b"quoted/printable", b"x-uuencode",
           b"base 64", b"", b"UTF8 (comment)", b"7bit 8bit"]
    for number, label in enumerate(odd):
        for name, body in (("short", b"a=3D\n"), ("8bit", UTF8 + b"\n"), ("long", UTF8 * 200 + b"\n")):
            yield f"cte-{number}-{name}", message(
                b"MIME-Version: 1.0\nContent-Type: text/plain\nContent-Transfer-Encoding: " + label + b"\n", body)
    for number, kind in enumerate([b"", b";", b"; charset=utf-8", b"text", b"text/", b"/plain", b"text/plain charset=utf-8",
                                   b"text/plain; charset='utf-8'", b'text/plain; charset="utf-8', b"text/plain; charset=",
                                   b"text/plain;; charset=utf-8;", b"text/plain; charset=utf-8; charset=latin1",
                                   b"Text/Plain ; Charset = UTF-8", b"text/plain; charset=\"utf-8\" format=flowed",
                                   b"text; charset=utf-8", b"plain/text", b"multipart/mixed", b"multipart/mixed; boundary=",
                                   b"multipart/mixed; boundary=\"a b\"", b"multipart/mixed; boundary=a b",
                                   b"multipart/mixed; boundary=\"" + b"b" * 90 + b"\"", b"multipart/mixed; boundary=b; boundary=c",
                                   b"multipart/mixed;\n\n boundary=b", b"multipart/alternative; BOUNDARY='b'"]):
        for name, body in (("short", b"--b\n\na\n--b--\n"), ("long", b"--b\n\n" + UTF8 * 100 + b"\n--b--\n")):
            yield f"type-{number}-{name}", message(b"MIME-Version: 1.0\nContent-Type: " + kind + b"\n", body)
    yield "no-version", message(b"Content-Type: text/html; charset=utf-8\n", b"<p>" + UTF8 + b"\n")
    yield "version-odd", message(b"MIME-Version: 1.0 (produced by x)\nContent-Type: text/plain\n", UTF8 + b"\n")
    yield "boundary-unclosed", message(b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n", b"--b\n\na\n")
    yield "boundary-nested-same", message(b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n",
                                          b"--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\na\n--b--\n--b--\n")
    yield "dots", message(b"", b".\n..\n.a\n\n.\n")
    yield "no-end", message(b"", b"no line end")
    yield "from-lines", message(b"", b"From here\n>From there\nFrom a@b Fri Nov 27\n")
    yield "trailing-blanks", message(b"", b"a  \n\t\n\n\n\n")
    yield "nothing-but-long-line", b"z" * 5000
    yield "crcrlf", message(b"Subject: x\n", b"a\nb\n").replace(b"\n", b"\r\r\n")
    yield "crcrlf-body", message(b"Subject: x\n", b"a\r\r\nb\r\r\n")
    yield "bare-cr", message(b"Subject: a\rb\n", b"a\rb\r\rc\n")
    yield "all-cr", message(b"Subject: x\n").replace(b"\n", b"\r")
    yield "crlf", message(b"Subject: x\n").replace(b"\n", b"\r\n")
    yield "mixed-ends", b"From: a@example.com\r\nSubject: x\nTo: ana@sink.example\r\n\nbody\r\nmore\n"


def shapes():
    yield "empty", b""
    yield "one-line-end", b"\n"
    yield "blank-lines", b"\n\n\n\n"
    yield "leading-blank-line", b"\nSubject: x\n\nbody\n"
    yield "leading-blanks", b"   Subject: x\nTo: ana@sink.example\n\nbody\n"
    yield "header-alone", b"From: shop@example.com\nTo: ana@sink.example\nSubject: x\n"
    yield "header-alone-unended", b"From: shop@example.com\nTo: ana@sink.example\nSubject: x"
    yield "no-header", b"just a line of cron's\nand one more\n"
    yield "looks-like-a-field", b"Error: disk full\nmore\n"
    yield "no-space", message(b"Subject:none\n")
    yield "tab", message(b"Subject:\ttab\n")
    yield "gap", message(b"Subject : gap\n")
    yield "folded-blanks", message(b"Subject: a\n \n \t\n b\n")
    yield "folded-end", message(b"Subject: a\n   \n")
    yield "folded-first", message(b"Subject:\n a\n")
    yield "no-colon", b"From: shop@example.com\nTo: ana@sink.example\nthis is no field\nSubject: x\n\nbody\n"
    yield "empty-name", message(b": value\n")
    yield "odd-name", message(b"X Y: a\n")
    yield "utf8-name", message("Asunto-Año: a\n".encode())
    yield "mbox", b"From root Fri Nov 27 10:00:00 2026\n" + message(b"")
    yield "mbox-quoted", b">From root Fri Nov 27 10:00:00 2026\n" + message(b"")
    yield "mbox-middle", message(b"X-A: b\nFrom root Fri Nov 27 10:00:00 2026\n")
    yield "return-path", message(b"Return-Path: <x@example.com>\nDelivered-To: y@example.net\n")
    yield "status", message(b"Status: RO\nContent-Length: 5\nX-UID: 1\nLines: 1\n")
    yield "bcc-alone", b"From: shop@example.com\nBcc: ana@sink.example\nSubject: x\n\nbody\n"
    yield "apparently-to", message(b"Apparently-To: ana@sink.example\n")
    for number, date in enumerate([
            b"Fri Nov 27 10:00:00 2026", b"2026-11-27 10:00", b"2026-11-27T10:00:00Z", b"27 Nov 26 10:00 EST", b"27/11/2026 10:00",
            b"Fri, 27 Nov 2026 10:00:00", b"Fri, 27 Nov 2026 10:00:00 GMT+0200", b"Fri, 27 Nov 2026 10:00:00 +0200 (CEST)",
            b"Fri, 27 Nov 2026 10:00:00 +02:00", b"Vie, 27 Nov 2026 10:00:00 +0100", b"Fri,27 Nov 2026 10:00:00 +0000",
            b"Fri, 27-Nov-26 10:00:00 GMT", b"Friday, 27-Nov-26 10:00:00 GMT", b"Fri, 27 Nov 2026 24:00:00 +0000", b"now", b"0",
            b"Fri, 32 Nov 2026 10:00:00 +0000", b"Fri, 27 Nov 2026 10:00:00 PM +0000", b"27 November 2026 10:00:00 +0000",
            b"Fri, 27 Nov 2026 10:00:00 +0000\n (odd\n comment)", b"Fri, 27 Nov 0026 10:00:00 +0000"]):
        yield f"date-{number}", message(b"Date: " + date + b"\n")
    for number, identity in enumerate([b"94f4", b"<94f4>", b"94f4@example.com", b"<a@>", b"<a b@example.com>", b"<a@b@example.com>",
                                       b"<a@example.com", b"<>", "<ñ@example.com>".encode(), b"<a@example.com> x", b"<a@[x]>",
                                       b"<A@example.com>\n <B@example.com>", "<a@mañana.example>".encode()]):
        yield f"message-id-{number}", message(b"Message-ID: " + identity + b"\n")
        yield f"references-{number}", message(b"References: " + identity + b"\n")
    blocks = [b"Resent-From: a@example.com\n", b"Resent-To: r@sink.example\n", b"Resent-Date: Fri, 27 Nov 2026 10:00:00 +0000\n",
              b"Resent-Message-ID: <r@example.com>\n", b"Resent-Sender: s@example.com\n", b"Resent-Cc: c@sink.example\n", b"Resent-Bcc: b@sink.example\n"]
    for number in range(len(blocks)):
        yield f"resent-{number}", message(b"".join(blocks[number:] + blocks[:number]))
        yield f"resent-without-{number}", message(b"".join(blocks[:number] + blocks[number + 1:]))
    yield "resent-twice", message(b"".join(blocks + blocks))
    yield "resent-below", message(BASIC + b"".join(blocks))


KINDS = [repeated, encodings, encoded_words, lengths, addresses, bodies, shapes]


def all_messages():
    """Every message as (kind, name, octets with the line ends of a file)."""
    for kind in KINDS:
        for name, octets in kind():
            yield kind.__name__, name, octets


def main():
    folder = pathlib.Path(sys.argv[1])
    for kind, name, octets in all_messages():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        (folder / kind / name).write_bytes(octets)


if __name__ == "__main__":
    main()
