//! From an address to a session that is ready for MAIL: TCP, greeting, EHLO, TLS,
//! AUTH.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use puerto_mail::dns::is_at_or_below;
use puerto_smtp::client::{Cause as Reason, Credentials, Failure, Loss, Protocol, Stage, Step};
use puerto_smtp::limits::ClientTimeouts;
use puerto_smtp::{Domain, EnhancedCode};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::outcome::{HostFailure, Peer, Why, cause_of};
use super::session::Session;
use super::stream::{self, Stream};
use crate::cause::Cause;
use crate::config::{Config, Login, Source};
use crate::rights;
use crate::route::{Exchangers, Hop, Plan};
use crate::telemetry::Verified;
use crate::tls::{self, Acquainted, Agreed, ClientTls, Inspection};
use crate::transport::{Demand, Rule};

/// What both sides agreed on, and why it had to be.
type Secured = (Agreed, Cause);

/// What a session needs to be made.
pub(super) struct Terms<'a> {
    /// The configuration in force.
    pub(super) config: &'a Config,
    /// What certificates are taken, and the sessions that can be resumed.
    pub(super) client_tls: &'a ClientTls,
    /// How long each stage may last.
    pub(super) timeouts: ClientTimeouts,
    /// What is demanded of TLS, and why.
    pub(super) rule: Rule,
    /// TLS from the first byte.
    pub(super) implicit_tls: bool,
    /// The address that we come from, where it is not the usual one.
    pub(super) source: Option<&'a Source>,
    /// Who we say we are.
    pub(super) login: Option<&'a Login>,
    /// Whose MX records named the peer, if it is a relay.
    pub(super) exchangers_of: Option<&'a Exchangers>,
    /// Where what is seen of the peer's certificate is put: it is then only looked
    /// at, and any is taken.
    pub(super) inspection: Option<&'a Inspection>,
}

impl<'a> Terms<'a> {
    /// What a plan and the configuration say.
    pub(super) fn of(
        plan: &'a Plan,
        config: &'a Config,
        client_tls: &'a ClientTls,
        timeouts: ClientTimeouts,
    ) -> Self {
        Self {
            config,
            client_tls,
            timeouts,
            rule: Rule::of_level(plan.tls),
            implicit_tls: plan.implicit_tls,
            source: plan.leaving.as_ref().map(|leaving| &leaving.source),
            login: plan.login.as_ref(),
            exchangers_of: plan.exchangers_of.as_ref(),
            inspection: None,
        }
    }
}

impl Terms<'_> {
    /// The same for one host of the plan, which may demand more.
    pub(super) fn at(&self, hop: &Hop) -> Self {
        let rule = hop.rule.as_deref().unwrap_or(&self.rule).clone();
        Self { rule, ..*self }
    }

    /// Opens a session that is ready for MAIL. With `plain`, TLS is not tried.
    pub(super) async fn open(&self, peer: &Peer, plain: bool) -> Result<Box<Session>, HostFailure> {
        let demanded = self.rule.demand.is_mandatory().then(|| self.rule.reason.clone());
        let opened = self.try_to_open(peer, plain).await;
        opened.map_err(|failure| HostFailure { tls_reason: demanded, ..failure })
    }

    async fn try_to_open(&self, peer: &Peer, plain: bool) -> Result<Box<Session>, HostFailure> {
        let mut session = self.greet(peer).await?;
        match self.prepare(&mut session, plain).await {
            Ok(()) => Ok(session),
            Err(failure) => {
                session.leave();
                Err(failure)
            }
        }
    }

    async fn prepare(&self, session: &mut Session, plain: bool) -> Result<(), HostFailure> {
        if session.connection.is_encrypted() {
            // By implicit TLS.
        } else if self.rule.demand == Demand::None || plain {
            session.tls_reason = Some(Cause::WithoutTls {});
        } else {
            self.encrypt(session).await?;
        }
        match self.login {
            Some(login) => authenticate(session, login).await,
            None => Ok(()),
        }
    }

    /// The name in EHLO.
    pub(super) fn helo(&self) -> &str {
        self.source.map_or(&self.config.delivery.helo, |source| &source.helo)
    }

    /// The address that a peer is gone to from, if it is not the kernel's to choose.
    pub(super) fn source(&self, peer: SocketAddr) -> Option<IpAddr> {
        match self.source {
            Some(source) => source.towards(peer),
            None => stream::source_address(peer, &self.config.delivery),
        }
    }

    /// Opens a session up to the reply to EHLO.
    pub(super) async fn greet(&self, peer: &Peer) -> Result<Box<Session>, HostFailure> {
        let (stream, secured) = self.connect(peer).await?;
        let name = own_name(self.helo());
        let mut session = Session::new(peer.clone(), stream, Protocol::Smtp, name, self.timeouts);
        (session.tls, session.tls_reason) = secured.unzip();
        session.verified = self.verified();
        get_ready_or_leave(session).await
    }

    /// What a handshake by these terms says of the peer.
    fn verified(&self) -> Verified {
        match (self.inspection, &self.rule.demand, self.login) {
            (Some(_), ..) => Verified::No,
            (None, Demand::Dane(_), _) => Verified::Dane,
            (None, Demand::Verified, _) => Verified::Certificate,
            (None, _, Some(_)) => Verified::Known,
            (None, _, None) => Verified::No,
        }
    }

    async fn connect(&self, peer: &Peer) -> Result<(Stream, Option<Secured>), HostFailure> {
        let connecting = async {
            let address = peer.address.ok_or(io::ErrorKind::AddrNotAvailable)?;
            stream::connect(address, self.source(address), &self.config.delivery).await
        };
        let stream = connected(peer, self.timeouts.connect, connecting).await?;
        if !self.implicit_tls {
            return Ok((Stream::Plain(stream), None));
        }
        let (stream, tls) = self.handshake(peer, stream).await?;
        Ok((stream, Some(tls)))
    }

    /// STARTTLS, if it is offered; an error if it had to be.
    pub(super) async fn encrypt(&self, session: &mut Session) -> Result<(), HostFailure> {
        let required = self.rule.demand.is_mandatory();
        if !session.connection.extensions().starttls {
            if !required {
                session.tls_reason = Some(self.rule.demand.plain(Cause::PlainNotOffered {}));
                return Ok(());
            }
            let cause = Cause::NoTls { host: session.peer.name.clone() };
            return Err(HostFailure::new(&session.peer, (4, 7, 4), cause, Why::NoTls));
        }
        session.connection.start_tls();
        match session.next_step().await {
            Step::Handshake => {}
            Step::Refused(failure) if required => {
                let refused = HostFailure::of_session(&session.peer, &failure);
                return Err(HostFailure { status: EnhancedCode::new(4, 7, 4), ..refused });
            }
            Step::Refused(failure) => {
                let refused = cause_of(&session.peer.name, &failure, 0);
                let why = Cause::PlainBecause { why: Box::new(refused.clone()) };
                session.tls_reason = Some(self.rule.demand.plain(why));
                session.without_tls = Some(refused);
                return get_ready(session).await;
            }
            step => return Err(tls_failure(&session.peer, step)),
        }
        let Stream::Plain(stream) = std::mem::replace(&mut session.stream, Stream::Gone) else {
            return Err(tls_failure(&session.peer, Step::Closed));
        };
        let (stream, (tls, reason)) = self.handshake(&session.peer, stream).await?;
        session.stream = stream;
        (session.tls, session.tls_reason) = (Some(tls), Some(reason));
        session.connection.tls_established();
        // With TLS 1.3 a peer's refusal of the handshake comes behind it.
        get_ready(session)
            .await
            .map_err(|failure| HostFailure { tls_broke: failure.reply.is_none(), ..failure })
    }

    async fn handshake(
        &self,
        peer: &Peer,
        stream: TcpStream,
    ) -> Result<(Stream, Secured), HostFailure> {
        let as_whom = self.identity(peer);
        let broke = |status, why: Cause| {
            let cause = Cause::TlsFailed { host: peer.name.clone(), why: Box::new(why.clone()) };
            let failure = HostFailure::new(peer, status, cause, Why::Handshake(why));
            HostFailure { tls_broke: true, ..failure }
        };
        let connector = self.connector(&as_whom).await;
        let connector = connector.map_err(|error| broke((4, 3, 5), Cause::words(error)))?;
        let ip = peer.address.map(|address| ServerName::from(address.ip()));
        // RFC 7672 §8.1: the records are for this name, and so is the certificate.
        let certified = match &self.rule.demand {
            Demand::Dane(dane) => &*dane.base,
            _ => as_whom.certified,
        };
        let name = ServerName::try_from(certified.to_owned()).ok().or(ip);
        let Some(name) = name else {
            return Err(broke((4, 7, 5), Cause::UnverifiableName {}));
        };
        let shaking = connector.connect(name.clone(), stream);
        match timeout(self.timeouts.tls_handshake, shaking).await {
            Ok(Ok(stream)) => {
                let (_, agreed) = stream.get_ref();
                self.note_key(as_whom.remembered, agreed.peer_certificates());
                let reason = self.reason(agreed.peer_certificates(), &name);
                let agreed = Agreed::of(agreed);
                Ok((Stream::Tls(Box::new(stream)), (agreed, reason)))
            }
            Ok(Err(error)) if as_whom.is_named => {
                let failure = broke((4, 7, 5), tls::handshake_failure(&error));
                let is_uncertified = tls::is_certificates_fault(&error);
                Err(HostFailure { is_uncertified, ..failure })
            }
            Ok(Err(error)) => {
                let why = Box::new(tls::handshake_failure(&error));
                let (relay, host) = (as_whom.certified.to_owned(), peer.host.to_string());
                Err(broke((4, 7, 5), Cause::ForgeableName { why, relay, host }))
            }
            Err(_elapsed) => Err(broke((4, 7, 5), Cause::HandshakeTimedOut {})),
        }
    }

    // With the record that was met, where one had to be, or what a policy that is tried out
    // would have come to.
    fn reason(&self, chain: Option<&[CertificateDer<'_>]>, name: &ServerName<'_>) -> Cause {
        let chain = chain.unwrap_or_default();
        let found = match &self.rule.demand {
            Demand::Dane(dane) => {
                dane.record_met(chain).ok().map(|record| Cause::DaneMatched { record })
            }
            Demand::Watched => self.client_tls.verdict(chain, name).map(|verdict| match verdict {
                Ok(()) => Cause::StsTestPassed {},
                Err(why) => Cause::StsTestFailed { why: Box::new(why) },
            }),
            _ => None,
        };
        found.unwrap_or_else(|| self.rule.reason.clone())
    }

    // The host has proved that it holds the key. Nothing waits for the file: a key that
    // was not saved is seen for the first time again.
    fn note_key(&self, host: &str, certificates: Option<&[CertificateDer<'_>]>) {
        let wants_password = self.login.is_some() && self.inspection.is_none();
        let (true, Some([own, ..])) = (wants_password, certificates) else { return };
        let keys = self.client_tls.keys();
        keys.remember(host, own);
        if keys.is_unsaved() {
            let keys = keys.clone();
            drop(tokio::task::spawn_blocking(move || keys.save()));
        }
    }

    /// As whom the peer has to show itself. A password is for the relay that the
    /// administrator wrote: a host that MX records name for it has to be below that name,
    /// or DNSSEC to vouch for the records, or it has to have a certificate for that name;
    /// and the key is remembered under it.
    fn identity<'b>(&'b self, peer: &'b Peer) -> Identity<'b> {
        let host = &*peer.host;
        let written = self.exchangers_of.filter(|_| self.login.is_some());
        let is_named =
            written.is_none_or(|relay| relay.validated || is_at_or_below(host, &relay.of));
        let written = written.map_or(host, |relay| &*relay.of);
        Identity { certified: if is_named { host } else { written }, remembered: written, is_named }
    }

    async fn connector(&self, as_whom: &Identity<'_>) -> Result<TlsConnector, String> {
        let relay =
            Acquainted { name: as_whom.remembered.to_owned(), may_be_new: as_whom.is_named };
        if let Some(inspection) = self.inspection {
            let made = self.client_tls.inspecting(inspection, relay);
            return made.map_err(|error| error.to_string());
        }
        let client_tls = self.client_tls.clone();
        if self.rule.demand == Demand::Watched && !client_tls.has_roots() {
            let client_tls = client_tls.clone();
            // Without roots there is nothing to be told, and the mail goes all the same.
            let _ = from_disk(move || client_tls.read_roots()).await;
        }
        let made = match (&self.rule.demand, self.login) {
            (Demand::Dane(dane), _) => client_tls.dane(dane),
            (Demand::Verified, _) if client_tls.has_roots() => client_tls.verified(),
            (Demand::Verified, _) => from_disk(move || client_tls.verified()).await?,
            (Demand::Watched, None) => client_tls.watched(),
            (_, None) => client_tls.unverified(),
            (_, Some(_)) if client_tls.has_roots_for(&relay) => client_tls.known(relay),
            (_, Some(_)) => from_disk(move || client_tls.known(relay)).await?,
        };
        made.map_err(|error| error.to_string())
    }
}

/// As whom a peer has to show itself.
struct Identity<'a> {
    /// Whom its certificate is to be for.
    certified: &'a str,
    /// The name under which its key is remembered.
    remembered: &'a str,
    /// The administrator's own words lead to it, and not MX records that may be forged.
    is_named: bool,
}

// The system's roots are read from the disk.
async fn from_disk<T: Send + 'static>(
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())
}

/// Waits until a peer is connected to, but no longer than that.
pub(super) async fn connected<S>(
    peer: &Peer,
    wait: Duration,
    connecting: impl Future<Output = io::Result<S>>,
) -> Result<S, HostFailure> {
    let connected = timeout(wait, connecting).await;
    let connected = connected.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()));
    connected.map_err(|error| HostFailure::not_connected(peer, error))
}

/// Brings a session to the point at which nothing is under way.
pub(super) async fn get_ready(session: &mut Session) -> Result<(), HostFailure> {
    let failure = match session.next_step().await {
        Step::Ready => return Ok(()),
        Step::Failed(failure) | Step::Refused(failure) => failure,
        _ => out_of_step(session.connection.stage()),
    };
    Err(HostFailure {
        tls: session.encryption(),
        ..HostFailure::of_session(&session.peer, &failure)
    })
}

/// The same for a session of which nothing is left if that fails.
pub(super) async fn get_ready_or_leave(
    mut session: Box<Session>,
) -> Result<Box<Session>, HostFailure> {
    match get_ready(&mut session).await {
        Ok(()) => Ok(session),
        Err(failure) => {
            session.leave();
            Err(failure)
        }
    }
}

fn out_of_step(stage: Stage) -> Failure {
    Failure { stage, cause: Reason::OutOfStep }
}

fn tls_failure(peer: &Peer, step: Step) -> HostFailure {
    let failure = match step {
        Step::Failed(failure) => failure,
        _ => out_of_step(Stage::StartTls),
    };
    let broke = matches!(failure.cause, Reason::Lost(Loss::Closed | Loss::TimedOut));
    HostFailure { tls_broke: broke, ..HostFailure::of_session(peer, &failure) }
}

/// Says who we are.
pub(super) async fn authenticate(session: &mut Session, login: &Login) -> Result<(), HostFailure> {
    let (peer, tls) = (session.peer.clone(), session.encryption());
    let fail = |status, cause, why| HostFailure {
        tls: tls.clone(),
        ..HostFailure::new(&peer, status, cause, why)
    };
    let file = login.password_file.clone();
    let reading = tokio::task::spawn_blocking(move || rights::read_secret(&file));
    let password = match reading.await.map_err(io::Error::other).and_then(|read| read) {
        Ok(text) => text,
        Err(error) => {
            let file = login.password_file.clone();
            let shown = file.display().to_string();
            let cause = Cause::PasswordUnread { file: shown, error: (&error).into() };
            return Err(fail((4, 3, 5), cause, Why::Password(file, error.into())));
        }
    };
    let password = password.strip_suffix('\n').unwrap_or(&password);
    let password = password.strip_suffix('\r').unwrap_or(password).to_owned();
    let credentials = Credentials { user: login.user.clone(), password };
    if let Err(why) = session.connection.authenticate(&credentials) {
        let (host, user) = (peer.name.clone(), login.user.clone());
        let cause = Cause::NoLogin { host, user, why: why.clone() };
        return Err(fail((4, 7, 0), cause, Why::NoLogin(why)));
    }
    get_ready(session).await
}

/// The name in EHLO. What the configuration holds is checked there; if it is no
/// domain all the same, a literal that means nobody is better than no mail.
pub(super) fn own_name(helo: &str) -> Domain {
    let nobody = || Domain::Literal(std::net::Ipv4Addr::LOCALHOST.into());
    Domain::parse(helo).unwrap_or_else(|_| nobody())
}
