//! `puerto setup`: from a bare machine to a server that can send.

mod show;
pub(super) mod terminal;

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use puerto_smtp::{Address, Domain};

use self::terminal::Terminal;
use super::clock::today;
use super::exit::{Failure, Sysexit, end};
use crate::cli::output;
use crate::cli::spanish::{Spanish as _, below};
use crate::config::{Config, NextHop};
use crate::lang::{Language, Said, Text, address_error, said, said_of, system};
use crate::setup::{self, Credentials, Network, Nobody, Person, Root, SetupError, Wishes};

const EXIT_CODES: Text = Text::new(
    "Exit code: 0 done, 1 something keeps mail from being sent, 2 wrong usage, 73 or 77 a file \
     cannot be written, 75 broken off, 78 the configuration is wrong.",
    "Código de salida: 0, hecho; 1, algo impide enviar correo; 2, uso incorrecto; 73 o 77, no se \
     puede escribir un fichero; 75, interrumpido; 78, la configuración está mal.",
);

/// What to set up.
#[derive(Debug, clap::Args)]
#[command(after_help = below(EXIT_CODES))]
pub struct SetupArgs {
    /// The domain to send mail for, such as example.com
    #[arg(es = "El dominio desde el que se enviará, como example.com")]
    #[arg(required_unless_present = "undo", default_value = "", hide_default_value = true)]
    domain: String,
    /// The full name of this server; otherwise what the machine or another mail
    /// program says, or mail.DOMAIN
    #[arg(es = "El nombre completo de este servidor; si no se indica, el que diga la máquina u \
                otro programa de correo, o mail.DOMINIO")]
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// What completes senders, as in root@DOMAIN, where mailboxes are elsewhere; "" is the
    /// first of `domains`
    #[arg(es = "Lo que completa los remitentes, como en root@DOMINIO, si los buzones están en \
                otra parte; \"\" es el primero de `domains`")]
    #[arg(long, value_name = "DOMAIN")]
    origin: Option<String>,
    /// The one address to send all mail from, for a relay that takes no other; "" for none
    #[arg(
        es = "La única dirección desde la que sale todo el correo, para un relay que no admite \
                otra; \"\": ninguna"
    )]
    #[arg(long, value_name = "ADDRESS")]
    sender_always: Option<String>,
    /// Where all mail goes, in Postfix's syntax: [smtp.example.net]:587; "" delivers to
    /// the recipients' MX
    #[arg(
        es = "Adónde va todo el correo, en la sintaxis de Postfix: [smtp.example.net]:587; con \
                \"\" se entrega en el MX de cada destinatario"
    )]
    #[arg(long, value_name = "HOP")]
    relayhost: Option<String>,
    /// The user name at the relayhost; its password is asked for, or in the file
    #[arg(es = "El nombre de usuario en el relayhost; la contraseña se pregunta o está en el \
                fichero")]
    #[arg(long, value_name = "USER", requires = "relayhost")]
    relayhost_user: Option<String>,
    /// A file whose first line is that user's password; it is copied
    #[arg(es = "Un fichero cuya primera línea es la contraseña de ese usuario; se copia")]
    #[arg(long, value_name = "FILE", requires = "relayhost_user")]
    relayhost_password_file: Option<PathBuf>,
    /// Who reads root's mail, such as cron's: an address, or users of this machine; "" is
    /// nobody but root
    #[arg(es = "Quién lee el correo de root, como el de cron: una dirección o usuarios de esta \
                máquina; \"\" es solo root")]
    #[arg(long, value_name = "ADDRESS")]
    root_mail: Option<String>,
    /// Do what is proposed without asking, also start the service; no file that exists
    /// is replaced and no other mail server is stopped
    #[arg(
        es = "Hace lo propuesto sin preguntar, también iniciar el servicio; no sustituye ningún \
                fichero que ya exista ni detiene otro servidor de correo"
    )]
    #[arg(long)]
    yes: bool,
    /// Read and write below this folder, as if it were the machine
    #[arg(es = "Lee y escribe dentro de esta carpeta, como si fuera la máquina")]
    #[arg(long, value_name = "DIR", default_value = "/", hide_default_value = true)]
    root: PathBuf,
    /// One JSON document instead of text, and no questions
    #[arg(es = "Un documento JSON en vez de texto, y sin preguntas")]
    #[arg(long)]
    json: bool,
    /// Undo what a setup did: the service, the names, its files. Configuration, keys and
    /// queue stay
    #[arg(
        es = "Deshace lo que hizo una preparación: el servicio, los nombres y sus ficheros. Se \
                quedan la configuración, las claves y la cola"
    )]
    #[arg(long, conflicts_with_all = ["domain", "hostname", "origin", "sender_always",
        "relayhost", "root_mail"])]
    undo: bool,
}

/// Runs the command: exit code 0; 1 if something keeps mail from being sent as asked; 2
/// for wrong arguments; 73 or 77 if a file cannot be made; 78 if the configuration that is
/// there is wrong.
pub fn run(arguments: &SetupArgs, file: Option<&Path>, language: Language) -> ExitCode {
    let asks = !arguments.yes && !arguments.json && io::stdin().is_terminal();
    let mut terminal = Terminal::new(language);
    let person: &mut dyn Person = if asks { &mut terminal } else { &mut Nobody };
    let act = (asks || arguments.yes) && nix::unistd::geteuid().is_root();
    let config_file = whole(&Config::file(file).0);
    let program = setup::program_path(std::env::current_exe().ok());
    let places = (program.as_path(), config_file.as_path());
    let done = match arguments.undo {
        true => undo(arguments, places, act.then_some(person), language),
        false => wishes(arguments, places, act, language, person)
            .map_err(|wrong| Failure::new(Sysexit::Arguments, wrong))
            .and_then(|wishes| set_up(arguments, &wishes, person)),
    };
    end("puerto", done.map(u8::from), language)
}

/// Writes the service's files below a folder, as a package brings them.
pub fn service_files(folder: &Path, language: Language) -> ExitCode {
    let written = setup::write_packaged(folder).map(|()| Sysexit::Ok);
    end("puerto", written.map_err(|error| failure(error.into(), &Root::new(folder))), language)
}

fn undo(
    arguments: &SetupArgs,
    places: (&Path, &Path),
    person: Option<&mut dyn Person>,
    language: Language,
) -> Result<bool, Failure> {
    let root = Root::new(whole(&arguments.root));
    // What a configuration that cannot be read says is what it says by default.
    let config = Config::load(Some(&root.at(places.1)));
    let config = config.unwrap_or_else(|_| Config::with_defaults("localhost".to_owned()));
    let undone = setup::undo(&config, places, &root, &Network::new(Some(&config)), person);
    match arguments.json {
        true => output::say(&show::undone_json(&undone, language).to_string())?,
        false => output::show(&show::undone(&undone, language))?,
    }
    Ok(!undone.problems.is_empty())
}

fn set_up(
    arguments: &SetupArgs,
    wishes: &Wishes,
    person: &mut dyn Person,
) -> Result<bool, Failure> {
    let root = Root::new(whole(&arguments.root));
    let there = root.at(&wishes.config_file);
    let config = there.exists().then(|| Config::load(Some(&there)).ok()).flatten();
    let world = Network::new(config.as_ref());
    let report =
        setup::run(wishes, &root, &world, person).map_err(|error| failure(error, &root))?;
    match arguments.json {
        true => output::say(&show::json(&report, wishes.language).to_string())?,
        false => output::show(&show::text(&report, wishes.language))?,
    }
    Ok(!report.problems().is_empty())
}

fn failure(error: SetupError, root: &Root) -> Failure {
    let text = error.said();
    let code = match error {
        SetupError::Config(errors) => return errors.into(),
        SetupError::File(file) if file.error.kind() == io::ErrorKind::PermissionDenied => {
            Sysexit::NoPermission
        }
        SetupError::File(_) => Sysexit::CantCreate,
        SetupError::Key(_) => Sysexit::OsError,
        SetupError::BrokenOff => Sysexit::TryAgain,
    };
    if code == Sysexit::NoPermission && root.is_machine() {
        return Failure::new(
            code,
            said_of!(
                "{error}\npuerto: run this as root, or try it with `--root DIR`: it then writes only there",
                "{error}\npuerto: ejecútelo como root, o pruébelo con `--root CARPETA`: así solo escribe ahí";
                error = text
            ),
        );
    }
    Failure::new(code, text)
}

/// What the arguments ask for.
fn wishes(
    arguments: &SetupArgs,
    (program, config_file): (&Path, &Path),
    act: bool,
    language: Language,
    person: &mut dyn Person,
) -> Result<Wishes, Said> {
    let domain = domain_name(&arguments.domain)?;
    let host = |name: &String| {
        setup::host_name(name).ok_or_else(|| {
            said!(
                "`{name}` is not a full host name, as mail.example.com is",
                "`{name}` no es un nombre de máquina completo, como mail.example.com"; name = name
            )
        })
    };
    let root_mail = arguments.root_mail.as_ref();
    if let Some(text) = root_mail.filter(|text| !setup::is_reader(text)) {
        return Err(said!(
            "`{text}` is neither an address, as ana@example.net is, nor users of this machine, \
             separated by commas",
            "`{text}` no es ni una dirección, como ana@example.net, ni usuarios de esta máquina \
             separados por comas";
            text = text
        ));
    }
    let root = Root::new(whole(&arguments.root));
    if let Some(name) = root_mail.and_then(|text| setup::unknown_reader(text, &root)) {
        return Err(said!(
            "this machine has no user {name}: root's mail would come back",
            "esta máquina no tiene ningún usuario {name}: el correo de root volvería"; name = name
        ));
    }
    let address = |text: &str| {
        Address::parse(text).map_err(|error| {
            let text = Said::words(format!("`{text}`"));
            said_of!("{text}: {error}", "{text}: {error}"; text = text, error = address_error(&error))
        })
    };
    Ok(Wishes {
        hostname: arguments.hostname.as_ref().map(host).transpose()?,
        root_mail: root_mail.map(|text| text.trim().to_owned()),
        relayhost: or_none(&arguments.relayhost, NextHop::parse)?,
        origin: or_none(&arguments.origin, |text| {
            domain_name(text).map(|name| Domain::parse(&name).ok())
        })?
        .map(Option::flatten),
        always: or_none(&arguments.sender_always, address)?,
        login: login(arguments, person)?,
        domain,
        config_file: config_file.to_owned(),
        program: program.to_owned(),
        act,
        language,
        today: today(),
    })
}

/// What an option asks for, `""` being none of it.
fn or_none<T>(
    option: &Option<String>,
    parse: impl Fn(&str) -> Result<T, Said>,
) -> Result<Option<Option<T>>, Said> {
    let parsed = |text: &String| (!text.is_empty()).then(|| parse(text)).transpose();
    option.as_ref().map(parsed).transpose()
}

fn domain_name(typed: &str) -> Result<String, Said> {
    setup::dotted_name(typed).ok_or_else(|| {
        match setup::domain_meant(typed).filter(|meant| meant != typed) {
            Some(meant) => said!(
                "`{domain}` is not a domain name: if {meant} is meant, write that",
                "`{domain}` no es un nombre de dominio: si se refiere a {meant}, escríbalo así";
                domain = typed, meant = meant
            ),
            None => said!(
                "`{domain}` is not a domain name, as example.com is",
                "`{domain}` no es un nombre de dominio, como example.com"; domain = typed
            ),
        }
    })
}

/// User and password that were asked for with flags.
fn login(arguments: &SetupArgs, person: &mut dyn Person) -> Result<Option<Credentials>, Said> {
    let Some(user) = arguments.relayhost_user.clone() else { return Ok(None) };
    let Some(file) = &arguments.relayhost_password_file else {
        let question = said!("The password of {user}", "La contraseña de {user}"; user = user);
        let password = person.secret(&question).unwrap_or_default();
        if password.is_empty() && person.is_there() {
            return Err(said!(
                "the password of {user} was empty: nothing was changed",
                "la contraseña de {user} estaba vacía: no se ha cambiado nada"; user = user
            ));
        }
        if password.is_empty() {
            return Err(said!(
                "nobody is there to be asked for the password of {user}: put it in a file and name \
                 that with --relayhost-password-file",
                "no hay nadie a quien pedir la contraseña de {user}: póngala en un fichero e \
                 indíquelo con --relayhost-password-file";
                user = user
            ));
        }
        return Ok(Some(Credentials { user, password }));
    };
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| {
        let file = Said::words(name.to_string());
        said_of!("{file}: {error}", "{file}: {error}"; file = file, error = system(&error))
    })?;
    let password = text.lines().next().unwrap_or_default().to_owned();
    if password.is_empty() {
        return Err(said!(
            "{file} holds no password in its first line",
            "{file} no tiene ninguna contraseña en la primera línea"; file = name
        ));
    }
    Ok(Some(Credentials { user, password }))
}

/// A path as it is from everywhere: it is written into files.
fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests;
