//! `puerto user`: the accounts that mail programs log in with.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use nix::fcntl::OFlag;
use serde_json::json;

use super::clock::now;
use super::dkim::Owner;
use super::exit::{Failure, Sysexit, end};
use super::output::{json_document, print, say, tell};
use super::setup::terminal::Terminal;
use crate::accounts::{Account, Book, BookError, NotAdded, Password, Uses, new_password};
use crate::cli::spanish::Spanish as _;
use crate::config::{AddressPattern, Config};
use crate::lang::{Language, Said, Text, quoted, said, said_of};
use crate::rights::{self, Place};
use crate::setup::Person as _;

/// The fewest characters of a password that somebody chooses.
const FEWEST: usize = 8;
/// Octets of a password at most.
const MOST: u64 = 1024;

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make an account
    #[command(es = "Crea una cuenta")]
    Add {
        #[command(flatten)]
        account: Name,
        /// An address that it may send from beside its own: sales@example.com,
        /// @shop.example.com, ours for all of our domains; several times for several
        #[arg(es = "Una dirección desde la que puede enviar además de la suya: \
                    ventas@example.com, @tienda.example.com, ours para todos nuestros dominios; \
                    varias veces para varias")]
        #[arg(long = "address", value_name = "ADDRESS", value_parser = pattern)]
        addresses: Vec<AddressPattern>,
        #[command(flatten)]
        source: Source,
    },
    /// Show the addresses that an account may send from beside its own, or change them
    #[command(es = "Muestra las direcciones desde las que una cuenta puede enviar además de la \
                    suya, o las cambia")]
    Addresses {
        #[command(flatten)]
        account: Name,
        /// Allow one more: sales@example.com, @shop.example.com, ours, or * for any
        #[arg(es = "Permite una más: ventas@example.com, @tienda.example.com, ours, o * para \
                    cualquiera")]
        #[arg(long, value_name = "ADDRESS", value_parser = pattern)]
        add: Vec<AddressPattern>,
        /// Allow this one no longer
        #[arg(es = "Deja de permitir esta")]
        #[arg(long, value_name = "ADDRESS")]
        remove: Vec<String>,
        /// One JSON document instead of text
        #[arg(es = "Un documento JSON en vez de texto")]
        #[arg(long, conflicts_with_all = ["add", "remove"])]
        json: bool,
    },
    /// Change an account's password, or make one for an application
    #[command(es = "Cambia la contraseña de una cuenta, o crea una para una aplicación")]
    Passwd(Passwd),
    /// Remove an account, or an application's password
    #[command(es = "Elimina una cuenta, o la contraseña de una aplicación")]
    #[command(aliases = ["del", "delete", "rm"])]
    Remove {
        #[command(flatten)]
        account: Name,
        /// The application whose password goes; the account stays
        #[arg(es = "La aplicación cuya contraseña se elimina; la cuenta queda")]
        #[arg(long, value_name = "NAME", value_parser = application)]
        application: Option<String>,
    },
    /// List the accounts with their passwords, when each was made, used last, and ends
    #[command(es = "Enumera las cuentas y sus contraseñas: cuándo se crearon, cuándo se usaron \
                    por última vez y cuándo acaban")]
    List {
        /// One JSON document instead of text
        #[arg(es = "Un documento JSON en vez de texto")]
        #[arg(long)]
        json: bool,
    },
}

// Which account.
#[derive(Debug, clap::Args)]
pub struct Name {
    /// The account's name: ana, or ana@example.com
    #[arg(es = "El nombre de la cuenta: ana, o ana@example.com")]
    name: String,
}

/// Which password, and what it becomes.
#[derive(Debug, clap::Args)]
pub struct Passwd {
    #[command(flatten)]
    account: Name,
    /// Make a password for this application alone, and show it once
    #[arg(es = "Crea una contraseña solo para esta aplicación y la muestra una vez")]
    #[arg(long, value_name = "NAME", value_parser = application)]
    application: Option<String>,
    /// The last day that the application's password is good for: 2027-01-31 (in UTC)
    #[arg(es = "El último día en que vale la contraseña de la aplicación: 2027-01-31 (en UTC)")]
    #[arg(long, value_name = "DAY", value_parser = day, requires = "application")]
    ends: Option<Date>,
    #[command(flatten)]
    source: Source,
}

// Where a password comes from; without either, the terminal is asked. It is never an
// argument, which all users of the machine could read.
#[derive(Debug, clap::Args)]
pub struct Source {
    /// Read the password from standard input
    #[arg(es = "Lee la contraseña de la entrada estándar")]
    #[arg(long, conflicts_with = "password_file")]
    password_stdin: bool,
    /// Read the password from a file
    #[arg(es = "Lee la contraseña de un fichero")]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

fn application(text: &str) -> Result<String, Said> {
    const NAME: Text = Text::new(
        "a name of letters, digits, - and _",
        "un nombre formado por letras, cifras, - y _",
    );
    let is_fit = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let is_name = !text.is_empty() && text.len() <= 64 && text.chars().all(is_fit);
    is_name.then(|| text.to_owned()).ok_or(Said::plain(NAME))
}

fn pattern(text: &str) -> Result<AddressPattern, Said> {
    AddressPattern::parse(text)
}

fn day(text: &str) -> Result<Date, Said> {
    const DAY: Text = Text::new("a day, as 2027-01-31", "un día, como 2027-01-31");
    text.parse().map_err(|_| Said::plain(DAY))
}

/// Runs the command. Exit code 0; 2 for an account that cannot be; 67 for one that does not
/// exist; 73 if the file cannot be written.
pub fn run(command: &UserCommand, file: Option<&Path>, language: Language) -> ExitCode {
    let done = Config::load(file).map_err(Failure::from).and_then(|config| match command {
        UserCommand::List { json } => list(&config, *json, language),
        UserCommand::Addresses { account, add, remove, json }
            if add.is_empty() && remove.is_empty() =>
        {
            show_addresses(&config, &account.name, *json)
        }
        command => {
            Desk { config: &config, language }.change(command)?;
            elsewhere(&config, language);
            Ok(())
        }
    });
    end("puerto", done.map(|()| Sysexit::Ok), language)
}

// Whoever changes what nobody asks is told.
fn elsewhere(config: &Config, language: Language) {
    if let Some(socket) = &config.accounts.dovecot {
        let socket = socket.display().to_string();
        tell(&ELSEWHERE.with(language, &[("socket", &socket)]));
    }
}

const ELSEWHERE: Text = Text::new(
    "note: by `accounts.dovecot` Dovecot is asked, at {socket}; these accounts are not",
    "nota: según `accounts.dovecot` se pregunta a Dovecot, en {socket}; no a estas cuentas",
);

impl From<BookError> for Failure {
    fn from(error: BookError) -> Self {
        let code = match &error {
            BookError::File { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
                Sysexit::NoPermission
            }
            BookError::File { .. } => Sysexit::CantCreate,
            BookError::Malformed { .. } => Sysexit::DataError,
        };
        Self::new(code, error.said())
    }
}

struct Desk<'a> {
    config: &'a Config,
    language: Language,
}

impl Desk<'_> {
    fn change(&self, command: &UserCommand) -> Result<(), Failure> {
        let domains = &self.config.domains;
        // What is asked is asked before anybody else is kept waiting.
        match command {
            UserCommand::Add { account: Name { name }, addresses, source } => {
                let no_account = |fault| cannot_be(name, fault);
                load(&self.config.accounts.file)?.add(name, domains).map_err(no_account)?;
                let password = self.password(source)?;
                self.edit(|book| {
                    let made = book.add(name, domains).map_err(|fault| cannot_be(name, fault))?;
                    made.addresses = addresses.iter().map(ToString::to_string).collect();
                    set(made, "", &password, None)
                })
            }
            UserCommand::Passwd(Passwd { account, application, ends, source }) => {
                let is_made = application.is_some() && !source.is_given();
                let password = if is_made { new_password()? } else { self.password(source)? };
                let application = application.as_deref().unwrap_or_default();
                let mut is_replaced = false;
                self.edit(|book| {
                    let known = book
                        .get_mut(&account.name, domains)
                        .ok_or_else(|| unknown(&account.name))?;
                    is_replaced = known.passwords.iter().any(|had| had.application == application);
                    set(known, application, &password, *ends)
                })?;
                if is_replaced && !application.is_empty() {
                    tell(&replaced(application).of(self.language));
                }
                if is_made { Ok(say(&password)?) } else { Ok(()) }
            }
            UserCommand::Addresses { account: Name { name }, add, remove, .. } => {
                self.edit(|book| {
                    let account = book.get_mut(name, domains).ok_or_else(|| unknown(name))?;
                    // However they are written: two spellings of a domain are the same.
                    let is_same = |known: &str, meant: &str| {
                        let read = AddressPattern::parse(meant);
                        known.eq_ignore_ascii_case(meant)
                            || read.is_ok_and(|meant| {
                                AddressPattern::parse(known).is_ok_and(|known| known == meant)
                            })
                    };
                    for gone in remove {
                        let before = account.addresses.len();
                        account.addresses.retain(|known| !is_same(known, gone));
                        if account.addresses.len() == before {
                            return Err(not_allowed(name, gone));
                        }
                    }
                    for more in add.iter().map(ToString::to_string) {
                        if !account.addresses.iter().any(|known| is_same(known, &more)) {
                            account.addresses.push(more);
                        }
                    }
                    Ok(())
                })
            }
            UserCommand::Remove { account: Name { name }, application: None } => self
                .edit(|book| if book.remove(name, domains) { Ok(()) } else { Err(unknown(name)) }),
            UserCommand::Remove { account: Name { name }, application: Some(application) } => self
                .edit(|book| {
                    let account = book.get_mut(name, domains).ok_or_else(|| unknown(name))?;
                    match account.remove_password(application) {
                        true => Ok(()),
                        false => Err(without(name, application)),
                    }
                }),
            UserCommand::List { .. } => Ok(()),
        }
    }

    /// Changes the file, one command after the other.
    fn edit(&self, change: impl FnOnce(&mut Book) -> Result<(), Failure>) -> Result<(), Failure> {
        let path = &self.config.accounts.file;
        let cannot = |error| BookError::File { path: path.clone(), error };
        let lock = lock(path).map_err(cannot)?;
        let mut book = load(path)?;
        change(&mut book)?;
        let owner = Owner::of(self.config, self.language);
        book.save(path, |file| owner.give(file, 0o640))?;
        drop(lock);
        Ok(())
    }

    fn password(&self, source: &Source) -> Result<String, Failure> {
        let password = match (&source.password_file, source.password_stdin) {
            (Some(path), _) => {
                let text = rights::read_secrets(path, MOST);
                let path = Said::words(path.display().to_string());
                first_line(text.map_err(|error| {
                    let error = rights::said(&error);
                    let text = said_of!(
                        "cannot read {path}: {error}", "no se puede leer {path}: {error}";
                        path = path, error = error
                    );
                    Failure::new(Sysexit::NoInput, text)
                })?)
            }
            (None, true) => {
                let mut text = String::new();
                io::stdin().lock().take(MOST + 1).read_to_string(&mut text)?;
                first_line(text)
            }
            (None, false) => self.asked()?,
        };
        // No mechanism can carry them (RFC 4616 §2, RFC 4013 §2.3).
        if password.contains(char::is_control) {
            let text = said!(
                "a password has no control characters, which no client can send",
                "una contraseña no lleva caracteres de control, que ningún cliente puede enviar"
            );
            return Err(Failure::new(Sysexit::Arguments, text));
        }
        match password.chars().count() {
            FEWEST.. if password.len() as u64 <= MOST => Ok(password),
            _ => Err(Failure::new(
                Sysexit::Arguments,
                said!(
                    "a password has {fewest} to {most} characters",
                    "una contraseña tiene de {fewest} a {most} caracteres";
                    fewest = FEWEST, most = MOST
                ),
            )),
        }
    }

    fn asked(&self) -> Result<String, Failure> {
        const PASSWORD: Text = Text::new("Password", "Contraseña");
        const AGAIN: Text = Text::new("The same again", "La misma otra vez");
        if !io::stdin().is_terminal() {
            let text = said!(
                "there is no terminal to ask for the password: give --password-stdin or \
                 --password-file",
                "no hay terminal donde preguntar la contraseña: use --password-stdin o \
                 --password-file"
            );
            return Err(Failure::new(Sysexit::Arguments, text));
        }
        let mut terminal = Terminal::new(self.language);
        let mut ask = |question| {
            terminal
                .secret(&Said::plain(question))
                .map_err(|_| Failure::new(Sysexit::NoInput, said!("no answer", "sin respuesta")))
        };
        let (password, again) = (ask(PASSWORD)?, ask(AGAIN)?);
        if password == again {
            return Ok(password);
        }
        let text = said!("the two are not the same", "no coinciden");
        Err(Failure::new(Sysexit::Arguments, text))
    }
}

impl Source {
    fn is_given(&self) -> bool {
        self.password_stdin || self.password_file.is_some()
    }
}

fn first_line(text: String) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// Waits until nobody else changes the accounts. The file is its own, since who may open one
/// may hold others up.
fn lock(path: &Path) -> io::Result<File> {
    let place = Place::of(&path.with_extension("lock"))?;
    place.may_be_changed()?;
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let file = match place.append() {
        Err(error) if missing(&error) => match place.create(OFlag::O_WRONLY, 0o600) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => place.append()?,
            made => made?,
        },
        there => there?,
    };
    file.lock()?;
    Ok(file)
}

/// The accounts that there are; no file has none.
fn load(path: &Path) -> Result<Book, Failure> {
    match Book::load(path) {
        Err(BookError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Book::default())
        }
        book => Ok(book?),
    }
}

fn set(
    account: &mut Account,
    application: &str,
    password: &str,
    ends: Option<Date>,
) -> Result<(), Failure> {
    let today = now().to_zoned(TimeZone::UTC).date();
    if let Some(day) = ends.filter(|day| *day < today) {
        let text = said!(
            "{day} is over: such a password would never let anybody in",
            "{day} ya ha pasado: esa contraseña no dejaría entrar a nadie"; day = day
        );
        return Err(Failure::new(Sysexit::Arguments, text));
    }
    let set = account.set_password(application, password.as_bytes(), (today, ends));
    set.map_err(|error| Failure::new(Sysexit::OsError, quoted(&error)))
}

fn unknown(name: &str) -> Failure {
    let text = said!("there is no account `{name}`", "no existe la cuenta `{name}`"; name = name);
    Failure::new(Sysexit::NoUser, text)
}

fn without(name: &str, application: &str) -> Failure {
    let text = said!(
        "`{name}` has no password for `{application}`: see `puerto user list`",
        "`{name}` no tiene contraseña para `{application}`: véase `puerto user list`";
        name = name, application = application
    );
    Failure::new(Sysexit::NoUser, text)
}

fn replaced(application: &str) -> Said {
    said!(
        "the password that `{application}` had until now does not hold any more",
        "la contraseña que `{application}` tenía hasta ahora ya no vale"; application = application
    )
}

fn not_allowed(name: &str, address: &str) -> Failure {
    let text = said!(
        "`{name}` has no address `{address}` to take away: see \
         `puerto user addresses {name}`",
        "`{name}` no tiene ninguna dirección `{address}` que quitar: véase \
         `puerto user addresses {name}`";
        name = name, address = address
    );
    Failure::new(Sysexit::NoUser, text)
}

fn show_addresses(config: &Config, name: &str, json: bool) -> Result<(), Failure> {
    let mut book = load(&config.accounts.file)?;
    let account = book.get_mut(name, &config.domains).ok_or_else(|| unknown(name))?;
    if json {
        let document = json_document(&json!({ "addresses": account.addresses }));
        return Ok(say(&document.map_err(io::Error::other)?)?);
    }
    let mut out = String::new();
    for address in &account.addresses {
        let _ = writeln!(out, "{address}");
    }
    Ok(print(&out)?)
}

fn cannot_be(name: &str, fault: NotAdded) -> Failure {
    let text = match fault {
        NotAdded::NoSalt(error) => return error.into(),
        NotAdded::NoName => said!(
            "`{name}` is no name of an account: letters, digits and what an address may hold \
             before its @, but no * or ? and no - in front; or a whole address",
            "`{name}` no es un nombre de cuenta: letras, cifras y lo que puede llevar una dirección \
             antes de la @, sin * ni ? y sin empezar por -; o una dirección entera"; name = name
        ),
        NotAdded::Exists(known) if known == name.to_lowercase() => said!(
            "the account `{name}` exists already: `puerto user passwd {name}` changes its password",
            "la cuenta `{name}` ya existe: `puerto user passwd {name}` cambia su contraseña";
            name = name
        ),
        NotAdded::Exists(known) => said!(
            "`{name}` is the same as the account `{known}`, which logs in by both: `puerto user \
             passwd {known}` changes its password",
            "`{name}` es lo mismo que la cuenta `{known}`, que entra con ambos: `puerto user \
             passwd {known}` cambia su contraseña"; name = name, known = known
        ),
    };
    Failure::new(Sysexit::Arguments, text)
}

const NO_ACCOUNTS: Text = Text::new(
    "no accounts: make one with `puerto user add NAME`",
    "no hay cuentas: cree una con `puerto user add NOMBRE`",
);

fn list(config: &Config, json: bool, language: Language) -> Result<(), Failure> {
    let book = load(&config.accounts.file)?;
    let doubles = book.doubles(&config.domains);
    let same_as = |account: &Account| {
        let other = |(one, other): &(&str, &str)| match account.name.as_str() {
            name if name == *one => Some((*other).to_owned()),
            name if name == *other => Some((*one).to_owned()),
            _ => None,
        };
        doubles.iter().filter_map(other).collect::<Vec<String>>()
    };
    let uses = Uses::of(config);
    let last = |account: &Account, password: &Password| {
        let millis = uses.last(&account.name, password)?.as_millis();
        jiff::Timestamp::from_millisecond(millis).ok()
    };
    if json {
        let password = |account: &Account, password: &Password| {
            json!({
                "application": password.application,
                "made": password.made.map(|day| day.to_string()),
                "ends": password.ends.map(|day| day.to_string()),
                "last_used": last(account, password).map(|time| time.to_string()),
            })
        };
        let accounts = book.accounts().iter().map(|account| {
            let passwords = account.passwords.iter().map(|known| password(account, known));
            json!({
                "name": account.name,
                "addresses": account.addresses,
                "same_as": same_as(account),
                "passwords": passwords.collect::<Vec<_>>(),
            })
        });
        let accounts: Vec<_> = accounts.collect();
        let document = json_document(&json!({ "accounts": accounts }));
        return Ok(say(&document.map_err(io::Error::other)?)?);
    }
    if book.accounts().is_empty() {
        return Ok(say(NO_ACCOUNTS.of(language))?);
    }
    let mut out = String::new();
    for account in book.accounts() {
        let _ = writeln!(out, "{}", account.name);
        for other in same_as(account) {
            let double = said!(
                "is one name with {other}, by our domains of today: `puerto user remove` one of them",
                "es un mismo nombre que {other}, con nuestros dominios de hoy: quite una de las dos \
                 con `puerto user remove`";
                other = other
            );
            let _ = writeln!(out, "  {}", double.of(language));
        }
        if !account.addresses.is_empty() {
            let may_use = said!(
                "may send from {addresses} too", "también puede enviar desde {addresses}";
                addresses = account.addresses.join(", ")
            );
            let _ = writeln!(out, "  {}", may_use.of(language));
        }
        for password in &account.passwords {
            let line = line(password, last(account, password));
            let _ = writeln!(out, "  {}", line.of(language));
        }
    }
    Ok(print(&out)?)
}

fn line(password: &Password, last: Option<jiff::Timestamp>) -> Said {
    let of_day = |day: Option<Date>| Said::words(day.map_or("-".to_owned(), |day| day.to_string()));
    let what = match password.application.as_str() {
        "" => said!("its own password", "la contraseña propia"),
        name => said!("application {name}", "aplicación {name}"; name = name),
    };
    let used = match last.map(|time| time.to_zoned(TimeZone::system())) {
        None => said!("never used", "sin usar"),
        Some(time) => said!(
            "last used {time}", "usada por última vez el {time}";
            time = time.strftime("%Y-%m-%d %H:%M")
        ),
    };
    let today = now().to_zoned(TimeZone::UTC).date();
    let ends = match password.ends {
        None => said!("no end", "sin fin"),
        Some(day) if day < today => said!("ended {day}", "acabó el {day}"; day = day),
        Some(day) => said!("until {day}", "hasta el {day}"; day = day),
    };
    said_of!(
        "{what}: made {made}, {used}, {ends}", "{what}: creada el {made}, {used}, {ends}";
        what = what, made = of_day(password.made), used = used, ends = ends
    )
}
