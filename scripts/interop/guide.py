"""Types what a page of the guide says, in the order in which it says it, and holds what is
printed against what the page shows.

A page names the world that it is read in, in a comment that readers do not see:
`<!-- world: vps -->`. In its blocks of `console`

- a line that begins with `# ` is typed by root, with `$ ` by the user ana; a `\\` at its end
  goes on in the next line;
- what stands below is what is printed, line by line. `…` stands for what varies, a line
  of it for any number of lines. Nothing below: whatever is printed;
- what the reader types at a question stands behind it and ends with `⏎`; in `‹›` if the
  terminal does not show it;
- ids, times, process ids and the folders of labs are those of the page: what stands for one is
  put into later commands in its place.

`<!-- do: publish -->` has the world do what the page asks its reader to do elsewhere,
`<!-- exit: 1 -->` says with what the next block's last command ends, `<!-- stays -->` that it
goes on while others are typed, until the page ends.
A block of `toml` after `<!-- write: FILE -->` sets these keys in FILE on the machine.
"""

import contextlib
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import termios
import time

DOCS = pathlib.Path(__file__).parents[2] / "docs"
COLUMNS = 90
LONGEST = 90
LOCALE = {"en": "C.UTF-8", "es": "es_ES.UTF-8"}

# What no two runs have in common, and what it looks like. What is caught is put into later
# commands.
CAUGHT = r"\b0[0-9A-F]{11}\b|/tmp/puerto-lab-\d+-\d+|\b[a-z0-9]{5}(?:-[a-z0-9]{5}){3}\b"
VARYING = (r"\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d|[A-Z][a-z]{2} [ \d]\d(?= \d\d:)|(?<=\[)\d+(?=\]:)|(?<=pid=)\d+"
           r"|(?<=delay=)[\d.]+|(?<=delays=)[\d./]+|(?:rsa|ed25519)-\d{4}-\d\d"
           r"|\d+(?:\.\d+)?(?= m?s\b)")
SHAPE = re.compile(f"({CAUGHT})|({VARYING})|(…)")


class Block:
    """One block of a page: its kind, its lines, and what comments before it said."""

    def __init__(self, kind, number, orders):
        self.kind, self.number, self.orders, self.lines = kind, number, orders, []


def blocks_of(text):
    """The blocks of a page, and the world's deeds between them, in order."""
    found, orders, block = [], {}, None
    for number, line in enumerate(text.splitlines(), 1):
        if block is not None:
            if line.rstrip() == "```":
                found.append(block)
                block = None
            else:
                block.lines.append(line)
        elif line.startswith("```"):
            block, orders = Block(line[3:].strip(), number, orders), {}
        elif order := re.fullmatch(r"<!-- ([a-z]+)(?:: (.*))? -->", line):
            if order[1] == "do":
                deed = Block("do", number, {"do": order[2]})
                found.append(deed)
            else:
                orders[order[1]] = order[2]
    return found


class Typed:
    """A command, the answers that are typed to it, and what the page shows."""

    def __init__(self, prompt, command, number):
        self.prompt, self.command, self.number = prompt, command, number
        self.shown, self.answers = [], []

    def show(self, line):
        if line.endswith("⏎"):
            question, answer = re.fullmatch(r"(.*[]:?] )(.*)⏎", line).groups()
            self.answers.append((question.strip(), answer.strip("‹›")))
            line = question if answer.startswith("‹") else line[:-1]
        self.shown.append(line.rstrip())


def typed_in(block):
    typed = []
    for number, line in enumerate(block.lines, block.number + 1):
        if typed and typed[-1].command.endswith("\\"):
            typed[-1].command = typed[-1].command[:-1].rstrip() + " " + line.strip()
        elif line[:2] in ("# ", "$ "):
            typed.append(Typed(line[0], line[2:], number))
        else:
            assert typed, f"line {number}: it shows what is printed before anything is typed"
            typed[-1].show(line.rstrip())
    return typed


class Page:
    """A page that is read in a world, which has `machine`, and a method for each deed."""

    def __init__(self, file, language):
        self.path = DOCS / language / file
        self.language = language
        self.text = self.path.read_text()
        self.blocks = blocks_of(self.text)
        named = re.search(r"^<!-- world: (\w+) -->$", self.text, re.MULTILINE)
        self.world = named[1] if named else None
        self.known, self.running = {}, []

    def play(self, world, show=None):
        """Does all that it says. `show` is called with each command and what it printed."""
        try:
            for block in self.blocks:
                if block.kind == "do":
                    deed, *arguments = block.orders["do"].split(" ")
                    getattr(world, deed)(*arguments)
                elif block.kind == "toml" and "write" in block.orders:
                    world.write_keys(block.orders["write"], "\n".join(block.lines))
                elif block.kind == "console":
                    self.type_all(world, block, show)
        finally:
            for pid, terminal in self.running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGTERM)
                os.waitpid(pid, 0)
                os.close(terminal)

    def type_all(self, world, block, show):
        typed = typed_in(block)
        for one in typed:
            is_last = one is typed[-1]
            expected = int(block.orders.get("exit", 0)) if is_last else 0
            stays = is_last and "stays" in block.orders
            command = re.sub(CAUGHT, lambda found: self.known.get(found[0], found[0]), one.command)
            where = f"{self.path.relative_to(DOCS.parent)}:{one.number}: {command}"
            terminal = Terminal(world.inside(one.prompt, command, LOCALE[self.language]))
            complaint = None
            if stays:
                self.running.append((terminal.pid, terminal.descriptor))
                terminal.read_until(lambda: self.differs(one, terminal.lines()) is None, where)
            else:
                code = terminal.answer_and_end(one.answers, where)
                complaint = self.differs(one, terminal.lines()) if one.shown else None
                if code != expected:
                    complaint = f"it ended with {code}, not with {expected}"
            if show:
                show(one, terminal.lines(), complaint)
            elif complaint:
                printed = "\n".join(terminal.lines())
                raise AssertionError(f"{where}\n{complaint}\nIt printed:\n{printed}")

    def differs(self, one, printed):
        """What the page shows and the program did not print, if anything."""
        printed = [line for line in printed if line.strip()]
        shown = [line for line in one.shown if line.strip()]
        known, at, anywhere = dict(self.known), 0, False
        for line in shown:
            if line.strip() == "…":
                anywhere = True
                continue
            there = range(at, len(printed)) if anywhere else range(at, min(at + 1, len(printed)))
            place = next((n for n in there if self.fits(line, printed[n], known)), None)
            if place is None:
                return f"it does not print here: {line}"
            at, anywhere = place + 1, False
        if at < len(printed) and not anywhere:
            return f"it goes on: {printed[at]}"
        self.known = known
        return None

    @staticmethod
    def fits(line, printed, known):
        """Whether a line is what was printed; keeps by what the page's ids are known now."""
        names, pattern, at = [], "", 0
        for found in SHAPE.finditer(line):
            pattern += re.escape(line[at:found.start()])
            at = found.end()
            if found[3]:
                pattern += ".*"
            elif found[2]:
                pattern += r"[\w./:-]+(?: [ \d]\d)?" if found[2][0].isalpha() else r"[\d./:-]+"
            elif found[1] in known:
                pattern += re.escape(known[found[1]])
            else:
                names.append(found[1])
                pattern += f"({CAUGHT})"
        caught = re.fullmatch(pattern + re.escape(line[at:]), printed.rstrip())
        if caught:
            known.update(zip(names, caught.groups()))
        return caught is not None


class Terminal:
    """A terminal with a command at work in it."""

    def __init__(self, command):
        self.octets, self.seen, self.code = b"", 0, None
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            # Who runs the tests in the background has it ignored.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execvp(command[0], command)
        size = struct.pack("HHHH", 50, COLUMNS, 0, 0)
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, size)
        self.deadline = time.monotonic() + LONGEST

    def lines(self):
        """What stands on it, as it would be seen: progress that was redrawn is gone."""
        text = self.octets.decode(errors="replace").replace("\r\n", "\n")
        lines = [re.split(r"\r|\x1b\[2K|\x1b\[1A", line)[-1] for line in text.split("\n")]
        return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in lines]

    def read(self):
        """Reads what has come; False at the end."""
        if select.select([self.descriptor], [], [], 0.1)[0]:
            try:
                data = os.read(self.descriptor, 65536)
            except OSError:
                return False
            self.octets += data
            return bool(data)
        return True

    def read_until(self, condition, where):
        while not condition():
            assert self.read(), f"{where}\nit ended:\n" + "\n".join(self.lines())
            assert time.monotonic() < self.deadline, f"{where}\nit never said it:\n" + "\n".join(self.lines())

    def answer_and_end(self, answers, where):
        answers = list(answers)
        while self.read():
            new = self.octets[self.seen:].decode(errors="replace")
            if answers and self.asks(answers[0][0], new):
                self.seen = len(self.octets)
                os.write(self.descriptor, answers.pop(0)[1].encode() + b"\n")
            if time.monotonic() > self.deadline:
                os.killpg(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError(f"{where}\nit does not end; still to be asked: {answers}\n"
                                     + "\n".join(self.lines()))
        os.close(self.descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        assert not answers, f"{where}\nit never asked: {answers}\n" + "\n".join(self.lines())
        return code

    @staticmethod
    def asks(question, new):
        last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", new).rstrip().rsplit("\n", 1)[-1].strip()
        return re.fullmatch(".*".join(map(re.escape, question.split("…"))), last) is not None
