//! Where the database is, and how it is to be known for the right one.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Hindrance, SpoolError};

/// How to reach the database.
pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
    /// The URL as people may see it: without a password.
    pub(super) shown: String,
}

/// What is known of the certificate that the server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Verified,
    Any,
}

fn wrong(what: impl Into<String>) -> SpoolError {
    SpoolError::Io(Hindrance::DatabaseUrl { what: what.into() })
}

impl Settings {
    /// Reads a URL as PostgreSQL's own programs take it. `sslmode` is `disable`, `prefer`,
    /// `require` or `verify-full`; without it, a server on another machine must show a
    /// certificate that is valid for its name.
    pub(super) fn read(url: &str, password_file: Option<&Path>) -> Result<Self, SpoolError> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(wrong("it begins with postgres://"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots) = (None, None);
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value.to_owned()),
                Some(("sslrootcert", value)) => roots = Some(PathBuf::from(value)),
                _ => rest.push(pair),
            }
        }
        let rest = rest.join("&");
        // The library's words never quote the password.
        let mut config =
            Config::from_str(&format!("{base}?{rest}")).map_err(|error| wrong(quoted(&error)))?;
        if let Some(file) = password_file {
            config.password(password(file)?);
        }
        let (encryption, trust) = match (mode.as_deref(), is_near(&config)) {
            (Some("disable"), _) | (None, true) => (SslMode::Disable, Trust::Any),
            (Some("prefer"), _) => (SslMode::Prefer, Trust::Any),
            (Some("require"), _) => (SslMode::Require, Trust::Any),
            (Some("verify-full"), _) | (None, false) => (SslMode::Require, Trust::Verified),
            (Some(other), _) => {
                return Err(wrong(format!(
                    "sslmode is disable, prefer, require or verify-full, not {other}"
                )));
            }
        };
        config
            .ssl_mode(encryption)
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .application_name("puerto")
            .connect_timeout(CONNECT)
            .keepalives(true)
            .keepalives_idle(SILENCE)
            .keepalives_interval(SILENCE / 2)
            .keepalives_retries(2)
            .tcp_user_timeout(SILENCE * 2);
        if names(&config).is_empty() {
            return Err(wrong("it names no server"));
        }
        let (hosts, addresses, ports) =
            (config.get_hosts().len(), config.get_hostaddrs().len(), config.get_ports().len());
        if (hosts != addresses && hosts.min(addresses) > 0)
            || (ports > 1 && ports != hosts.max(addresses))
        {
            return Err(wrong(
                "it names more servers than addresses or ports of servers, or fewer",
            ));
        }
        let shown = shown(&config);
        let needed = encryption != SslMode::Disable;
        let tls = MakeRustlsConnect::new(tls(trust, roots.as_deref(), needed)?);
        Ok(Self { config, tls, shown })
    }

    /// The servers that the URL names, in the order in which they are to be tried.
    pub(super) fn servers(&self) -> Vec<Server> {
        let names = names(&self.config).into_iter().enumerate();
        let server = |(n, name)| Server { name, config: of_one(&self.config, n) };
        let mut all: Vec<Server> = names.map(server).collect();
        if self.config.get_load_balance_hosts() == LoadBalanceHosts::Random {
            let chance = RandomState::new();
            all.sort_by_cached_key(|server| chance.hash_one(&server.name));
        }
        all
    }
}

/// One server of a database that may have several.
#[derive(Clone)]
pub(super) struct Server {
    /// By which it is told from the others: its name, with the port if that is no usual one.
    pub(super) name: String,
    /// How to reach it alone.
    pub(super) config: Config,
}

impl Server {
    /// Its name and port, where it may have several addresses.
    pub(super) fn to_look_up(&self) -> Option<(String, u16)> {
        let config = &self.config;
        let port = config.get_ports().first().copied().unwrap_or(5432);
        match config.get_hosts().first() {
            Some(Host::Tcp(name)) if config.get_hostaddrs().is_empty() => {
                Some((name.clone(), port))
            }
            _ => None,
        }
    }

    /// The same at each of its addresses; as it is, where it has but one. The certificate is
    /// still to be for the name.
    pub(super) fn at_each(self, addresses: &[IpAddr]) -> Vec<Self> {
        let mut once: Vec<IpAddr> = Vec::new();
        for address in addresses {
            if !once.contains(address) {
                once.push(*address);
            }
        }
        if once.len() < 2 {
            return vec![self];
        }
        let at = |address: IpAddr| {
            let mut config = self.config.clone();
            config.hostaddr(address);
            Self { name: format!("{} at {address}", self.name), config }
        };
        once.into_iter().map(at).collect()
    }
}

// The library has no way to take a server out of what it has read.
fn of_one(all: &Config, n: usize) -> Config {
    let mut one = Config::new();
    match all.get_hosts().get(n) {
        Some(Host::Tcp(name)) => drop(one.host(name)),
        Some(Host::Unix(path)) => drop(one.host_path(path)),
        None => {}
    }
    if let Some(address) = all.get_hostaddrs().get(n) {
        one.hostaddr(*address);
    }
    if let Some(port) = all.get_ports().get(n).or(all.get_ports().first()) {
        one.port(*port);
    }
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(password) = all.get_password() {
        one.password(password);
    }
    if let Some(name) = all.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    if let Some(name) = all.get_application_name() {
        one.application_name(name);
    }
    if let Some(span) = all.get_connect_timeout() {
        one.connect_timeout(*span);
    }
    if let Some(span) = all.get_tcp_user_timeout() {
        one.tcp_user_timeout(*span);
    }
    if let Some(span) = all.get_keepalives_interval() {
        one.keepalives_interval(span);
    }
    if let Some(times) = all.get_keepalives_retries() {
        one.keepalives_retries(times);
    }
    one.keepalives(all.get_keepalives())
        .keepalives_idle(all.get_keepalives_idle())
        .ssl_mode(all.get_ssl_mode())
        .ssl_negotiation(all.get_ssl_negotiation())
        .target_session_attrs(all.get_target_session_attrs())
        .channel_binding(all.get_channel_binding())
        .load_balance_hosts(all.get_load_balance_hosts());
    one
}

/// How long one host may take to answer.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// After so long a silence a peer is asked whether it lives.
const SILENCE: Duration = Duration::from_secs(5);

// A file's first line: editors put an end there.
fn password(file: &Path) -> Result<String, SpoolError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let (file, why) = (file.display().to_string(), Box::new(SpoolError::from(&error)));
        SpoolError::Io(Hindrance::Unusable { file, why })
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Whether every host is this machine.
fn is_near(config: &Config) -> bool {
    let near = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    };
    config.get_hosts().iter().all(near) && config.get_hostaddrs().iter().all(|a| a.is_loopback())
}

// Of each server.
fn names(config: &Config) -> Vec<String> {
    let (hosts, addresses, ports) =
        (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let name = |n: usize| {
        let port = ports.get(n).or(ports.first()).filter(|port| **port != 5432);
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        match (hosts.get(n), addresses.get(n)) {
            (Some(Host::Tcp(name)), _) => format!("{name}{port}"),
            (Some(Host::Unix(path)), _) => format!("{}{port}", path.display()),
            (None, Some(IpAddr::V6(address))) => format!("[{address}]{port}"),
            (None, address) => {
                format!("{}{port}", address.map_or_else(String::new, |a| a.to_string()))
            }
        }
    };
    (0..hosts.len().max(addresses.len())).map(name).collect()
}

fn shown(config: &Config) -> String {
    let hosts = names(config);
    let user = config.get_user().map_or_else(String::new, |user| format!("{user}@"));
    let name = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("postgres://{user}{}/{name}", hosts.join(","))
}

fn tls(trust: Trust, roots: Option<&Path>, needed: bool) -> Result<ClientConfig, SpoolError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let failed = |error: rustls::Error| wrong(error.to_string());
    let verifier: Arc<dyn ServerCertVerifier> = match (trust, roots) {
        (Trust::Any, _) => Arc::new(Unverified(Arc::clone(&provider))),
        (Trust::Verified, Some(file)) => {
            let unreadable = |error: rustls::pki_types::pem::Error| {
                wrong(format!("sslrootcert {}: {error}", file.display()))
            };
            let mut store = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
                store.add(certificate.map_err(unreadable)?).map_err(failed)?;
            }
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider))
                .build()
                .map_err(|error| wrong(format!("sslrootcert {}: {error}", file.display())))?
        }
        // The system's authorities are read where they are needed, and may be none.
        (Trust::Verified, None) if needed => Arc::new(
            rustls_platform_verifier::Verifier::new(Arc::clone(&provider)).map_err(failed)?,
        ),
        (Trust::Verified, None) => Arc::new(Unverified(Arc::clone(&provider))),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

/// Takes any certificate, for whoever said `require` or `prefer`: it keeps listeners out,
/// but not impostors.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The URL by which PostgreSQL's own `psql` demands what we do of the server; without a
/// password.
pub fn url_for_psql(url: &str) -> String {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("password="))
        .map(str::to_owned)
        .collect();
    let has = |pairs: &[String], key: &str| {
        pairs.iter().any(|pair| pair.split_once('=').is_some_and(|(name, _)| name == key))
    };
    let is_far = Config::from_str(base).is_ok_and(|config| !is_near(&config));
    if is_far && !has(&pairs, "sslmode") {
        pairs.insert(0, "sslmode=verify-full".to_owned());
    }
    let verifies = pairs.iter().any(|pair| pair == "sslmode=verify-full");
    // By itself it knows no authorities.
    if verifies && !has(&pairs, "sslrootcert") {
        pairs.push(format!("sslrootcert={AUTHORITIES}"));
    }
    let base = without_password(base);
    if pairs.is_empty() { base } else { format!("{base}?{}", pairs.join("&")) }
}

fn without_password(base: &str) -> String {
    let parts = base.split_once("://").and_then(|(scheme, rest)| {
        let (user, rest) = rest.split_once('@')?;
        let (user, _) = user.split_once(':')?;
        Some(format!("{scheme}://{user}@{rest}"))
    });
    parts.unwrap_or_else(|| base.to_owned())
}

/// Where Debian has the authorities that it trusts.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A library's error in its own words, with what is behind it.
pub(super) fn quoted(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return said.message().to_owned();
    }
    let mut words = error.to_string();
    let mut behind = std::error::Error::source(error);
    while let Some(error) = behind {
        words.push_str(": ");
        words.push_str(&error.to_string());
        behind = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_with_several_addresses_is_a_server_at_each_and_keeps_its_name() {
        let settings = Settings::read("postgres://u@db1:5433,db2/x?sslmode=require", None).unwrap();
        let [one, two]: [Server; 2] = settings.servers().try_into().ok().unwrap();
        assert_eq!(one.to_look_up(), Some(("db1".to_owned(), 5433)));
        let addresses: Vec<IpAddr> =
            ["192.0.2.1", "2001:db8::1", "192.0.2.1"].map(|a| a.parse().unwrap()).into();
        let all = one.at_each(&addresses);
        let names: Vec<_> = all.iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, ["db1:5433 at 192.0.2.1", "db1:5433 at 2001:db8::1"]);
        for (server, address) in all.iter().zip(&addresses) {
            assert_eq!(server.config.get_hostaddrs(), std::slice::from_ref(address));
            assert_eq!(server.config.get_hosts(), [Host::Tcp("db1".to_owned())]);
            assert_eq!(server.config.get_ports(), [5433]);
            assert_eq!(server.to_look_up(), None, "it is known already");
        }
        assert_eq!(two.at_each(&addresses[..1]).len(), 1);
        let near = Settings::read("postgres://u@%2Frun%2Fpostgresql/x", None).unwrap();
        assert_eq!(near.servers()[0].to_look_up(), None);
    }

    #[test]
    fn psql_is_told_to_demand_what_we_demand() {
        let roots = "sslrootcert=/etc/ssl/certs/ca-certificates.crt";
        for (url, told) in [
            ("postgres://u:p@db1/x", format!("postgres://u@db1/x?sslmode=verify-full&{roots}")),
            (
                "postgres://u@db1,db2:5433/x?sslmode=require",
                "postgres://u@db1,db2:5433/x?sslmode=require".to_owned(),
            ),
            (
                "postgres://u@db1/x?sslrootcert=/ca.pem",
                "postgres://u@db1/x?sslmode=verify-full&sslrootcert=/ca.pem".to_owned(),
            ),
            (
                "postgres://u@db1/x?password=p&sslmode=verify-full",
                format!("postgres://u@db1/x?sslmode=verify-full&{roots}"),
            ),
            ("postgres://u@127.0.0.1/x", "postgres://u@127.0.0.1/x".to_owned()),
            ("postgres://u@%2Frun%2Fpostgresql/x", "postgres://u@%2Frun%2Fpostgresql/x".to_owned()),
        ] {
            assert_eq!(url_for_psql(url), told);
        }
    }

    use super::*;

    fn read(url: &str) -> Result<Settings, SpoolError> {
        Settings::read(url, None)
    }

    #[test]
    fn a_password_is_never_shown() {
        let settings = read("postgres://puerto:s3cret@db1:5433,db2/mail?sslmode=require").unwrap();
        assert_eq!(settings.shown, "postgres://puerto@db1:5433,db2/mail");
        let Err(error) = read("postgres://puerto:s3cret@db1/mail?nonsense=1") else { panic!() };
        assert!(!error.to_string().contains("s3cret"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "from a file\n").unwrap();
        let settings = Settings::read("postgres://puerto@db1/mail", Some(&file)).unwrap();
        assert_eq!(settings.config.get_password(), Some(&b"from a file"[..]));
        let absent = Settings::read("postgres://db1/mail", Some(Path::new("/nowhere")));
        assert!(absent.is_err());
    }

    #[test]
    fn each_server_is_reached_by_all_that_the_url_says_of_it() {
        let all = "?options=-c%20work_mem%3D4MB&application_name=x&keepalives_retries=7\
                   &channel_binding=require&sslmode=require&load_balance_hosts=random";
        let one = read(&format!("postgres://u:p@db1:5433/mail{all}")).unwrap();
        let [server] = &one.servers()[..] else { panic!() };
        assert!(server.config == one.config && server.name == "db1:5433");
        let several = read(&format!("postgres://u:p@db1,db2:5433,db3/mail{all}")).unwrap();
        let mut servers = several.servers();
        servers.sort_by_key(|server| server.name.clone());
        assert_eq!(
            servers.iter().map(|s| &*s.name).collect::<Vec<_>>(),
            ["db1", "db2:5433", "db3"]
        );
        for (server, port) in servers.iter().zip([5432, 5433, 5432]) {
            let url = format!("postgres://u:p@{}/mail{all}", server.name);
            assert!(server.config == read(&url).unwrap().config, "{}", server.name);
            assert_eq!(server.config.get_ports(), [port]);
        }
        let socket = read("postgresql://%2Frun%2Fa:5433,%2Frun%2Fb:5433/mail").unwrap().servers();
        assert_eq!(socket[1].name, "/run/b:5433");
        let numbers = read("postgresql:///mail?hostaddr=192.0.2.1,2001:db8::1").unwrap().servers();
        assert_eq!(numbers[1].name, "[2001:db8::1]");
        for url in ["postgres:///mail", "postgres://a:1,b:2,c/x?hostaddr=192.0.2.1"] {
            assert!(read(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_server_elsewhere_is_verified_unless_told_otherwise() {
        for (url, expected) in [
            ("postgres://db1/mail", SslMode::Require),
            ("postgres://db1/mail?sslmode=prefer", SslMode::Prefer),
            ("postgres://127.0.0.1/mail", SslMode::Disable),
            ("postgres://localhost,db2/mail", SslMode::Require),
            ("postgres://127.0.0.1/mail?sslmode=verify-full", SslMode::Require),
            ("postgresql://u@/mail?host=/run/postgresql", SslMode::Disable),
        ] {
            assert_eq!(read(url).unwrap().config.get_ssl_mode(), expected, "{url}");
        }
        for url in ["mysql://db/x", "postgres://db/x?sslmode=verify-ca", "postgres://db:x/y"] {
            assert!(read(url).is_err(), "{url}");
        }
    }
}
