//! `puerto dkim`: makes the keys that mail is signed with, and shows the records that
//! receivers look for.

use std::fmt::Write as _;
use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use nix::fcntl::OFlag;
use nix::unistd::Group;
use puerto_mail::dkim::{Algorithm, PrivateKey, zone_file_text};
use puerto_smtp::Domain;
use serde_json::json;

use super::clock::today;
use super::exit::{Failure, Sysexit, end};
use super::output::{print, say, tell};
use crate::cli::spanish::Spanish as _;
use crate::config::Config;
use crate::intake::KeyRing;
use crate::lang::{Language, Said, Text, key_error, said, said_of};
use crate::rights::{self, Identity, Place};

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum DkimCommand {
    /// Make a key and print the record to publish
    #[command(es = "Crea una clave y muestra el registro que hay que publicar")]
    New(NewKey),
    /// Show all keys with their records
    #[command(es = "Muestra todas las claves con sus registros")]
    List {
        /// One JSON document instead of text
        #[arg(es = "Un documento JSON en vez de texto")]
        #[arg(long)]
        json: bool,
    },
}

/// Which key to make.
#[derive(Debug, clap::Args)]
pub struct NewKey {
    /// The domain to sign for; the first of `domains` if none is given
    #[arg(es = "El dominio para el que se firma; si no se indica, el primero de `domains`")]
    domain: Option<String>,
    /// The name of the key below _domainkey; made of algorithm, year and month if
    /// none is given
    #[arg(es = "El nombre de la clave bajo _domainkey; si no se indica, se forma con el \
                algoritmo, el año y el mes")]
    #[arg(long)]
    selector: Option<String>,
    /// The kind of key; all receivers verify RSA
    #[arg(es = "El tipo de clave; RSA la verifican todos los receptores")]
    #[arg(long = "type", value_enum, default_value_t = Kind::Rsa)]
    kind: Kind,
    /// The size of an RSA key
    #[arg(es = "El tamaño de una clave RSA, en bits")]
    #[arg(long, default_value_t = 2048, value_parser = parse_bits)]
    bits: u32,
    /// One JSON document instead of text
    #[arg(es = "Un documento JSON en vez de texto")]
    #[arg(long)]
    json: bool,
}

/// The kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// RSA with SHA-256
    #[value(es = "RSA con SHA-256")]
    Rsa,
    /// Ed25519 (RFC 8463), which some receivers do not verify yet
    #[value(es = "Ed25519 (RFC 8463), que algunos receptores aún no verifican")]
    Ed25519,
    /// One of each
    #[value(es = "Una de cada tipo")]
    Both,
}

/// Runs the command. Exit code 0; 1 if a key in the directory cannot be used; 73 if
/// the file exists already or cannot be made; 64 for a name that cannot be.
pub fn run(command: &DkimCommand, file: Option<&Path>, language: Language) -> ExitCode {
    let done = Config::load(file).map_err(Failure::from).and_then(|config| match command {
        DkimCommand::New(new) => {
            let made = make(&config, new, language)?;
            print(&made_text(&made, new.json, language))?;
            Ok(0)
        }
        DkimCommand::List { json } => list(&config, *json, language),
    });
    end("puerto", done, language)
}

fn parse_bits(text: &str) -> Result<u32, Said> {
    const SIZES: Text = Text::new("accepted: 2048, 3072, 4096", "se admiten 2048, 3072 y 4096");
    let bits = text.parse().ok().filter(|bits| [2048, 3072, 4096].contains(bits));
    bits.ok_or(Said::plain(SIZES))
}

/// A key as it is shown.
struct Shown {
    domain: String,
    selector: String,
    algorithm: Algorithm,
    bits: usize,
    file: PathBuf,
    record: String,
}

impl Shown {
    fn name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "domain": self.domain,
            "selector": self.selector,
            "algorithm": self.algorithm.name(),
            "bits": self.bits,
            "file": self.file.display().to_string(),
            "name": self.name(),
            "type": "TXT",
            "record": self.record,
        })
    }

    fn push_text(&self, out: &mut String, language: Language) {
        const LABELS: [Text; 4] = [
            Text::new("name ", "nombre"),
            Text::new("type ", "tipo  "),
            Text::new("value", "valor "),
            Text::new("zone ", "zona  "),
        ];
        let full = self.name();
        let [name, kind, value, zone] = LABELS.map(|label| label.of(language));
        let _ = writeln!(
            out,
            "{} ({}, {} bits)\n  {name}  {full}\n  {kind}  TXT\n  {value}  {}\n  {zone}  {full}. \
             3600 IN TXT ( {} )",
            self.file.display(),
            self.algorithm,
            self.bits,
            self.record,
            zone_file_text(&self.record)
        );
    }
}

fn make(config: &Config, new: &NewKey, language: Language) -> Result<Vec<Shown>, Failure> {
    let domain = domain(config, new)?;
    let directory = config.dkim_directory.join(&domain);
    let algorithms: &[Algorithm] = match new.kind {
        Kind::Rsa => &[Algorithm::RsaSha256],
        Kind::Ed25519 => &[Algorithm::Ed25519Sha256],
        Kind::Both => &[Algorithm::RsaSha256, Algorithm::Ed25519Sha256],
    };
    let mut wanted = Vec::new();
    for algorithm in algorithms {
        let selector = selector(new, *algorithm)?;
        let file = directory.join(format!("{selector}.pem"));
        if file.symlink_metadata().is_ok() {
            return Err(exists(&file));
        }
        wanted.push((*algorithm, selector, file));
    }
    let owner = Owner::of(config, language);
    let cannot = |what: &Path, error: io::Error| {
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied => Sysexit::NoPermission,
            _ => Sysexit::CantCreate,
        };
        let what = Said::words(what.display().to_string());
        let message = said_of!(
            "cannot make {what}: {error}", "no se puede crear {what}: {error}";
            what = what, error = rights::said(&error)
        );
        Failure::new(code, message)
    };
    let owner = owner.make_directories(&directory).map_err(|error| cannot(&directory, error))?;
    let mut made = Vec::new();
    for (algorithm, selector, file) in wanted {
        let pem = match algorithm {
            Algorithm::Ed25519Sha256 => PrivateKey::generate(algorithm),
            _ => PrivateKey::generate_rsa(new.bits),
        };
        let broken =
            |error: puerto_mail::dkim::KeyError| Failure::new(Sysexit::OsError, key_error(&error));
        let pem = pem.map_err(broken)?;
        let key = PrivateKey::from_pem(&pem).map_err(broken)?;
        owner.write_key(&file, &pem).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(&file),
            _ => cannot(&file, error),
        })?;
        let (bits, record) = (key.bits(), key.record_text());
        made.push(Shown { domain: domain.clone(), selector, algorithm, bits, file, record });
    }
    Ok(made)
}

fn exists(file: &Path) -> Failure {
    let text = said!(
        "{file} exists already, and mail that is under way may be signed with it: give the new key \
         another --selector, and remove the old one some days after",
        "{file} ya existe y puede haber correo en camino firmado con esa clave: dé a la nueva otro \
         --selector y elimine la antigua unos días después";
        file = file.display()
    );
    Failure::new(Sysexit::CantCreate, text)
}

fn domain(config: &Config, new: &NewKey) -> Result<String, Failure> {
    let domain = match &new.domain {
        Some(text) => Domain::parse(text).ok(),
        None => config.sender_domain().cloned(),
    };
    let ascii = domain.as_ref().and_then(Domain::name).and_then(|n| idna::domain_to_ascii(n).ok());
    ascii.ok_or_else(|| {
        let written = new.domain.as_deref().unwrap_or_default();
        Failure::new(
            Sysexit::Usage,
            said!(
                "`{written}` is not a domain name, as example.com is",
                "`{written}` no es un nombre de dominio, como example.com"; written = written
            ),
        )
    })
}

fn selector(new: &NewKey, algorithm: Algorithm) -> Result<String, Failure> {
    let kind = if algorithm == Algorithm::Ed25519Sha256 { "ed25519" } else { "rsa" };
    let Some(written) = &new.selector else {
        return Ok(format!("{kind}-{}", today().strftime("%Y-%m")));
    };
    let selector = written.to_lowercase();
    if !selector.is_ascii() || Domain::parse(&format!("{selector}.example")).is_err() {
        let text = said!(
            "`{written}` is not a selector: use letters, digits, - and .",
            "`{written}` no es un selector: use letras, cifras, - y ."; written = written
        );
        return Err(Failure::new(Sysexit::Usage, text));
    }
    // Two keys cannot share a name.
    Ok(if new.kind == Kind::Both { format!("{selector}-{kind}") } else { selector })
}

const PUBLISH: Text = Text::new(
    "Publish first: name, type and value in a provider's form, or the zone line as it is.\n\
     When the record answers, reload the daemon (systemctl reload puerto): it then signs\n\
     with this key.\n",
    "Primero publique el registro: nombre, tipo y valor en el formulario del proveedor, o la\n\
     línea de zona tal cual. Cuando responda, recargue el servidor (systemctl reload puerto):\n\
     desde entonces firma con esta clave.\n",
);

fn made_text(made: &[Shown], json: bool, language: Language) -> String {
    if json {
        let keys: Vec<_> = made.iter().map(Shown::to_json).collect();
        return format!("{}\n", json!({ "made": keys }));
    }
    let mut out = String::new();
    for key in made {
        key.push_text(&mut out, language);
        out.push('\n');
    }
    out.push_str(PUBLISH.of(language));
    out
}

fn all_keys(config: &Config) -> (Vec<Shown>, Vec<Said>) {
    let (ring, directory) = (KeyRing::of(config), &config.dkim_directory);
    let shown = |key: &std::sync::Arc<puerto_mail::dkim::SigningKey>| Shown {
        domain: key.domain.clone(),
        selector: key.selector.clone(),
        algorithm: key.key.algorithm(),
        bits: key.key.bits(),
        file: directory.join(&key.domain).join(format!("{}.pem", key.selector)),
        record: key.key.record_text(),
    };
    let problems = ring.problems().into_iter().map(|problem| problem.said);
    (ring.keys().iter().map(shown).collect(), problems.collect())
}

const NO_KEYS: Text = Text::new(
    "no keys below {directory}: mail is not signed. `puerto dkim new`",
    "no hay claves en {directory}: el correo no se firma. Cree una con `puerto dkim new`",
);
const NO_USER: Text = Text::new(
    "there is no user `{name}` yet: only root can read what is written now",
    "todavía no existe el usuario `{name}`: solo root puede leer lo que se escriba ahora",
);

fn list(config: &Config, json: bool, language: Language) -> Result<u8, Failure> {
    let (keys, problems) = all_keys(config);
    if json {
        let keys: Vec<_> = keys.iter().map(Shown::to_json).collect();
        let problems: Vec<_> = problems.iter().map(|problem| problem.of(language)).collect();
        say(&json!({ "keys": keys, "problems": problems }).to_string())?;
    } else {
        let mut out = String::new();
        for key in &keys {
            key.push_text(&mut out, language);
        }
        print(&out)?;
        for problem in &problems {
            tell(&format!("puerto: {}", problem.of(language)));
        }
        if keys.is_empty() && problems.is_empty() {
            let directory = config.dkim_directory.display().to_string();
            tell(&format!("puerto: {}", NO_KEYS.with(language, &[("directory", &directory)])));
        }
    }
    Ok(u8::from(!problems.is_empty()))
}

/// Who may read a new key, or another secret of the daemon's. As root: the daemon's user, by its group where that is its
/// own, so that the daemon can read the key but not change it. Otherwise: ourselves.
pub(super) enum Owner {
    Ourselves,
    Group(Identity),
    User(Identity),
    /// The folder is the daemon's user's, who makes the key.
    Maker(Identity),
}

impl Owner {
    pub(super) fn of(config: &Config, language: Language) -> Self {
        if !nix::unistd::geteuid().is_root() || config.user.is_empty() {
            return Self::Ourselves;
        }
        let Ok(Some(user)) = Identity::named(&config.user) else {
            let name = &config.user;
            tell(&format!("puerto: {}", NO_USER.with(language, &[("name", name)])));
            return Self::Ourselves;
        };
        match Group::from_gid(user.gid) {
            Ok(Some(group)) if group.name == user.name => Self::Group(user),
            _ => Self::User(user),
        }
    }

    /// Makes the folder of a domain's keys and the one of all keys. Says who makes the key.
    fn make_directories(self, directory: &Path) -> io::Result<Self> {
        let make = |owner: &Self| {
            for path in directory.parent().into_iter().chain([directory]) {
                let place = Place::making_way(path, 0o755)?;
                place.may_be_changed()?;
                if let Some(made) = place.new_folder(0o700)? {
                    owner.give(&made, 0o750)?;
                }
            }
            Ok::<_, io::Error>(Place::of(&directory.join("key"))?.may_be_changed()?)
        };
        match (make(&self), self) {
            (Ok(()), owner) => Ok(owner),
            (Err(error), Self::Group(user) | Self::User(user))
                if error.kind() == io::ErrorKind::PermissionDenied =>
            {
                user.act(|| make(&Self::Ourselves))?.map_err(|_| error)?;
                Ok(Self::Maker(user))
            }
            (Err(error), _) => Err(error),
        }
    }

    fn write_key(&self, path: &Path, pem: &str) -> io::Result<()> {
        if let Self::Maker(user) = self {
            return user.act(|| Self::Ourselves.write_key(path, pem))?;
        }
        let place = Place::of(path)?;
        place.may_be_changed()?;
        let mut file = place.create(OFlag::O_WRONLY, 0o600)?;
        file.write_all(pem.as_bytes())?;
        self.give(&file, 0o640)?;
        file.sync_all()?;
        place.sync_folder()
    }

    // The mode comes last: a group gets to read only once it is the right one.
    pub(super) fn give(&self, file: &File, mode: u32) -> io::Result<()> {
        match self {
            Self::Ourselves | Self::Maker(_) => Ok(()),
            Self::User(user) => Ok(nix::unistd::fchown(file, Some(user.uid), None)?),
            Self::Group(user) => {
                nix::unistd::fchown(file, None, Some(user.gid))?;
                file.set_permissions(Permissions::from_mode(mode))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(domain: Option<&str>, selector: Option<&str>, kind: Kind) -> NewKey {
        NewKey {
            domain: domain.map(Into::into),
            selector: selector.map(Into::into),
            kind,
            bits: 2048,
            json: true,
        }
    }

    #[test]
    fn a_new_key_signs_and_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::for_tests(dir.path());
        make(&config, &new(None, Some("S1"), Kind::Both), Language::English).unwrap();
        make(&config, &new(Some("ñandú.example"), None, Kind::Ed25519), Language::English).unwrap();
        let ring = KeyRing::load(&config.dkim_directory);
        assert_eq!(ring.problems(), []);
        let names: Vec<String> =
            ring.keys().iter().map(|k| format!("{} {}", k.selector, k.domain)).collect();
        assert_eq!(names[..2], ["s1-ed25519 example.com", "s1-rsa example.com"]);
        assert!(names[2].starts_with("ed25519-20") && names[2].ends_with(" xn--and-6ma2c.example"));
        let file = config.dkim_directory.join("example.com/s1-rsa.pem");
        let before = std::fs::read(&file).unwrap();
        let again =
            make(&config, &new(None, Some("s1"), Kind::Both), Language::English).err().unwrap();
        assert_eq!(again.code, Sysexit::CantCreate);
        assert_eq!(std::fs::read(&file).unwrap(), before);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o137, 0);
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::for_tests(dir.path());
        for (domain, selector) in [
            (Some("a b"), None),
            (Some("[192.0.2.1]"), None),
            (None, Some("../x")),
            (None, Some("a b")),
        ] {
            let failure =
                make(&config, &new(domain, selector, Kind::Rsa), Language::English).err().unwrap();
            assert_eq!(failure.code, Sysexit::Usage, "{domain:?} {selector:?}");
        }
        assert!(!config.dkim_directory.exists());
    }

    #[test]
    fn records_are_shown_in_both_forms() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::for_tests(dir.path());
        make(&config, &new(None, Some("a"), Kind::Rsa), Language::English).unwrap();
        let (keys, problems) = all_keys(&config);
        assert!(problems.is_empty());
        let [shown] = keys.as_slice() else { panic!("one key, not {}", keys.len()) };
        let json = shown.to_json();
        assert_eq!(json["name"], "a._domainkey.example.com");
        assert!(shown.file.is_file());
        assert!(made_text(&keys, false, Language::English).contains("Publish first"));
        let mut text = String::new();
        shown.push_text(&mut text, Language::English);
        assert!(text.contains("/dkim/example.com/a.pem (rsa-sha256, 2048 bits)\n"), "{text}");
        assert!(text.contains("  name   a._domainkey.example.com\n"), "{text}");
        assert!(text.contains("a._domainkey.example.com. 3600 IN TXT ( \"v=DKIM1; k=rsa; p="));
    }
}
