//! A made-up Internet for tests of the checks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use puerto_mail::dns::{Answer, Dns, DnsError, RecordType, Table, block_on};
use rustls::pki_types::CertificateDer;

use crate::check::context::{Asked, Context};
use crate::check::outcome::{Check, Status};
use crate::check::starttls::Starttls;
use crate::check::world::World;
use crate::check::{Greeting, Page};
use crate::config::Config;
use crate::lang::Said;

/// A made-up Internet that remembers what it was asked.
#[derive(Debug, Default)]
pub(in crate::check) struct Made {
    pub(in crate::check) table: Table,
    pub(in crate::check) asked: Mutex<Vec<String>>,
    pub(in crate::check) page: Option<Page>,
    /// What port 25 of our own hosts shows.
    pub(in crate::check) certificates: Option<Result<Vec<CertificateDer<'static>>, Starttls>>,
}

impl Dns for Made {
    async fn lookup(&self, name: &str, record_type: RecordType) -> Result<Answer, DnsError> {
        self.asked.lock().unwrap().push(name.to_owned());
        self.table.lookup(name, record_type).await
    }
}

impl World for Made {
    fn resolvers(&self) -> Vec<SocketAddr> {
        vec![([192, 0, 2, 53], 53).into()]
    }

    async fn ask_server(
        &self,
        _: IpAddr,
        name: &str,
        record_type: RecordType,
    ) -> Result<Answer, DnsError> {
        self.table.lookup(name, record_type).await
    }

    async fn page(&self, _: &str, _: &str) -> Page {
        self.page.clone().unwrap_or(Page::NoHost)
    }

    async fn certificates(
        &self,
        _: SocketAddr,
        _: (&str, &str),
    ) -> Result<Vec<CertificateDer<'static>>, Starttls> {
        let silence = || Err(Starttls::NotTried(Said::words("nobody listens")));
        self.certificates.clone().unwrap_or_else(silence)
    }

    async fn greeting(&self, _: SocketAddr, _: Option<IpAddr>) -> Greeting {
        Greeting::TimedOut
    }
}

impl Made {
    /// Adds an A or AAAA record.
    pub(in crate::check) fn answer(&mut self, name: &str, address: [u8; 4]) {
        self.table.address(name, address.into());
    }

    /// Judges example.com, sent from 192.0.2.7 and 2001:db8::7 as mail.example.com.
    pub(in crate::check) fn judge(
        &self,
        change: impl FnOnce(&mut Context<'_, Self>),
        run: impl FnOnce(&Context<'_, Self>) -> Option<Vec<Check>>,
    ) -> Vec<Check> {
        let dir = tempfile::tempdir().unwrap();
        self.judge_with(&Config::for_tests(dir.path()), change, run)
    }

    /// The same with another configuration.
    pub(in crate::check) fn judge_with(
        &self,
        config: &Config,
        change: impl FnOnce(&mut Context<'_, Self>),
        run: impl FnOnce(&Context<'_, Self>) -> Option<Vec<Check>>,
    ) -> Vec<Check> {
        let egress = vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        let asked = Asked { domain: None, egress };
        let gathered = Context::gather(self, config, asked, NOW);
        let mut context = block_on(gathered).unwrap();
        change(&mut context);
        run(&context).unwrap()
    }
}

/// 25 November 2026, after the certificate of the tests began.
pub(in crate::check) const NOW: i64 = 1_795_600_000;

/// What is not as it should be, as `id status severity subject`.
pub(in crate::check) fn troubles(checks: &[Check]) -> Vec<String> {
    let wrong = checks.iter().filter(|c| !matches!(c.status, Status::Pass | Status::NotApplicable));
    wrong
        .map(|c| {
            let (status, severity) = (c.status.as_str(), c.severity.as_str());
            format!("{} {status} {severity} {}", c.id(), c.subject)
        })
        .collect()
}
