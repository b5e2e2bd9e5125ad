//! A made-up Internet in which one thing is wrong at a time.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::OnceLock;

use puerto_mail::dkim::{Algorithm, PrivateKey};
use puerto_mail::dns::{Answer, Dns, DnsError, Record, RecordType, Table, reverse_name};
use puerto_spool::clock::{Clock as _, SystemClock};

use crate::check::{
    Asked, Check, Context, Greeting, Report, Status, Trial, World, blocklist_test_points, judge,
    run,
};
use crate::config::Config;

pub(super) const V4: &str = "192.0.2.10";
pub(super) const V6: &str = "2001:db8::10";
pub(super) const KEY: &str = "s1._domainkey.example.com";

type Question = (IpAddr, String, RecordType);

/// A table for the resolver, and what single name servers say otherwise.
pub(super) struct Made {
    pub(super) table: Table,
    pub(super) servers: HashMap<Question, Result<Vec<Record>, DnsError>>,
    pub(super) greetings: HashMap<IpAddr, Greeting>,
    pub(super) config: Config,
    pub(super) egress: Vec<IpAddr>,
    pub(super) record: String,
    /// The TXT record of every name of the domain that does not exist.
    pub(super) wildcard: Option<String>,
    /// Nothing that is asked of the DNS is answered.
    pub(super) silent: bool,
    /// What our own resolver makes up about this machine.
    pub(super) invented: Table,
    /// Where the command `sendmail` leads that is not ours.
    pub(super) sendmail: Option<String>,
    /// What came of a conversation with the relayhost.
    pub(super) trial: Trial,
    /// Resolvers of this machine, where there are several.
    pub(super) resolvers: Vec<SocketAddr>,
    pub(super) directory: tempfile::TempDir,
}

impl Dns for Made {
    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Answer, DnsError> {
        if self.silent {
            return Err(DnsError::Timeout);
        }
        if let Ok(answer) = self.invented.lookup(name, kind).await {
            return Ok(answer);
        }
        let answer = self.table.lookup(name, kind).await;
        match (&self.wildcard, &answer) {
            (Some(text), Err(DnsError::NoSuchDomain))
                if kind == RecordType::Txt && name.ends_with(".example.com") =>
            {
                let records = vec![Record::Txt(text.as_bytes().to_vec())];
                Ok(Answer { records, ttl: 300, validated: false, alias_of: None })
            }
            _ => answer,
        }
    }
}

impl World for Made {
    async fn undistorted(&self, name: &str, kind: RecordType) -> Result<Answer, DnsError> {
        if self.silent {
            return Err(DnsError::Timeout);
        }
        self.table.lookup(name, kind).await
    }

    async fn relay_trial(&self) -> Trial {
        self.trial.clone()
    }

    fn resolvers(&self) -> Vec<SocketAddr> {
        self.resolvers.clone()
    }

    async fn ask_resolver(
        &self,
        resolver: SocketAddr,
        name: &str,
        kind: RecordType,
    ) -> Result<Answer, DnsError> {
        self.ask_server(resolver.ip(), name, kind).await
    }

    fn foreign_sendmail(&self) -> Option<String> {
        self.sendmail.clone()
    }

    async fn ask_server(
        &self,
        server: IpAddr,
        name: &str,
        kind: RecordType,
    ) -> Result<Answer, DnsError> {
        match self.servers.get(&(server, name.to_owned(), kind)) {
            Some(Ok(records)) => {
                Ok(Answer { records: records.clone(), ttl: 300, validated: false, alias_of: None })
            }
            Some(Err(error)) => Err(error.clone()),
            None => self.lookup(name, kind).await,
        }
    }

    async fn greeting(&self, peer: SocketAddr, _: Option<IpAddr>) -> Greeting {
        self.greetings.get(&peer.ip()).cloned().unwrap_or(Greeting::TimedOut)
    }
}

impl Made {
    /// A world in which all is well.
    pub(super) fn healthy() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::for_tests(directory.path());
        config.delivery.allow_private = false;
        let record = write_key(&config.dkim_directory, "example.com");
        let mut table = Table::new();
        let (v4, v6) = (V4.parse().unwrap(), V6.parse().unwrap());
        table.address("mail.example.com", v4).address("mail.example.com", v6);
        for address in [v4, v6] {
            let name = Record::Name("mail.example.com".to_owned());
            table.add(&reverse_name(address), RecordType::Ptr, name);
        }
        table.mx("example.com", 10, "mail.example.com");
        table.add("example.com", RecordType::Soa, Record::Soa(7, String::new()));
        for (server, address) in
            [("ns1", "192.0.2.51"), ("ns2", "192.0.2.52"), ("ns3", "192.0.2.53")]
        {
            let name = format!("{server}.example.com");
            table.add("example.com", RecordType::Ns, Record::Name(name.clone()));
            table.address(&name, address.parse().unwrap());
        }
        table.txt("example.com", &format!("v=spf1 ip4:{V4} ip6:{V6} -all"));
        table.txt("mail.example.com", "v=spf1 a -all");
        table.txt(KEY, &record);
        table.txt("_dmarc.example.com", "v=DMARC1; p=none; rua=mailto:postmaster@example.com");
        Self {
            table,
            servers: HashMap::new(),
            greetings: HashMap::new(),
            config,
            egress: vec![v4, v6],
            record,
            wildcard: None,
            silent: false,
            resolvers: vec![([127, 0, 0, 1], 53).into()],
            invented: Table::new(),
            sendmail: None,
            trial: Trial::NotTried(None),
            directory,
        }
    }

    /// Puts one record in the place of all that a name has.
    pub(super) fn set_txt(&mut self, name: &str, text: &str) -> &mut Self {
        self.absent(name, RecordType::Txt);
        self.table.txt(name, text);
        self
    }

    pub(super) fn absent(&mut self, name: &str, kind: RecordType) -> &mut Self {
        self.table.fail(name, kind, DnsError::NoRecords);
        self
    }

    /// Lets one name server answer every question so.
    pub(super) fn all_of(&mut self, server: &str, answer: &Result<Vec<Record>, DnsError>) {
        let server: IpAddr = server.parse().unwrap();
        for (name, kind) in [
            ("example.com", RecordType::Mx),
            ("example.com", RecordType::Txt),
            ("example.com", RecordType::Soa),
            ("example.com", RecordType::Ns),
            ("_dmarc.example.com", RecordType::Txt),
            (KEY, RecordType::Txt),
        ] {
            self.servers.insert((server, name.to_owned(), kind), answer.clone());
        }
    }

    /// The blocklists answer their tests and list nobody.
    pub(super) fn with_lists(mut self) -> Self {
        for name in blocklist_test_points() {
            self.table.address(&name, [127, 0, 0, 2].into());
        }
        self
    }

    /// Hosts that records of tests may name.
    pub(super) fn with_hosts(mut self) -> Self {
        for number in 0..11 {
            self.table.address(&format!("h{number}.example"), [198, 51, 100, number].into());
        }
        self
    }

    pub(super) fn set_pointer(&mut self, address: &str, name: &str) -> &mut Self {
        let address = address.parse().unwrap();
        self.absent(&reverse_name(address), RecordType::Ptr);
        self.table.add(&reverse_name(address), RecordType::Ptr, Record::Name(name.to_owned()));
        self.table.address(name, address);
        self
    }

    /// The large receivers, as the check of port 25 knows them.
    pub(super) fn with_receivers(mut self, greeting: impl Fn(&str) -> Greeting) -> Self {
        for (domain, host, address) in [
            ("gmail.com", "mx.google.com", "198.51.100.1"),
            ("outlook.com", "mx.outlook.com", "198.51.100.2"),
            ("yahoo.com", "mx.yahoodns.net", "198.51.100.3"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            self.table.mx(domain, 10, host);
            self.table.address(host, address);
            self.greetings.insert(address, greeting(host));
        }
        self
    }

    pub(super) async fn check(&self) -> Vec<Check> {
        self.check_in(&self.egress).await
    }

    /// A second domain of the same server.
    pub(super) fn add_domain(&mut self, domain: &str, spf: &str) {
        let record = write_key(&self.config.dkim_directory, domain);
        let table = &mut self.table;
        table.txt(domain, spf).mx(domain, 10, "mail.example.com");
        table.add(domain, RecordType::Soa, Record::Soa(7, String::new()));
        table.add(domain, RecordType::Ns, Record::Name("ns1.example.com".to_owned()));
        table.txt(&format!("s1._domainkey.{domain}"), &record);
        let policy = format!("v=DMARC1; p=none; rua=mailto:postmaster@{domain}");
        table.txt(&format!("_dmarc.{domain}"), &policy);
    }

    /// All domains of the configuration.
    pub(super) async fn judge_all(&self) -> Report {
        let asked = Asked { domain: None, egress: self.egress.clone() };
        judge(self, &self.config, (asked, now()), &[], &|_| {}).await
    }

    /// All checks, those that ask the blocklists too.
    pub(super) async fn check_all(&self) -> Vec<Check> {
        let asked = Asked { domain: None, egress: self.egress.clone() };
        let context = Context::gather(self, &self.config, asked, now()).await;
        run(&context, &[], &|_| {}).await
    }

    pub(super) async fn check_in(&self, egress: &[IpAddr]) -> Vec<Check> {
        let asked = Asked { domain: None, egress: egress.to_vec() };
        let context = Context::gather(self, &self.config, asked, now()).await;
        run(&context, &families(), &|_| {}).await
    }
}

// Keys are as old as their files.
fn now() -> i64 {
    SystemClock.now().as_secs()
}

// The families that ask nobody but the DNS and port 25.
fn families() -> Vec<String> {
    ["net", "helo", "ptr", "dns", "spf", "dkim", "dmarc"].map(str::to_owned).to_vec()
}

/// Writes a key's file; returns its record.
pub(super) fn write_key(directory: &Path, domain: &str) -> String {
    // A key takes a second to make where nothing is optimized.
    static PEM: OnceLock<String> = OnceLock::new();
    let pem = PEM.get_or_init(|| PrivateKey::generate(Algorithm::RsaSha256).unwrap());
    let file = directory.join(domain).join("s1.pem");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, pem).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    PrivateKey::from_pem(pem).unwrap().record_text()
}

/// The record of another key.
pub(super) fn other_record() -> String {
    static RECORD: OnceLock<String> = OnceLock::new();
    let make = || {
        let pem = PrivateKey::generate(Algorithm::RsaSha256).unwrap();
        PrivateKey::from_pem(&pem).unwrap().record_text()
    };
    RECORD.get_or_init(make).clone()
}

/// `ID SUBJECT` of each check with this status.
pub(super) fn with_status(checks: &[Check], status: Status) -> Vec<String> {
    let some = checks.iter().filter(|check| check.status == status);
    some.map(|check| format!("{} {}", check.id(), check.subject)).collect()
}
