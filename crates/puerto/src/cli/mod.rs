//! The command line: which personality was called, and what it was asked to do.
//!
//! The binary is `puerto`, and also `sendmail`, `mailq` and `newaliases` when it is
//! called by those names. `puerto sendmail …` is passed on whole, since its options
//! are older than every convention that the rest follows.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{FromArgMatches as _, Parser, Subcommand};

use self::spanish::Spanish as _;

use crate::config::TlsFiles;
use crate::lang::Language;

pub mod aliases;
mod backup;
mod certificate;
pub mod check;
pub mod clock;
mod config;
pub mod dkim;
pub mod dns;
mod doctor;
mod documents;
pub mod exit;
pub mod explain;
pub mod lab;
pub mod mailq;
mod nodes;
mod output;
pub mod pause;
pub mod queue;
pub mod relay;
mod restore;
pub mod sendmail;
mod serve;
mod setup;
mod spanish;
mod store;
mod top;
pub mod trial;
mod user;
mod verify;
mod why;

/// A mail server for sending, whose mail arrives.
#[derive(Debug, Parser)]
#[command(es = "Un servidor de correo saliente cuyo correo llega")]
#[command(name = "puerto", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Arguments {
    /// The configuration to use instead of /etc/puerto/puerto.toml
    #[arg(es = "La configuración que se usa en lugar de /etc/puerto/puerto.toml")]
    #[arg(long, global = true, value_name = "FILE", env = "PUERTO_CONFIG")]
    config: Option<OsString>,
    /// The language to speak: en or es; otherwise the environment's (LANG)
    #[arg(es = "El idioma: en o es; si no se indica, el del entorno (LANG)")]
    #[arg(long, global = true, value_name = "LANGUAGE")]
    lang: Option<Language>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground; SIGTERM stops it gracefully, SIGHUP reloads
    #[command(
        es = "Ejecuta el servidor en primer plano; SIGTERM lo detiene ordenadamente, SIGHUP \
                    lo recarga"
    )]
    Serve(serve::ServeArgs),
    /// Make this machine a server that can send: configuration, keys, service files
    #[command(
        es = "Prepara esta máquina para enviar correo: configuración, claves y ficheros del \
                    servicio"
    )]
    Setup(setup::SetupArgs),
    /// Check, live, everything that receivers demand of this server and a domain
    #[command(es = "Comprueba en vivo todo lo que los receptores exigen a este servidor y a un \
                    dominio")]
    Check(check::CheckArgs),
    /// Look for what is wrong on this machine: files, users, disk, clock, ports, service
    #[command(
        es = "Busca qué está mal en esta máquina: ficheros, usuarios, disco, reloj, puertos, \
                    servicio"
    )]
    Doctor(doctor::DoctorArgs),
    /// Check, show or explain the configuration
    #[command(es = "Comprueba, muestra o explica la configuración")]
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Make and list the keys that mail is signed with
    #[command(es = "Crea y enumera las claves con que se firma el correo")]
    #[command(subcommand)]
    Dkim(dkim::DkimCommand),
    /// Work out the DNS records to publish, merged with those that exist
    #[command(es = "Calcula los registros DNS que hay que publicar, combinados con los que ya \
                    existen")]
    Dns(dns::DnsArgs),
    /// Show this server's certificate and when it is renewed; have it renewed now
    #[command(es = "Muestra el certificado de este servidor y cuándo se renueva; hace renovarlo \
                    ya")]
    Certificate(certificate::CertificateArgs),
    /// Say what a refusal means, whose problem it is and what to do
    #[command(es = "Dice qué significa un rechazo, de quién es el problema y qué hacer")]
    Explain(explain::ExplainArgs),
    /// Write mailboxes for the daemon, which starts this itself
    #[command(es = "Escribe los buzones por encargo del servidor, que inicia esta orden por sí \
                    mismo")]
    #[command(hide = true, name = crate::local::agent::SUBCOMMAND)]
    LocalAgent {
        /// What the process is
        #[arg(es = "Qué es el proceso")]
        #[arg(hide = true)]
        role: crate::local::agent::Role,
    },
    /// Read the certificate again for the daemon, which starts this itself
    #[command(es = "Vuelve a leer el certificado por encargo del servidor, que inicia esta orden \
                    por sí mismo")]
    #[command(hide = true, name = crate::serve::keeper::SUBCOMMAND)]
    CertificateKeeper {
        /// The certificate
        #[arg(es = "El certificado")]
        certificate: PathBuf,
        /// Its key
        #[arg(es = "Su clave")]
        key: PathBuf,
    },
    /// Have drop folders emptied for the daemon, which starts this itself
    #[command(es = "Hace vaciar las carpetas de entrega por encargo del servidor, que inicia \
                    esta orden por sí mismo")]
    #[command(hide = true, name = crate::drop::agent::SUBCOMMAND)]
    DropAgent(sendmail::pickup::ErrandArgs),
    /// Empty the drop folder of the user who runs this, for that process
    #[command(es = "Vacía la carpeta de entrega del usuario que ejecuta esta orden, por encargo \
                    de ese proceso")]
    #[command(hide = true, name = crate::drop::agent::READER)]
    DropReader(sendmail::pickup::ErrandArgs),
    /// Show the whole system in a simulated Internet on this machine
    #[command(es = "Muestra el sistema entero en un Internet simulado en esta máquina")]
    Lab(lab::LabArgs),
    /// Show and change the mail that waits
    #[command(es = "Muestra y cambia el correo en espera")]
    Queue(queue::QueueArgs),
    /// Show the queue as it moves
    #[command(es = "Muestra la cola en movimiento")]
    Top(top::TopArgs),
    /// Try nothing for a destination for a while
    #[command(es = "No intenta nada para un destino durante un tiempo")]
    Pause(pause::PauseArgs),
    /// End pauses
    #[command(es = "Termina pausas")]
    Resume(pause::ResumeArgs),
    /// Show the nodes that share the queue
    #[command(es = "Muestra los nodos que comparten la cola")]
    Nodes(nodes::NodesArgs),
    /// Tell what became of a message: each step, where it is, why, what comes next
    #[command(es = "Cuenta qué ha sido de un mensaje: cada paso, dónde está, por qué y qué viene \
                    después")]
    Why(why::WhyArgs),
    /// Care for the place where the queue is kept
    #[command(es = "Cuida el sitio donde se guarda la cola")]
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Write configuration, keys, accounts, history and the mail that waits into one file
    #[command(
        es = "Guarda en un fichero la configuración, las claves, las cuentas, el historial y \
                    el correo en espera"
    )]
    Backup(backup::BackupArgs),
    /// Bring back what a backup holds; its mail is held until it is released
    #[command(
        es = "Recupera lo que contiene una copia de seguridad; su correo queda retenido hasta \
                    que se libera"
    )]
    Restore(restore::RestoreArgs),
    /// Make and change the accounts that mail programs log in with
    #[command(es = "Crea y cambia las cuentas con que se identifican los programas de correo")]
    #[command(subcommand)]
    User(user::UserCommand),
    /// Judge a raw message as a receiver does
    #[command(es = "Examina un mensaje en bruto como lo haría un receptor")]
    Verify(verify::VerifyArgs),
    /// Test a relayhost before mail depends on it
    #[command(es = "Prueba un relayhost antes de que el correo dependa de él")]
    #[command(subcommand)]
    Relay(relay::RelayCommand),
    /// Send a message: the options of sendmail; also as `sendmail`
    #[command(es = "Envía un mensaje, con las opciones de sendmail; también como `sendmail`")]
    #[command(disable_help_flag = true)]
    Sendmail(Passed),
    /// List the queue as Postfix does; also as `mailq`
    #[command(es = "Enumera la cola como lo hace Postfix; también como `mailq`")]
    #[command(disable_help_flag = true)]
    Mailq(Passed),
    /// Check the aliases file; also as `newaliases`
    #[command(es = "Comprueba el fichero de alias; también como `newaliases`")]
    #[command(disable_help_flag = true)]
    Newaliases(Passed),
    /// Print completions for a shell
    #[command(es = "Escribe el autocompletado para un intérprete de órdenes")]
    Completions {
        /// The shell
        #[arg(es = "El intérprete de órdenes")]
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    #[command(es = "Escribe las páginas del manual en una carpeta")]
    #[command(hide = true)]
    Man {
        /// The folder
        #[arg(es = "La carpeta")]
        #[arg(required_unless_present = "document")]
        folder: Option<PathBuf>,
        /// Print the page of the guide about every command instead
        #[arg(es = "Escribe en su lugar la página de la guía sobre cada orden")]
        #[arg(long, hide = true)]
        document: bool,
    },
    /// Write the service's files below a folder, as a package brings them
    #[command(es = "Escribe los ficheros del servicio en una carpeta, como los trae un paquete")]
    #[command(hide = true)]
    ServiceFiles {
        /// The folder
        #[arg(es = "La carpeta")]
        folder: PathBuf,
    },
}

/// Arguments that are passed on as they are.
#[derive(Debug, clap::Args)]
struct Passed {
    /// Options and recipients; see `puerto sendmail --help`
    #[arg(es = "Opciones y destinatarios; véase `puerto sendmail --help`")]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<OsString>,
}

/// What the program is called as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Personality {
    Sendmail,
    Mailq,
    Newaliases,
}

impl Personality {
    fn of(name: &OsStr) -> Option<Self> {
        match Path::new(name).file_name()?.to_str()? {
            "sendmail" => Some(Self::Sendmail),
            "mailq" => Some(Self::Mailq),
            "newaliases" => Some(Self::Newaliases),
            _ => None,
        }
    }

    fn run(
        self,
        arguments: impl Iterator<Item = OsString>,
        config: Option<&Path>,
        language: Language,
    ) -> ExitCode {
        match self {
            Self::Sendmail => sendmail::run(arguments, config, language),
            Self::Mailq => mailq::run(arguments, config, language),
            Self::Newaliases => aliases::run(arguments, config, language),
        }
    }
}

// A personality's arguments never come near clap, which would take `--` out of them
// and with it the protection that it gives.
fn personality(arguments: &[OsString]) -> Option<ExitCode> {
    let (name, rest) = arguments.split_first()?;
    if let Some(personality) = Personality::of(name) {
        let language = Language::of_process(None);
        return Some(personality.run(rest.iter().cloned(), None, language));
    }
    let (mut config, mut asked, mut rest) = (None, None, rest);
    while let [option, value, after @ ..] = rest {
        match option.to_str() {
            Some("--config") => config = Some(Path::new(value)),
            Some("--lang") => asked = Some(value.to_str().and_then(Language::parse)?),
            _ => break,
        }
        rest = after;
    }
    let (name, rest) = rest.split_first()?;
    let personality = Personality::of(name)?;
    Some(personality.run(rest.iter().cloned(), config, Language::of_process(asked)))
}

/// Runs the program with its arguments, the first being the name that it was called by.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    if let Some(code) = personality(&arguments) {
        return code;
    }
    let language = spanish::language(&arguments);
    let mut command = spanish::command(language);
    let parsed = command
        .try_get_matches_from_mut(&arguments)
        .and_then(|mut matches| Arguments::from_arg_matches_mut(&mut matches));
    match parsed {
        Ok(parsed) => run(parsed, language),
        Err(error) => {
            match language {
                Language::English => drop(error.print()),
                Language::Spanish => spanish::print_error(&error),
            }
            // Help and version are answers, not mistakes.
            ExitCode::from(if error.use_stderr() { 2 } else { 0 })
        }
    }
}

fn run(arguments: Arguments, language: Language) -> ExitCode {
    // An empty PUERTO_CONFIG is none.
    let config = arguments.config.as_deref().filter(|file| !file.is_empty()).map(Path::new);
    match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments, config, language),
        Command::Setup(arguments) => setup::run(&arguments, config, language),
        Command::Config(command) => config::run(&command, config, language),
        Command::Dkim(command) => dkim::run(&command, config, language),
        Command::Dns(arguments) => dns::run(&arguments, config, language),
        Command::Certificate(arguments) => certificate::run(&arguments, config, language),
        Command::Explain(arguments) => explain::run(&arguments, config, language),
        Command::LocalAgent { role } => crate::local::agent::run(role),
        Command::CertificateKeeper { certificate, key } => {
            crate::serve::keeper::run(&TlsFiles { certificate, key })
        }
        Command::DropAgent(arguments) => crate::drop::agent::run(&arguments.errands()),
        Command::DropReader(arguments) => sendmail::pickup::run(&arguments),
        Command::Lab(arguments) => lab::run(&arguments, language),
        Command::Top(arguments) => top::run(&arguments, config, language),
        Command::Pause(arguments) => pause::run(&arguments, config, language),
        Command::Resume(arguments) => pause::resume(&arguments, config, language),
        Command::Nodes(arguments) => nodes::run(&arguments, config, language),
        Command::Store(command) => store::run(&command, config, language),
        Command::Queue(arguments) => queue::run(&arguments, config, language),
        Command::Why(arguments) => why::run(&arguments, config, language),
        Command::Doctor(arguments) => doctor::run(&arguments, config, language),
        Command::Backup(arguments) => backup::run(&arguments, config, language),
        Command::Restore(arguments) => restore::run(&arguments, language),
        Command::Check(arguments) => check::run(&arguments, config, language),
        Command::User(command) => user::run(&command, config, language),
        Command::Verify(arguments) => verify::run(&arguments, config, language),
        Command::Relay(command) => relay::run(&command, config, language),
        Command::Sendmail(passed) => sendmail::run(passed.arguments.into_iter(), config, language),
        Command::Mailq(passed) => mailq::run(passed.arguments.into_iter(), config, language),
        Command::Newaliases(passed) => aliases::run(passed.arguments.into_iter(), config, language),
        Command::Completions { shell } => documents::completions(shell, spanish::command(language)),
        Command::Man { folder: Some(folder), .. } => documents::manual(&folder, language),
        Command::Man { .. } => documents::print_page(language),
        Command::ServiceFiles { folder } => setup::service_files(&folder, language),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// Commands that change something, run until they are stopped, or have another's form.
    const WITHOUT_DATA: [&str; 19] = [
        "resume",
        "reroute",
        "body",
        "migrate",
        "copy",
        "add",
        "passwd",
        "serve",
        "sample",
        "retry",
        "hold",
        "release",
        "remove",
        "sendmail",
        "mailq",
        "newaliases",
        "completions",
        "man",
        "help",
    ];

    #[test]
    fn every_command_that_prints_data_prints_it_for_programs_too() {
        let mut command = Arguments::command();
        let mut commands: Vec<&mut clap::Command> = command.get_subcommands_mut().collect();
        let mut without = Vec::new();
        while let Some(command) = commands.pop() {
            let has_json = command.get_arguments().any(|argument| argument.get_id() == "json");
            let is_leaf = command.get_subcommands().next().is_none();
            if is_leaf && !has_json && !command.is_hide_set() {
                without.push(command.get_name().to_owned());
            }
            commands.extend(command.get_subcommands_mut());
        }
        without.retain(|name| !WITHOUT_DATA.contains(&name.as_str()));
        assert_eq!(without, Vec::<String>::new());
    }
}
