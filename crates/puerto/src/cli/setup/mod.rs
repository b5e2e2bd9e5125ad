//! `puerto setup`: from a bare machine to a server that can send.

mod show;
mod terminal;

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use puerto_smtp::{Address, Domain};

use super::config::print;
use super::exit::{Failure, Sysexit};
use crate::cli::output;
use crate::config::{Config, NextHop};
use crate::lang::{Language, Said, Text, address_error, system};
use crate::setup::{self, Credentials, Network, Nobody, Person, Root, SetupError, Wishes};

/// What to set up.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 done, 1 something keeps mail from being sent, 2 wrong usage, 73 or 77 a \
                  file cannot be written, 75 broken off, 78 the configuration is wrong."
)]
pub struct SetupArgs {
    /// The domain to send mail for, such as example.com
    #[arg(required_unless_present = "undo", default_value = "", hide_default_value = true)]
    domain: String,
    /// The full name of this server; otherwise what the machine or another mail
    /// program says, or mail.DOMAIN
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// What completes senders, as in root@DOMAIN, where mailboxes are elsewhere; "" is the
    /// first of `domains`
    #[arg(long, value_name = "DOMAIN")]
    origin: Option<String>,
    /// The one address to send all mail from, for a relay that takes no other; "" for none
    #[arg(long, value_name = "ADDRESS")]
    sender_always: Option<String>,
    /// Where all mail goes, in Postfix's syntax: [smtp.example.net]:587; "" delivers to
    /// the recipients' MX
    #[arg(long, value_name = "HOP")]
    relayhost: Option<String>,
    /// The user name at the relayhost; its password is asked for, or in the file
    #[arg(long, value_name = "USER", requires = "relayhost")]
    relayhost_user: Option<String>,
    /// A file whose first line is that user's password; it is copied
    #[arg(long, value_name = "FILE", requires = "relayhost_user")]
    relayhost_password_file: Option<PathBuf>,
    /// Who reads root's mail, such as cron's: an address, or users of this machine; "" is
    /// nobody but root
    #[arg(long, value_name = "ADDRESS")]
    root_mail: Option<String>,
    /// Do what is proposed without asking, also start the service; no file that exists
    /// is replaced and no other mail server is stopped
    #[arg(long)]
    yes: bool,
    /// Read and write below this folder, as if it were the machine
    #[arg(long, value_name = "DIR", default_value = "/", hide_default_value = true)]
    root: PathBuf,
    /// One JSON document instead of text, and no questions
    #[arg(long)]
    json: bool,
    /// Undo what a setup did: the service, the names, its files. Configuration, keys and
    /// queue stay
    #[arg(long, conflicts_with_all = ["domain", "hostname", "origin", "sender_always",
        "relayhost", "root_mail"])]
    undo: bool,
}

const NO_DOMAIN: Text = Text::new(
    "`{domain}` is not a domain name, as example.com is",
    "`{domain}` no es un nombre de dominio, como example.com",
);
const MEANT: Text = Text::new(
    "`{domain}` is not a domain name: if {meant} is meant, write that",
    "`{domain}` no es un nombre de dominio: si se refiere a {meant}, escríbalo así",
);
const NO_HOST: Text = Text::new(
    "`{name}` is not a full host name, as mail.example.com is",
    "`{name}` no es un nombre de máquina completo, como mail.example.com",
);
const NO_READER: Text = Text::new(
    "`{text}` is neither an address, as ana@example.net is, nor users of this machine, separated by \
     commas",
    "`{text}` no es ni una dirección, como ana@example.net, ni usuarios de esta máquina separados \
     por comas",
);
const NO_RIGHTS: Text = Text::new(
    "{error}\npuerto: run this as root, or try it with `--root DIR`: it then writes only there",
    "{error}\npuerto: ejecútelo como root, o pruébelo con `--root CARPETA`: así solo escribe ahí",
);
const NO_PASSWORD: Text = Text::new(
    "nobody is there to be asked for the password of {user}: put it in a file and name that with \
     --relayhost-password-file",
    "no hay nadie a quien pedir la contraseña de {user}: póngala en un fichero e indíquelo con \
     --relayhost-password-file",
);
const EMPTY: Text = Text::new(
    "{file} holds no password in its first line",
    "{file} no tiene ninguna contraseña en la primera línea",
);
const PASSWORD: Text = Text::new("The password of {user}", "La contraseña de {user}");

/// Runs the command: exit code 0; 1 if something keeps mail from being sent as asked; 2
/// for wrong arguments; 73 or 77 if a file cannot be made; 78 if the configuration that is
/// there is wrong.
pub fn run(arguments: &SetupArgs, file: Option<&Path>, language: Language) -> ExitCode {
    let asks = !arguments.yes && !arguments.json && io::stdin().is_terminal();
    if arguments.undo {
        let done = undo(arguments, file, asks, language);
        return done.map_or_else(|failure| told(&failure, language), ExitCode::from);
    }
    let wishes = wishes(arguments, file, language).and_then(|wishes| {
        let act = (asks || arguments.yes) && nix::unistd::geteuid().is_root();
        Ok(Wishes { login: login(arguments, asks, language)?, act, ..wishes })
    });
    let wishes = match wishes {
        Ok(wishes) => wishes,
        Err(message) => {
            output::tell(&format!("puerto: {message}"));
            return ExitCode::from(2);
        }
    };
    let done = set_up(arguments, &wishes, asks, language);
    done.map_or_else(|failure| told(&failure, language), ExitCode::from)
}

fn told(failure: &Failure, language: Language) -> ExitCode {
    output::tell(&format!("puerto: {}", failure.of(language)));
    failure.code.into()
}

fn undo(
    arguments: &SetupArgs,
    file: Option<&Path>,
    asks: bool,
    language: Language,
) -> Result<u8, Failure> {
    let root = Root::new(whole(&arguments.root));
    let config_file = whole(&Config::file(file).0);
    // What a configuration that cannot be read says is what it says by default.
    let config = Config::load(Some(&root.at(&config_file))).ok();
    let config = config.unwrap_or_else(|| Config::with_defaults("localhost".to_owned()));
    let act = (asks || arguments.yes) && nix::unistd::geteuid().is_root();
    let mut terminal = terminal::Terminal::new(language);
    let mut nobody = Nobody;
    let person: &mut dyn Person = if asks { &mut terminal } else { &mut nobody };
    let program = setup::program_path(std::env::current_exe().ok());
    let world = Network::new(Some(&config));
    let person = act.then_some(person);
    let undone = setup::undo(&config, (&program, &config_file), &root, &world, person);
    match arguments.json {
        true => print(&format!("{}\n", show::undone_json(&undone, language)))?,
        false => output::show(&show::undone(&undone, language))?,
    }
    Ok(u8::from(!undone.problems.is_empty()))
}

fn set_up(
    arguments: &SetupArgs,
    wishes: &Wishes,
    asks: bool,
    language: Language,
) -> Result<u8, Failure> {
    let root = Root::new(whole(&arguments.root));
    let there = root.at(&wishes.config_file);
    let config = there.exists().then(|| Config::load(Some(&there)).ok()).flatten();
    let world = Network::new(config.as_ref());
    let mut terminal = terminal::Terminal::new(language);
    let mut nobody = Nobody;
    let person: &mut dyn Person = if asks { &mut terminal } else { &mut nobody };
    let report =
        setup::run(wishes, &root, &world, person).map_err(|error| failure(error, &root))?;
    match arguments.json {
        true => print(&format!("{}\n", show::json(&report, language)))?,
        false => output::show(&show::text(&report, language))?,
    }
    Ok(u8::from(!report.problems.is_empty()))
}

fn failure(error: SetupError, root: &Root) -> Failure {
    let text = error.said();
    match error {
        SetupError::Config(errors) => errors.into(),
        SetupError::File { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
            let text = match root.is_machine() {
                true => Said::of_parts(NO_RIGHTS, &[("error", &text)]),
                false => text,
            };
            Failure::new(Sysexit::NoPermission, text)
        }
        SetupError::File { .. } => Failure::new(Sysexit::CantCreate, text),
        SetupError::Key(_) => Failure::new(Sysexit::OsError, text),
        SetupError::BrokenOff => Failure::new(Sysexit::TryAgain, text),
    }
}

fn wishes(
    arguments: &SetupArgs,
    file: Option<&Path>,
    language: Language,
) -> Result<Wishes, String> {
    let SetupArgs { domain, hostname, relayhost, .. } = arguments;
    let name = setup::domain_name(domain).ok_or_else(|| no_domain(domain, language))?;
    let host = |text: &String| {
        setup::host_name(text).ok_or_else(|| NO_HOST.with(language, &[("name", text)]))
    };
    let root_mail = arguments.root_mail.as_ref();
    if let Some(text) = root_mail.filter(|text| !setup::is_reader(text)) {
        return Err(NO_READER.with(language, &[("text", text)]));
    }
    let hop = |text: &String| match text.as_str() {
        "" => Ok(None),
        text => NextHop::parse(text).map(Some).map_err(|error| error.of(language)),
    };
    let origin = |text: &String| match text.as_str() {
        "" => Ok(None),
        text => match setup::domain_name(text) {
            Some(name) => Ok(Domain::parse(&name).ok()),
            None => Err(no_domain(text, language)),
        },
    };
    let always = |text: &String| match text.as_str() {
        "" => Ok(None),
        text => Address::parse(text)
            .map(Some)
            .map_err(|error| format!("`{text}`: {}", address_error(&error).of(language))),
    };
    Ok(Wishes {
        origin: arguments.origin.as_ref().map(origin).transpose()?,
        always: arguments.sender_always.as_ref().map(always).transpose()?,
        domain: name,
        hostname: hostname.as_ref().map(host).transpose()?,
        relayhost: relayhost.as_ref().map(hop).transpose()?,
        root_mail: root_mail.map(|text| text.trim().to_owned()),
        login: None,
        config_file: whole(&Config::file(file).0),
        program: setup::program_path(std::env::current_exe().ok()),
        act: false,
        language,
    })
}

fn no_domain(typed: &str, language: Language) -> String {
    let meant = setup::domain_meant(typed).filter(|meant| meant != typed);
    let text = if meant.is_some() { MEANT } else { NO_DOMAIN };
    text.with(language, &[("domain", typed), ("meant", &meant.unwrap_or_default())])
}

/// User and password that were asked for with flags.
fn login(
    arguments: &SetupArgs,
    asks: bool,
    language: Language,
) -> Result<Option<Credentials>, String> {
    let Some(user) = arguments.relayhost_user.clone() else { return Ok(None) };
    let password = match &arguments.relayhost_password_file {
        Some(file) => {
            let name = file.display().to_string();
            let text = std::fs::read_to_string(file)
                .map_err(|error| format!("{name}: {}", system(&error).of(language)))?;
            let line = text.lines().next().unwrap_or_default().to_owned();
            if line.is_empty() {
                return Err(EMPTY.with(language, &[("file", &name)]));
            }
            line
        }
        None => {
            let question = Said::with(PASSWORD, &[("user", &user)]);
            let answer = match asks {
                true => terminal::Terminal::new(language).secret(&question).unwrap_or_default(),
                false => String::new(),
            };
            if answer.is_empty() {
                return Err(NO_PASSWORD.with(language, &[("user", &user)]));
            }
            answer
        }
    };
    Ok(Some(Credentials { user, password }))
}

/// A path as it is from everywhere: it is written into files.
fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests;
