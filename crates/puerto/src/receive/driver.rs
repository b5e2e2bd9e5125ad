//! Drives one session from its greeting to its end.

use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use puerto_smtp::extension::Extensions;
use puerto_smtp::limits::ServerTimeouts;
use puerto_smtp::server::{Action, Refusal, Session, Settings};
use puerto_smtp::{Address, Domain, Envelope, Reply, ReversePath};
use puerto_spool::{Content, Draft, Hindrance, MessageId, SpoolError};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::census::Place;
use super::connection::Connection;
use super::listen::HURRY;
use super::login::{self, Conversation};
use super::policy::{Need, Policy};
use super::{Context, Service};
use crate::accounts::Login;
use crate::alarm::{Alarm, in_time};
use crate::config::Config;
use crate::intake::{self, Source};
use crate::local::Standing;
use crate::recipients::{Answer, Recipients};
use crate::telemetry::{Claims, Client, Event, LocalOrigin, Process, Reject};

/// Octets that are read at once where a command is expected; pipelined content may
/// follow it, but most sessions that wait, wait here.
const COMMAND_READ: usize = 4 * 1024;
/// The same within content: as much as has come already, between these bounds.
const CONTENT_READ: (usize, usize) = (8 * 1024, 32 * 1024);
/// How long a client may take to close in its turn.
const LINGER: Duration = Duration::from_secs(2);
/// Octets a second that a stranger's content has to come at, on average and after a first
/// time: a modem of the nineties did more.
const LEAST_RATE: u64 = 1000;
/// How long a client may say nothing once the server stops.
const SILENCE: Duration = Duration::from_secs(1);

/// Who is at the other end.
#[derive(Debug, Clone)]
pub(super) enum Peer {
    /// A client on the network.
    Client(SocketAddr),
    /// A user of this machine.
    User { uid: u32, name: String, process: Process },
}

/// A connection that was let in.
pub(super) struct Arrival {
    pub(super) connection: Connection,
    pub(super) peer: Peer,
    pub(super) client: Client,
    pub(super) service: Service,
    pub(super) policy: Policy,
    /// The configuration that holds for this session.
    pub(super) config: Arc<Config>,
    /// Its place among the others.
    pub(super) place: Place,
    pub(super) timeouts: ServerTimeouts,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Continue,
    End,
}

/// One session and everything that belongs to it.
pub(super) struct Driver {
    pub(super) context: Arc<Context>,
    pub(super) arrival: Arrival,
    pub(super) session: Session,
    shutdown: watch::Receiver<bool>,
    tls: Option<String>,
    /// A login that is under way, and who has logged in.
    pub(super) conversation: Option<Conversation>,
    pub(super) login: Option<Login>,
    pub(super) failed_logins: u32,
    /// When waiting for the client ends. Octets that complete nothing do not move it.
    deadline: Option<Instant>,
    alarm: Alarm,
    /// When the content began to come, and how much has come.
    content: Option<(Instant, u64)>,
    draft: Option<Box<dyn Draft>>,
    id: Option<MessageId>,
}

impl Driver {
    /// A session that has not begun.
    pub(super) fn new(
        context: Arc<Context>,
        arrival: Arrival,
        shutdown: watch::Receiver<bool>,
    ) -> Self {
        let starttls = matches!(arrival.peer, Peer::Client(_))
            && arrival.service != Service::Submissions
            && context.tls.is_available();
        let session = Session::new(settings(&arrival, starttls));
        Self {
            context,
            arrival,
            session,
            shutdown,
            tls: None,
            conversation: None,
            login: None,
            failed_logins: 0,
            deadline: None,
            alarm: Alarm::default(),
            content: None,
            draft: None,
            id: None,
        }
    }

    /// Serves the client until one of the two has had enough.
    pub(super) async fn run(&mut self) {
        let is_client = matches!(self.arrival.peer, Peer::Client(_));
        if is_client {
            self.log(&Event::Connect { client: &self.arrival.client });
        }
        if self.begin().await == Flow::Continue {
            while self.step().await == Flow::Continue {}
            // A client that does not close in its turn is not waited for any longer.
            let _ = timeout(LINGER, self.arrival.connection.close()).await;
        }
        self.forget_draft();
        if is_client {
            let commands = self.session.command_counts();
            self.log(&Event::Disconnect { client: &self.arrival.client, commands: &commands });
        }
    }

    /// What comes before the greeting.
    async fn begin(&mut self) -> Flow {
        if self.arrival.service == Service::Submissions {
            if self.handshake().await == Flow::End {
                return Flow::End;
            }
            self.session.tls_from_start();
            self.offer_logins();
        } else if !self.arrival.policy.is_trusted() {
            let mut early = Vec::with_capacity(512);
            if let Ok(1..) = self.arrival.connection.read_now(&mut early) {
                self.session.feed(&early);
            }
        }
        Flow::Continue
    }

    async fn step(&mut self) -> Flow {
        let action = self.session.poll();
        if !matches!(action, Action::Read) {
            self.deadline = None;
        }
        match action {
            Action::Read => return self.read().await,
            Action::Write(bytes) => {
                let writing = self.arrival.connection.write(bytes);
                let result = in_time(self.arrival.timeouts.write, writing).await;
                return if matches!(result, Ok(Ok(()))) { Flow::Continue } else { self.lost() };
            }
            Action::AskMail { envelope, .. } => {
                let from = envelope.reverse_path.clone();
                if self.login.is_none() || Box::pin(self.still_logged_in()).await {
                    self.decide_mail(&from);
                }
            }
            Action::AskRecipient { envelope, recipient } => {
                let (from, to) = (&envelope.reverse_path, &recipient.address);
                let verdict = judge(&self.arrival, &self.context.recipients, to).await;
                let verdict = verdict.map_err(|reply| (reply, from.clone(), to.clone()));
                self.decide_recipient(verdict);
            }
            Action::BeginContent(envelope) => {
                let from = envelope.reverse_path.clone();
                self.begin_content(&from);
            }
            // Octets that came without a draft are missed at the end.
            Action::Content(octets) => {
                if self.draft.as_mut().is_some_and(|draft| draft.hold(octets)) {
                    self.spill().await;
                }
            }
            Action::EndContent(envelope) => self.end_content(envelope).await,
            Action::DiscardContent(_) => {
                self.forget_draft();
                self.id = None;
            }
            Action::Refused(Refusal { stage, reply, from }) => {
                self.reject(stage, &reply, from.as_ref(), None);
            }
            Action::StartTls => {
                if self.handshake().await == Flow::End {
                    return Flow::End;
                }
                self.session.tls_established();
                self.offer_logins();
            }
            Action::BeginAuth { mechanism, initial } => {
                let initial = initial.map(<[u8]>::to_vec);
                self.conversation = Some(Conversation::new(mechanism));
                Box::pin(self.converse(initial)).await;
            }
            Action::ContinueAuth(response) => {
                let response = Some(response.to_vec());
                Box::pin(self.converse(response)).await;
            }
            Action::Close => return Flow::End,
        }
        Flow::Continue
    }

    async fn read(&mut self) -> Flow {
        let idle = !self.session.in_transaction();
        let stopping = *self.shutdown.borrow();
        if idle && stopping {
            self.say_goodbye();
            return Flow::Continue;
        }
        let in_content = self.session.in_content();
        self.arrival.place.is_busy(in_content);
        let mut deadline = self.deadline(in_content);
        if stopping {
            deadline = deadline.min(Instant::now() + SILENCE);
        }
        let (room, has_to_go) = (self.room(in_content), self.arrival.place.has_to_go());
        let reading = self.arrival.connection.read(self.session.input(room));
        tokio::select! {
            biased;
            result = reading => match (result, &mut self.content) {
                (Ok(0) | Err(_), _) => return self.lost(),
                (Ok(count), Some((_, octets))) if in_content => *octets += count as u64,
                (Ok(_), _) => {}
            },
            () = ready(()), if !in_content && has_to_go => return self.make_room(),
            () = self.arrival.place.rung() => {}
            // Who is in the middle of something may end it, but not keep us waiting for it.
            () = self.alarm.wait_until(deadline) => if stopping { self.say_goodbye() } else {
                let what = format!("timeout after {}", self.session.stage());
                self.problem(&what);
                let text = format!("{} Error: timeout exceeded", self.arrival.config.hostname);
                self.session.close_with(&Reply::enhanced(421, (4, 4, 2), text));
            }
        }
        Flow::Continue
    }

    /// How many octets are read at once. Most messages are small.
    fn room(&self, in_content: bool) -> usize {
        let (least, most) = CONTENT_READ;
        match self.content.filter(|_| in_content) {
            Some((_, octets)) => usize::try_from(octets).unwrap_or(most).clamp(least, most),
            None => COMMAND_READ,
        }
    }

    /// When waiting for the client ends. Strangers get less time where it is crowded, and
    /// their content has to come at the least rate.
    fn deadline(&mut self, in_content: bool) -> Instant {
        let Arrival { timeouts, place, config, policy, .. } = &self.arrival;
        let hurry = if place.is_crowded(&config.limits) { HURRY } else { 1 };
        let patience = if in_content { timeouts.data } else { timeouts.command } / hurry;
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + patience);
        match self.content.filter(|_| in_content && !policy.is_trusted()) {
            Some((begun, octets)) => {
                let enough = timeouts.data / hurry + Duration::from_secs(octets / LEAST_RATE);
                deadline.min(begun + enough)
            }
            None => deadline,
        }
    }

    /// Others wait for this place, and nothing goes on here. Nobody waits for the client
    /// to take our word for it.
    fn make_room(&mut self) -> Flow {
        self.problem("closed, since it was idle and others waited");
        let text = format!("{} Error: too many connections, and yours was idle", self.hostname());
        self.arrival.connection.turn_away(&Reply::enhanced(421, (4, 7, 0), text));
        self.arrival.connection = Connection::Gone;
        Flow::End
    }

    fn hostname(&self) -> &str {
        &self.arrival.config.hostname
    }

    fn say_goodbye(&mut self) {
        let text = format!("{} Service closing: try again soon", self.arrival.config.hostname);
        self.session.close_with(&Reply::enhanced(421, (4, 3, 2), text));
    }

    async fn handshake(&mut self) -> Flow {
        let Some(acceptor) = self.context.tls.acceptor() else {
            self.problem("no certificate is configured: TLS cannot be offered");
            return Flow::End;
        };
        let handshake = self.arrival.connection.start_tls(&acceptor);
        let result = tokio::select! {
            result = timeout(self.arrival.timeouts.tls_handshake, handshake) => result,
            () = self.arrival.place.is_wanted() => return Flow::End,
        };
        let what = match result {
            Ok(Ok(summary)) => {
                self.tls = Some(summary);
                return Flow::Continue;
            }
            Ok(Err(error)) => format!("TLS handshake failed: {error}"),
            Err(_) => "timeout in the TLS handshake".to_owned(),
        };
        self.problem(&what);
        Flow::End
    }

    fn decide_mail(&mut self, from: &ReversePath) {
        let Arrival { policy, config, .. } = &self.arrival;
        let allowed = policy.mail(config, from, self.tls.is_some()).and_then(|()| {
            let source = policy.is_trusted().then(|| self.source(false));
            let may_send = |source| self.context.intake.may_send(&source, from);
            source.map_or(Ok(()), may_send).map_err(|refusal| refusal.reply)
        });
        // A store that takes nothing says so now, before the client sends it all.
        let verdict = match allowed {
            Ok(()) if self.draft.is_some() => Ok(()),
            Ok(()) => self.open_draft(),
            Err(reply) => Err(reply),
        };
        match verdict {
            Ok(()) => {
                self.arrival.place.progress();
                self.session.accept();
            }
            Err(reply) => {
                self.reject("MAIL", &reply, Some(from), None);
                self.session.answer(&reply);
            }
        }
    }

    fn decide_recipient(&mut self, verdict: Result<(), (Reply, ReversePath, Address)>) {
        match verdict {
            Ok(()) => {
                self.arrival.place.progress();
                self.session.accept();
            }
            Err((reply, from, to)) => {
                self.reject("RCPT", &reply, Some(&from), Some(&to));
                self.session.answer(&reply);
            }
        }
    }

    fn open_draft(&mut self) -> Result<(), Reply> {
        let draft = self.context.intake.draft().map_err(|refusal| refusal.reply)?;
        self.draft = Some(draft);
        Ok(())
    }

    fn begin_content(&mut self, from: &ReversePath) {
        // A transaction that was taken back may have left its draft, still empty.
        let usable = self.draft.as_ref().is_some_and(|draft| draft.is_empty());
        if let Err(reply) = if usable { Ok(()) } else { self.open_draft() } {
            self.reject("DATA", &reply, Some(from), None);
            return self.session.answer(&reply);
        }
        self.id = Some(self.context.intake.new_id());
        self.content = Some((Instant::now(), 0));
        self.arrival.place.progress();
        self.session.accept();
    }

    /// Has what memory cannot hold written to the disk; nothing more of this message is
    /// read until it is there.
    async fn spill(&mut self) {
        let Some(mut draft) = self.draft.take() else { return };
        let spilled = aside(move || {
            let result = draft.spill();
            if result.is_err() {
                drop(draft);
                return result.map(|()| None);
            }
            Ok(Some(draft))
        });
        match spilled.await {
            Ok(draft) => self.draft = draft,
            Err(error) => self.session.refuse_content(intake::Refusal::from(error).reply),
        }
    }

    /// Takes the file of a large draft away.
    fn forget_draft(&mut self) {
        if let Some(draft) = self.draft.take().filter(|draft| draft.is_on_disk()) {
            tokio::task::spawn_blocking(move || drop(draft));
        }
    }

    async fn end_content(&mut self, envelope: Envelope) {
        let id = self.id.unwrap_or_else(|| self.context.intake.new_id());
        let from = envelope.reverse_path.clone();
        let result = match finish(self.draft.take()).await {
            Ok(content) => self.hand_over(id, envelope, content).await,
            Err(error) => Err(intake::Refusal::from(error)),
        };
        match result {
            Ok(accepted) => {
                let text = format!("Ok: queued as {}", accepted.id);
                self.session.answer(&Reply::enhanced(250, (2, 0, 0), text));
            }
            Err(refusal) => {
                self.reject("END-OF-MESSAGE", &refusal.reply, Some(&from), None);
                self.session.answer(&refusal.reply);
            }
        }
        (self.id, self.content) = (None, None);
        self.arrival.place.progress();
    }

    async fn hand_over(
        &mut self,
        id: MessageId,
        envelope: Envelope,
        content: Content,
    ) -> Result<intake::Accepted, intake::Refusal> {
        let source = self.source(envelope.smtputf8);
        match &source {
            Source::Local { uid, origin, .. } => {
                let from = &envelope.reverse_path;
                self.log(&Event::FromLocalUser { id, uid: *uid, origin, from });
            }
            Source::Smtp { client, helo, protocol, tls, .. } => self.log(&Event::FromClient {
                id,
                client,
                tls: tls.as_deref(),
                login: self.login.as_ref().map(|login| login.account.as_str()),
                helo,
                protocol,
            }),
            Source::Internal | Source::Outward | Source::Forwarded => {}
        }
        self.context.intake.accept(id, &source, envelope, content).await
    }

    fn source(&self, smtputf8: bool) -> Source {
        match &self.arrival.peer {
            Peer::User { uid, name, process } => {
                let claims = self.session.claims().iter();
                let claims = claims.map(|claim| (claim.name.as_str(), claim.value.as_str()));
                let origin = LocalOrigin { process: process.clone(), claims: Claims::of(claims) };
                Source::Local { uid: *uid, user: name.clone(), origin }
            }
            Peer::Client(peer) => Source::Smtp {
                client: self.arrival.client.clone(),
                peer: *peer,
                helo: self.session.hello().map_or_else(|| own_words(peer), str::to_owned),
                protocol: self.session.protocol(smtputf8),
                tls: self.tls.clone(),
                trusted: self.arrival.policy.is_trusted(),
                account: self.login.as_ref().map(|login| intake::Account {
                    name: login.account.clone(),
                    addresses: login.addresses.clone(),
                }),
            },
        }
    }

    fn lost(&mut self) -> Flow {
        // Many clients do not wait for the answer to QUIT; nothing is lost by it.
        let stage = self.session.stage();
        if stage != "QUIT" {
            self.problem(&format!("lost connection after {stage}"));
        }
        Flow::End
    }

    fn reject(
        &self,
        stage: &'static str,
        reply: &Reply,
        from: Option<&ReversePath>,
        to: Option<&Address>,
    ) {
        let id = self.id;
        let client = &self.arrival.client;
        let protocol = self.session.protocol(false);
        let helo = self.session.hello();
        let refused = Reject { id, stage, client, reply, from, to, protocol, helo };
        self.log(&Event::Reject(refused));
    }

    pub(super) fn problem(&self, what: &str) {
        self.log(&Event::SessionProblem { client: &self.arrival.client, what });
    }

    pub(super) fn log(&self, event: &Event<'_>) {
        self.context.log.write(event);
    }
}

fn settings(arrival: &Arrival, starttls: bool) -> Settings {
    let config = &arrival.config;
    let hostname_as_domain = || Domain::parse(&config.hostname).ok();
    let domain = config.domains.first().cloned().or_else(hostname_as_domain);
    let domain = domain.unwrap_or(Domain::Literal(std::net::Ipv4Addr::LOCALHOST.into()));
    Settings {
        hostname: config.hostname.clone(),
        extensions: Extensions {
            pipelining: true,
            size: Some(config.limits.message_size),
            eight_bit_mime: true,
            smtputf8: true,
            enhanced_status_codes: true,
            starttls,
            chunking: true,
            // Strangers' wishes for notices would have us send mail to whom they like.
            dsn: arrival.policy.is_for_ours(),
            // RFC 8689 §2: the session says it under TLS alone. It is a promise of whoever hands
            // on, so that strangers, whose mail ends here, are not given it.
            require_tls: arrival.policy.is_for_ours(),
            xverp: arrival.policy.is_for_ours(),
            auth: login::offered(arrival.service, starttls, config),
            help: true,
            origin: matches!(arrival.peer, Peer::User { .. }),
        },
        sender_domain: config.sender_domain().cloned().unwrap_or_else(|| domain.clone()),
        domain,
        bare_names: arrival.policy.is_for_ours(),
        lenient: arrival.policy.is_trusted(),
        max_recipients: arrival.policy.most_recipients(&config.limits),
    }
}

// What stands for the name of a client that has not said its own.
fn own_words(peer: &SocketAddr) -> String {
    Domain::Literal(peer.ip().to_canonical()).to_string()
}

async fn judge(
    arrival: &Arrival,
    recipients: &Recipients,
    recipient: &Address,
) -> Result<(), Reply> {
    if arrival.policy.recipient(&arrival.config, recipient)? == Need::Nothing {
        return Ok(());
    }
    let answer = match blocking(|| recipients.standing(recipient)) {
        Standing::Known => Answer::Known,
        Standing::Unknown => Answer::Unknown,
        Standing::Unsaid(why) => Answer::Unsaid(why),
        Standing::Asked(addresses) => Box::pin(recipients.ask(&addresses)).await,
    };
    arrival.policy.answer(recipient, &answer)
}

async fn finish(draft: Option<Box<dyn Draft>>) -> Result<Content, SpoolError> {
    match draft {
        None => Err(SpoolError::Io(Hindrance::NoDraft)),
        Some(draft) if draft.is_on_disk() => aside(|| draft.finish()).await,
        Some(draft) => draft.finish(),
    }
}

/// Waits for the disk on a thread beside the reactor.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, SpoolError> {
    let broken =
        |error: tokio::task::JoinError| SpoolError::Io(Hindrance::System(None, error.to_string()));
    tokio::task::spawn_blocking(work).await.map_err(broken)?
}

/// Lets other sessions go on elsewhere while this one waits for the system's user
/// directory.
pub(super) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
