//! The command line of `sendmail`, which every program that sends mail on a Unix
//! machine knows by heart.
//!
//! The syntax is older than any library for command lines: options are single
//! letters that may stand together (`-ti`), some take a value that stands in the
//! same argument or in the next (`-fme@example.com`, `-f me@example.com`), `-q`
//! takes one only in the same, and `-o` and `-b` are families of their own. As with
//! Postfix, options end at the first recipient or at `--`; what looks like an option
//! after that is refused rather than mailed to, unless `--` stands before it.

use std::ffi::OsString;
use std::iter::Peekable;
use std::path::PathBuf;
use std::str::Chars;
use std::vec;

use puerto_smtp::{Notify, Return, Verp};

use crate::cli::exit::{Failure, Sysexit};
use crate::lang::{Said, said};

/// What `sendmail` is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Mode {
    /// Read a message and send it: `-bm`, the default.
    #[default]
    Deliver,
    /// Speak SMTP on stdin and stdout: `-bs`.
    Stdio,
    /// List the queue: `-bp`.
    ListQueue,
    /// `-bi`, `-I`: check the aliases.
    Aliases,
    /// `-q`: try waiting mail now.
    Flush(Flush),
    /// `-bh`, `-bH`: host status, which neither Postfix nor this server keeps.
    Nothing,
    /// `--help`.
    Help,
    /// `--version`.
    Version,
}

/// Which mail to try now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flush {
    /// All of it: `-q`, and `-q30m`, whose interval the server's own schedule makes
    /// needless.
    All,
    /// One message: `-qIID`.
    Message(String),
    /// All for one domain: `-qRdomain`.
    Site(String),
}

/// The command line, understood but not yet checked against the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// What to do.
    pub mode: Mode,
    /// `-t`: recipients stand in the header too.
    pub recipients_from_header: bool,
    /// A line with a lone dot ends the message; `-i` and `-oi` switch this off.
    pub dot_ends: bool,
    /// `-f`, `-r`: the reverse-path as it was written.
    pub sender: Option<String>,
    /// `-F`: the name for a From field that is missing.
    pub full_name: Option<String>,
    /// `-N`: when to notify.
    pub notify: Option<Notify>,
    /// `-R`: what to return.
    pub ret: Option<Return>,
    /// `-V`: the envelope id.
    pub envelope_id: Option<String>,
    /// `-XV`: the reverse-path names each recipient.
    pub verp: Option<Verp>,
    /// `-B 8BITMIME`: the content is declared to be 8-bit.
    pub eight_bit: bool,
    /// `-v`: show the dialogue with the server.
    pub verbose: bool,
    /// `-C`, `--config`: another configuration file.
    pub config: Option<PathBuf>,
    /// The recipients as they were written, one argument each; an argument may hold
    /// a list.
    pub recipients: Vec<String>,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            mode: Mode::Deliver,
            recipients_from_header: false,
            dot_ends: true,
            sender: None,
            full_name: None,
            notify: None,
            ret: None,
            envelope_id: None,
            verp: None,
            eight_bit: false,
            verbose: false,
            config: None,
            recipients: Vec::new(),
        }
    }
}

/// Reads the command line, the program's name not included.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, Failure> {
    let mut words = Vec::new();
    for (index, argument) in arguments.into_iter().enumerate() {
        words.push(readable(index + 1, argument)?);
    }
    let mut parser = Parser { words: words.into_iter().peekable(), parsed: Arguments::default() };
    parser.run()?;
    let parsed = parser.parsed;
    check_mode(&parsed)?;
    Ok(parsed)
}

// A line end in an argument would become a command of its own on the way to the
// server; the other control characters are nobody's address or name either.
fn readable(place: usize, argument: OsString) -> Result<String, Failure> {
    let text = argument.into_string().map_err(|raw| {
        usage(said!(
            "argument {place} is not UTF-8: {raw}", "el argumento {place} no es UTF-8: {raw}";
            place = place, raw = raw.to_string_lossy()
        ))
    })?;
    if text.chars().any(|c| c.is_control() && c != '\t') {
        let shown: String = text.chars().flat_map(char::escape_default).take(80).collect();
        return Err(usage(said!(
            "argument {place} holds a control character: {shown}",
            "el argumento {place} tiene un carácter de control: {shown}";
            place = place, shown = shown
        )));
    }
    Ok(text)
}

fn usage(message: Said) -> Failure {
    Failure::new(Sysexit::Usage, message)
}

struct Parser {
    words: Peekable<vec::IntoIter<String>>,
    parsed: Arguments,
}

impl Parser {
    fn run(&mut self) -> Result<(), Failure> {
        while let Some(word) = self.words.next_if(|word| word.starts_with('-') && word != "-") {
            if word == "--" {
                self.parsed.recipients = self.words.by_ref().collect();
                return Ok(());
            }
            match word.strip_prefix("--") {
                Some(long) => self.long(long)?,
                None => self.cluster(&word)?,
            }
        }
        if let Some(late) = self.words.clone().skip(1).find(|word| word.starts_with('-')) {
            return Err(usage(said!(
                "{late}: options stand before recipients; if this is a recipient, put -- before \
                 the first of them",
                "{late}: las opciones van antes que los destinatarios; si es un destinatario, ponga \
                 -- antes del primero";
                late = late
            )));
        }
        self.parsed.recipients = self.words.by_ref().collect();
        Ok(())
    }

    fn long(&mut self, option: &str) -> Result<(), Failure> {
        match option.split_once('=') {
            Some(("config", value)) => self.parsed.config = Some(value.into()),
            None if option == "config" => {
                let value = self.words.next();
                let value = value.ok_or_else(|| {
                    usage(said!(
                        "--config needs the name of a file",
                        "a --config le falta el nombre de un fichero"
                    ))
                })?;
                self.parsed.config = Some(value.into());
            }
            None if option == "help" => self.parsed.mode = Mode::Help,
            None if option == "version" => self.parsed.mode = Mode::Version,
            _ => return Err(unknown(&format!("--{option}"))),
        }
        Ok(())
    }

    fn cluster(&mut self, word: &str) -> Result<(), Failure> {
        let mut letters = word.chars();
        letters.next();
        while let Some(letter) = letters.next() {
            match letter {
                't' => self.parsed.recipients_from_header = true,
                'i' => self.parsed.dot_ends = false,
                'v' => self.parsed.verbose = true,
                'I' => self.parsed.mode = Mode::Aliases,
                'G' | 'U' | 'c' | 'm' | 'n' | 'x' => {}
                'q' => {
                    self.parsed.mode = Mode::Flush(flush(letters.as_str())?);
                    return Ok(());
                }
                _ => return self.with_value(letter, &mut letters),
            }
        }
        Ok(())
    }

    fn with_value(&mut self, letter: char, letters: &mut Chars<'_>) -> Result<(), Failure> {
        if !"ABCFLNORVXbefhopr".contains(letter) {
            return Err(unknown(&format!("-{letter}")));
        }
        let attached = letters.as_str();
        let value = if attached.is_empty() {
            self.words.next().ok_or_else(|| no_value(&format!("-{letter}")))?
        } else {
            attached.to_owned()
        };
        match letter {
            'B' => self.parsed.eight_bit = body_type(&value)?,
            'C' => self.parsed.config = Some(value.into()),
            'F' => self.parsed.full_name = Some(value),
            'N' => self.parsed.notify = Some(notify(&value)?),
            'R' => self.parsed.ret = Some(return_content(&value)?),
            'V' => self.parsed.envelope_id = Some(envelope_id(value)?),
            // Any other is a log file of the old sendmail.
            'X' => {
                if let Some(delimiters) = value.strip_prefix('V') {
                    self.parsed.verp = Some(verp(delimiters)?);
                }
            }
            'b' => self.parsed.mode = mode(&value)?,
            'f' | 'r' => self.parsed.sender = Some(value),
            'o' => self.family_o(&value)?,
            _ => {}
        }
        Ok(())
    }

    fn family_o(&mut self, value: &str) -> Result<(), Failure> {
        match value {
            "i" => self.parsed.dot_ends = false,
            "7" | "8" | "m" => {}
            // `-o x value`: an option of the old sendmail, ignored with its value.
            single if single.chars().count() == 1 => {
                let value = self.words.next();
                value.ok_or_else(|| no_value(&format!("-o{single}")))?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn unknown(option: &str) -> Failure {
    usage(said!(
        "{option}: unknown option; sendmail --help lists those that exist",
        "{option}: no existe esa opción; las que hay las enumera sendmail --help"; option = option
    ))
}

fn no_value(option: &str) -> Failure {
    usage(said!("{option} needs a value", "a {option} le falta un valor"; option = option))
}

fn flush(value: &str) -> Result<Flush, Failure> {
    let mut letters = value.chars();
    match letters.next() {
        None => Ok(Flush::All),
        Some(digit) if digit.is_ascii_digit() => Ok(Flush::All),
        Some('I') => Ok(Flush::Message(letters.as_str().to_owned())),
        Some('R') => Ok(Flush::Site(letters.as_str().to_owned())),
        Some(_) => Err(usage(said!(
            "-q{value}: use -q for all mail, -qIID for one message or -qRDOMAIN for one domain",
            "-q{value}: use -q para todo el correo, -qIID para un mensaje o -qRDOMINIO para un \
             dominio";
            value = value
        ))),
    }
}

fn body_type(value: &str) -> Result<bool, Failure> {
    if value.eq_ignore_ascii_case("8BITMIME") {
        Ok(true)
    } else if value.eq_ignore_ascii_case("7BIT") {
        Ok(false)
    } else {
        Err(usage(said!(
            "-B {value}: write 7BIT or 8BITMIME", "-B {value}: escriba 7BIT u 8BITMIME";
            value = value
        )))
    }
}

fn notify(value: &str) -> Result<Notify, Failure> {
    if value.eq_ignore_ascii_case("never") {
        return Ok(Notify::NEVER);
    }
    let mut notify = Notify::NEVER;
    for condition in value.split(',') {
        match condition.trim().to_ascii_lowercase().as_str() {
            "success" => notify.success = true,
            "failure" => notify.failure = true,
            "delay" => notify.delay = true,
            _ => {
                return Err(usage(said!(
                    "-N {value}: write never, or a list of success, failure and delay",
                    "-N {value}: escriba never, o una lista de success, failure y delay";
                    value = value
                )));
            }
        }
    }
    Ok(notify)
}

fn verp(delimiters: &str) -> Result<Verp, Failure> {
    match delimiters {
        "" => Ok(Verp::default()),
        delimiters => Verp::parse(delimiters).ok_or_else(|| {
            usage(said!(
                "-XV{delimiters}: write -XV, or -XV and two of - = +, such as -XV+=",
                "-XV{delimiters}: escriba -XV, o -XV y dos de - = +, como -XV+=";
                delimiters = delimiters
            ))
        }),
    }
}

fn return_content(value: &str) -> Result<Return, Failure> {
    match value.to_ascii_lowercase().as_str() {
        "full" => Ok(Return::Full),
        "hdrs" => Ok(Return::Headers),
        _ => Err(usage(said!(
            "-R {value}: write full or hdrs", "-R {value}: escriba full o hdrs"; value = value
        ))),
    }
}

// RFC 3461 §4.4: at most 100 printable ASCII characters.
fn envelope_id(value: String) -> Result<String, Failure> {
    let printable = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if printable && !value.is_empty() && value.len() <= 100 {
        return Ok(value);
    }
    Err(usage(said!(
        "-V: an envelope id is 1 to 100 printable ASCII characters",
        "-V: el identificador del sobre tiene de 1 a 100 caracteres ASCII imprimibles"
    )))
}

fn mode(value: &str) -> Result<Mode, Failure> {
    match value {
        "m" => Ok(Mode::Deliver),
        "s" => Ok(Mode::Stdio),
        "p" => Ok(Mode::ListQueue),
        "i" => Ok(Mode::Aliases),
        "h" | "H" => Ok(Mode::Nothing),
        "d" | "l" => Err(usage(said!(
            "-b{value}: the server is started with `puerto serve`, or by its service",
            "-b{value}: el servidor se inicia con `puerto serve` o por su servicio"; value = value
        ))),
        "v" => Err(usage(said!(
            "-bv: addresses are not verified here",
            "-bv: aquí no se verifican direcciones"
        ))),
        _ => Err(usage(said!(
            "-b{value}: write -bm, -bs, -bp or -bi", "-b{value}: escriba -bm, -bs, -bp o -bi";
            value = value
        ))),
    }
}

fn check_mode(parsed: &Arguments) -> Result<(), Failure> {
    let name = match &parsed.mode {
        Mode::Deliver | Mode::Help | Mode::Version => return Ok(()),
        Mode::Stdio => "-bs",
        Mode::ListQueue => "-bp",
        Mode::Aliases => "-bi",
        Mode::Flush(_) => "-q",
        Mode::Nothing => "-bh",
    };
    if parsed.recipients_from_header {
        return Err(usage(said!(
            "-t sends a message and cannot be used with {name}",
            "-t envía un mensaje y no puede usarse con {name}"; name = name
        )));
    }
    if !parsed.recipients.is_empty() {
        return Err(usage(said!(
            "{name} takes no recipients", "{name} no admite destinatarios"; name = name
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments, Failure> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn to(recipients: &[&str]) -> Arguments {
        let recipients = recipients.iter().map(|&text| text.to_owned()).collect();
        Arguments { recipients, ..Arguments::default() }
    }

    #[test]
    fn letters_stand_alone_or_together() {
        let both = Arguments { recipients_from_header: true, dot_ends: false, ..to(&[]) };
        for line in ["-t -i", "-ti", "-it", "-i -t", "-t -oi", "-toi", "-oi -t", "-t -o i"] {
            assert_eq!(read(line), Ok(both.clone()), "{line}");
        }
    }

    #[test]
    fn values_stand_in_the_same_or_the_next_argument() {
        let sender = Some("me@example.com".to_owned());
        let expected = Arguments { sender, ..to(&["you@example.net"]) };
        for line in [
            "-f me@example.com you@example.net",
            "-fme@example.com you@example.net",
            "-r me@example.com you@example.net",
            "-rme@example.com -- you@example.net",
            "-f other@example.com -f me@example.com you@example.net",
        ] {
            assert_eq!(read(line), Ok(expected.clone()), "{line}");
        }
        let with_header = Arguments { recipients_from_header: true, ..expected };
        assert_eq!(read("-tfme@example.com you@example.net"), Ok(with_header));
    }

    #[test]
    fn what_old_programs_write_is_accepted_and_ignored() {
        for line in [
            "-bm x",
            "-oem x",
            "-oee -odb x",
            "-o7 -o8 -om x",
            "-o Q /var/q x",
            "-oQ/var/q x",
            "-O option=value x",
            "-Ooption=value x",
            "-h 10 x",
            "-h10 x",
            "-L tag x",
            "-Am x",
            "-A c x",
            "-X /tmp/log x",
            "-e m x",
            "-em x",
            "-G -U -m -n x",
            "-p ESMTP:host x",
            "-B 7bit x",
        ] {
            assert_eq!(read(line), Ok(to(&["x"])), "{line}");
        }
    }

    #[test]
    fn notifications_and_names() {
        let parsed =
            read("-N success,DELAY -R hdrs -V id1 -B8BITMIME -FJoe -v -C /etc/p x").unwrap();
        assert_eq!(parsed.notify, Some(Notify { success: true, failure: false, delay: true }));
        assert_eq!(parsed.ret, Some(Return::Headers));
        assert_eq!(parsed.envelope_id.as_deref(), Some("id1"));
        assert!(parsed.eight_bit && parsed.verbose);
        assert_eq!(parsed.full_name.as_deref(), Some("Joe"));
        assert_eq!(parsed.config, Some(PathBuf::from("/etc/p")));
        assert_eq!(read("-N never x").unwrap().notify, Some(Notify::NEVER));
        for (line, verp) in [("-XV x", "+="), ("-XV-= x", "-="), ("-X V=+ x", "=+")] {
            assert_eq!(read(line).unwrap().verp, Verp::parse(verp), "{line}");
        }
        assert_eq!(read("-X /tmp/log x").unwrap().verp, None);
        assert_eq!(read("--config=/a x").unwrap().config, Some(PathBuf::from("/a")));
        assert_eq!(read("--config /a x").unwrap().config, Some(PathBuf::from("/a")));
    }

    #[test]
    fn modes() {
        for (line, mode) in [
            ("", Mode::Deliver),
            ("-bs", Mode::Stdio),
            ("-b s", Mode::Stdio),
            ("-bp", Mode::ListQueue),
            ("-bi", Mode::Aliases),
            ("-I", Mode::Aliases),
            ("-bh", Mode::Nothing),
            ("-q", Mode::Flush(Flush::All)),
            ("-v -q", Mode::Flush(Flush::All)),
            ("-q15m", Mode::Flush(Flush::All)),
            ("-qI123456789ABC", Mode::Flush(Flush::Message("123456789ABC".into()))),
            ("-qRexample.net", Mode::Flush(Flush::Site("example.net".into()))),
            ("--help", Mode::Help),
            ("--version", Mode::Version),
        ] {
            assert_eq!(read(line).map(|parsed| parsed.mode), Ok(mode), "{line}");
        }
    }

    #[test]
    fn options_end_at_two_hyphens_or_at_the_first_recipient() {
        assert_eq!(read("-- -f@example.com"), Ok(to(&["-f@example.com"])));
        assert_eq!(read("-- -t --"), Ok(to(&["-t", "--"])));
        let failure = read("you@example.net -f me@example.com").unwrap_err();
        assert_eq!(failure.code, Sysexit::Usage);
        assert!(failure.message.to_string().contains("before recipients"), "{failure:?}");
    }

    #[test]
    fn mistakes_are_named() {
        for (line, hint) in [
            ("-Z x", "-Z: unknown option"),
            ("--colour x", "--colour: unknown option"),
            ("-f", "-f needs a value"),
            ("-oQ", "needs a value"),
            ("--config", "--config needs"),
            ("-N maybe x", "never"),
            ("-XV+ x", "-XV+="),
            ("-R some x", "full or hdrs"),
            ("-B 9BIT x", "7BIT or 8BITMIME"),
            ("-bd", "puerto serve"),
            ("-bv x", "verified"),
            ("-bz", "-bm"),
            ("-qX", "-qIID"),
            ("-bp x", "-bp takes no recipients"),
            ("-q x", "-q takes no recipients"),
            ("-bs -t", "-t sends a message"),
        ] {
            let failure = read(line).unwrap_err();
            assert_eq!(failure.code, Sysexit::Usage, "{line}");
            assert!(failure.message.to_string().contains(hint), "{line}: {failure:?}");
        }
    }

    #[test]
    fn arguments_cannot_carry_line_ends_or_raw_bytes() {
        use std::os::unix::ffi::OsStringExt;
        for hostile in [&b"a\nb"[..], b"a\rb", b"a\x1b[0m", b"a\xffb"] {
            let failure = parse([OsString::from_vec(hostile.to_vec())]).unwrap_err();
            assert_eq!(failure.code, Sysexit::Usage);
            assert!(!failure.message.to_string().contains(['\n', '\r', '\x1b']));
        }
    }
}
