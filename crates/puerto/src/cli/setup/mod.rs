//! `puerto setup`: from a bare machine to a server that can send.

mod show;
mod terminal;

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use puerto_smtp::Domain;

use super::config::print;
use super::exit::{Failure, Sysexit};
use crate::config::{Config, NextHop};
use crate::lang::{Language, Said, Text};
use crate::setup::{self, Network, Nobody, Person, Root, SetupError, Wishes};

/// What to set up.
#[derive(Debug, clap::Args)]
pub struct SetupArgs {
    /// The domain to send mail for, such as example.com
    domain: String,
    /// The full name of this server; otherwise what the machine or another mail
    /// program says, or mail.DOMAIN
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Where all mail goes, in Postfix's syntax: [smtp.example.net]:587; "" delivers to
    /// the recipients' MX
    #[arg(long, value_name = "HOP")]
    relayhost: Option<String>,
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
}

const NO_DOMAIN: Text = Text::new(
    "`{domain}` is not a domain name, as example.com is",
    "`{domain}` no es un nombre de dominio, como example.com",
);
const NO_HOST: Text = Text::new(
    "`{name}` is not a full host name, as mail.example.com is",
    "`{name}` no es un nombre de máquina completo, como mail.example.com",
);
const NO_RIGHTS: Text = Text::new(
    "{error}\npuerto: run this as root, or try it with `--root DIR`: it then writes only there",
    "{error}\npuerto: ejecútelo como root, o pruébelo con `--root CARPETA`: así solo escribe ahí",
);

/// Runs the command: exit code 0; 1 if something keeps mail from being sent as asked; 2
/// for wrong arguments; 73 or 77 if a file cannot be made; 78 if the configuration that is
/// there is wrong.
pub fn run(arguments: &SetupArgs, file: Option<&Path>, language: Language) -> ExitCode {
    let mut wishes = match wishes(arguments, file, language) {
        Ok(wishes) => wishes,
        Err(message) => {
            eprintln!("puerto: {message}");
            return ExitCode::from(2);
        }
    };
    let asks = !arguments.yes && !arguments.json && io::stdin().is_terminal();
    wishes.act = (asks || arguments.yes) && nix::unistd::geteuid().is_root();
    let done = set_up(arguments, &wishes, asks, language);
    done.map_or_else(
        |failure| {
            eprintln!("puerto: {}", failure.of(language));
            failure.code.into()
        },
        ExitCode::from,
    )
}

fn set_up(
    arguments: &SetupArgs,
    wishes: &Wishes,
    asks: bool,
    language: Language,
) -> Result<u8, Failure> {
    let root = Root::new(&arguments.root);
    let there = root.at(&wishes.config_file);
    let config = there.exists().then(|| Config::load(Some(&there)).ok()).flatten();
    let world = Network::new(config.as_ref());
    let mut terminal = terminal::Terminal::new(language);
    let mut nobody = Nobody;
    let person: &mut dyn Person = if asks { &mut terminal } else { &mut nobody };
    let report = setup::run(wishes, &root, &world, person).map_err(failure)?;
    let text = match arguments.json {
        true => format!("{}\n", show::json(&report, language)),
        false => show::text(&report, language),
    };
    print(&text)?;
    Ok(u8::from(!report.problems.is_empty()))
}

fn failure(error: SetupError) -> Failure {
    let text = error.said();
    match error {
        SetupError::Config(errors) => errors.into(),
        SetupError::File { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
            Failure::new(Sysexit::NoPermission, Said::of_parts(NO_RIGHTS, &[("error", &text)]))
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
    let name = Domain::parse(domain).ok();
    let name = name.as_ref().and_then(Domain::name).and_then(|n| idna::domain_to_ascii(n).ok());
    let name = name.filter(|name| name.contains('.'));
    let name = name.ok_or_else(|| NO_DOMAIN.with(language, &[("domain", domain)]))?;
    let host = |text: &String| {
        setup::host_name(text).ok_or_else(|| NO_HOST.with(language, &[("name", text)]))
    };
    let hop = |text: &String| match text.as_str() {
        "" => Ok(None),
        text => NextHop::parse(text).map(Some).map_err(|error| error.of(language)),
    };
    Ok(Wishes {
        domain: name,
        hostname: hostname.as_ref().map(host).transpose()?,
        relayhost: relayhost.as_ref().map(hop).transpose()?,
        config_file: Config::file(file).0,
        program: setup::program_path(std::env::current_exe().ok()),
        act: false,
        language,
    })
}
