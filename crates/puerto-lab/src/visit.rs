//! One client's visit to a receiver: the protocol is [`Session`]'s, the answers are
//! the [`House`]'s, and what happened goes into the [`Recorder`].

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use puerto_mail::authres::{AuthenticationResults, MethodResult};
use puerto_mail::date::DateTime;
use puerto_mail::received::{From, Received};
use puerto_smtp::address::Domain;
use puerto_smtp::extension::Extensions;
use puerto_smtp::sasl::{Claim, Mechanism};
use puerto_smtp::server::{Action, Session, Settings};
use puerto_smtp::{Address, Envelope, Reply, ReversePath, Severity};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use crate::Door;
use crate::clock::now;
use crate::manners::{Answer, House, Presented};
use crate::relay::Parcel;
use crate::stream::Stream;
use crate::transaction::{Outcome, Recorder, Transaction};

/// How long a client may keep silent.
const IDLE: Duration = Duration::from_secs(60);
/// Octets read at once.
const READ: usize = 64 * 1024;
/// Recipients of one message.
const MAX_RECIPIENTS: usize = 1000;

/// What all visits to one receiver use.
#[derive(Clone)]
pub(crate) struct Premises {
    pub(crate) house: Arc<House>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) max_message: u64,
    /// Where what is to be handed on goes, if the receiver is a relay.
    pub(crate) onward: Option<mpsc::UnboundedSender<Parcel>>,
    /// Messages taken so far, for their ids.
    pub(crate) taken: Arc<AtomicU64>,
    pub(crate) door: watch::Receiver<Door>,
}

impl Premises {
    fn settings(&self) -> Settings {
        let resident = self.house.resident;
        // The names of residents are constants, and valid ones.
        let domain =
            Domain::parse(resident.domain).unwrap_or(Domain::Literal(IpAddr::V4(resident.address)));
        Settings {
            hostname: resident.host.to_owned(),
            extensions: Extensions {
                pipelining: true,
                size: Some(self.max_message),
                eight_bit_mime: true,
                smtputf8: true,
                enhanced_status_codes: true,
                starttls: self.tls.is_some(),
                chunking: true,
                help: true,
                ..Extensions::default()
            },
            sender_domain: domain.clone(),
            domain,
            bare_names: false,
            lenient: false,
            max_recipients: MAX_RECIPIENTS,
        }
    }
}

/// Serves one client to the end.
pub(crate) async fn serve(premises: Premises, stream: TcpStream, peer: IpAddr) {
    // Replies are small and waited for; a socket that cannot be tuned still works.
    let _ignored = stream.set_nodelay(true);
    let mut visit = Visit {
        session: Session::new(premises.settings()),
        stream: Stream::Plain(stream),
        peer,
        tls: false,
        logged_in: false,
        draft: None,
        content: Vec::new(),
        premises,
    };
    visit.run().await;
    visit.finish_draft(None, Outcome::HungUp);
    visit.stream.close().await;
}

struct Visit {
    premises: Premises,
    session: Session,
    stream: Stream,
    peer: IpAddr,
    tls: bool,
    logged_in: bool,
    draft: Option<Draft>,
    content: Vec<u8>,
}

// A transaction that has not ended.
struct Draft {
    from: ReversePath,
    recipients: Vec<(Address, Reply)>,
    // The last refusal, which is what the client goes by if it gives up.
    refusal: Option<Reply>,
    authentication: Vec<MethodResult>,
    message: Arc<[u8]>,
}

enum Next {
    GoOn,
    End,
}

impl Visit {
    async fn run(&mut self) {
        let mut buffer = vec![0; READ];
        loop {
            let next = match self.session.poll() {
                Action::Read => {
                    if let Some(refused) = self.draft.as_mut().and_then(Draft::take_refused) {
                        self.record(refused, Outcome::HungUp, None);
                    }
                    match tokio::time::timeout(IDLE, self.stream.read(&mut buffer)).await {
                        Ok(Ok(count)) if count > 0 => {
                            self.session.feed(buffer.get(..count).unwrap_or_default());
                            Next::GoOn
                        }
                        _ => Next::End,
                    }
                }
                Action::Write(bytes) => {
                    tokio::time::sleep(self.premises.house.pause()).await;
                    match self.stream.write_all(bytes).await {
                        Ok(()) => Next::GoOn,
                        Err(_) => Next::End,
                    }
                }
                Action::AskMail { envelope, .. } => {
                    let from = envelope.reverse_path.clone();
                    self.mail(from)
                }
                Action::AskRecipient { recipient, .. } => {
                    let to = recipient.address.clone();
                    self.recipient(to)
                }
                Action::BeginContent(_) => {
                    self.content.clear();
                    self.session.accept();
                    Next::GoOn
                }
                Action::Content(bytes) => {
                    self.content.extend_from_slice(bytes);
                    Next::GoOn
                }
                Action::DiscardContent(_) => {
                    self.content.clear();
                    Next::GoOn
                }
                Action::Refused(refusal) => {
                    if let Some(draft) = &mut self.draft {
                        draft.refuse(refusal.reply);
                    }
                    Next::GoOn
                }
                Action::EndContent(envelope) => self.message(envelope).await,
                Action::BeginAuth { initial: None, .. } => {
                    self.session.challenge(b"");
                    Next::GoOn
                }
                Action::BeginAuth { initial: Some(said), .. } | Action::ContinueAuth(said) => {
                    let claim = Claim::of_plain(said, str::eq_ignore_ascii_case);
                    self.log_in(claim.as_ref())
                }
                Action::StartTls => self.start_tls().await,
                Action::Close => Next::End,
            };
            if matches!(next, Next::End) {
                return;
            }
        }
    }

    fn log_in(&mut self, claim: Option<&Claim>) -> Next {
        self.logged_in = claim.is_some_and(|claim| self.premises.house.knows(claim));
        match self.logged_in {
            true => self.session.accept(),
            false => self.session.answer(&Reply::enhanced(
                535,
                (5, 7, 8),
                "Error: authentication failed: user name and password do not fit",
            )),
        }
        Next::GoOn
    }

    fn mail(&mut self, from: ReversePath) -> Next {
        self.finish_draft(None, Outcome::HungUp);
        self.draft = Some(Draft::new(from));
        match self.premises.house.mail() {
            Answer::Accept => self.session.accept(),
            Answer::Say(reply) => {
                self.session.answer(&reply);
                let outcome = outcome_of(&reply);
                self.finish_draft(Some(reply), outcome);
            }
            Answer::HangUp => return Next::End,
        }
        Next::GoOn
    }

    fn recipient(&mut self, to: Address) -> Next {
        let Some(draft) = &mut self.draft else { return Next::End };
        let answer = match *self.premises.door.borrow() {
            Door::Later => Answer::Say(Reply::enhanced(451, (4, 7, 1), "Come again later")),
            _ => {
                let client = (self.peer, self.logged_in);
                self.premises.house.recipient(client, &draft.from, &to)
            }
        };
        let reply = match answer {
            Answer::Accept => Reply::enhanced(250, (2, 1, 5), "Ok"),
            Answer::Say(reply) => reply,
            Answer::HangUp => return Next::End,
        };
        self.session.answer(&reply);
        if !reply.is_positive() {
            draft.refusal = Some(reply.clone());
        }
        draft.recipients.push((to, reply));
        Next::GoOn
    }

    async fn message(&mut self, envelope: Envelope) -> Next {
        let content = std::mem::take(&mut self.content);
        // Where the lab is gone there is nobody to wait for.
        drop(self.premises.door.wait_for(|door| *door != Door::Silent).await);
        let helo = self.session.hello().unwrap_or_default().to_owned();
        let judgement = {
            let presented = Presented {
                peer: self.peer,
                helo: &helo,
                from: &envelope.reverse_path,
                message: &content,
            };
            self.premises.house.message(&presented).await
        };
        let number = self.premises.taken.fetch_add(1, Ordering::Relaxed) + 1;
        let id = format!("{}-{number}", self.premises.house.resident.name);
        let message = self.with_trace(&content, &helo, &id, &judgement.authentication);
        if let Some(draft) = &mut self.draft {
            draft.authentication = judgement.authentication;
            draft.message = message.into();
        }
        let reply = match judgement.answer {
            Answer::HangUp => return Next::End,
            Answer::Accept => Reply::enhanced(250, (2, 0, 0), format!("Ok: we have it as {id}")),
            Answer::Say(reply) => reply,
        };
        // What the client will be told is recorded before it can act on it.
        let outcome = outcome_of(&reply);
        if outcome == Outcome::Accepted {
            self.hand_on(&envelope);
        }
        self.finish_draft(Some(reply.clone()), outcome);
        self.session.answer(&reply);
        Next::GoOn
    }

    // What a receiver puts before a message: the trace field, and its findings.
    fn with_trace(
        &self,
        content: &[u8],
        helo: &str,
        id: &str,
        authentication: &[MethodResult],
    ) -> Vec<u8> {
        let host = self.premises.house.resident.host;
        let name = self.premises.house.zone.confirmed_names(self.peer).into_iter().next();
        let received = Received {
            from: From::Client {
                helo,
                name: name.as_deref(),
                address: self.peer,
                protocol: self.session.protocol(false),
                tls: None,
            },
            by: host,
            id,
            recipient: None,
            date: DateTime { unix_seconds: now().try_into().unwrap_or(0), offset_minutes: 0 },
        };
        let mut out = Vec::with_capacity(content.len() + 512);
        if !authentication.is_empty() {
            let start = AuthenticationResults::new(host);
            let field = authentication.iter().cloned().fold(start, AuthenticationResults::with);
            out.extend_from_slice(field.to_field().as_bytes());
        }
        received.write(&mut out);
        out.extend_from_slice(content);
        out
    }

    fn hand_on(&self, envelope: &Envelope) {
        if let (Some(onward), Some(draft)) = (&self.premises.onward, &self.draft) {
            let parcel = Parcel { envelope: envelope.clone(), message: Arc::clone(&draft.message) };
            // The lab is being taken down if nobody is there to take it.
            let _ignored = onward.send(parcel);
        }
    }

    async fn start_tls(&mut self) -> Next {
        let Some(acceptor) = &self.premises.tls else { return Next::End };
        let stream = self.stream.take();
        match tokio::time::timeout(IDLE, stream.encrypt(acceptor)).await {
            Ok(Ok(stream)) => {
                self.stream = stream;
                self.tls = true;
                self.session.tls_established();
                if self.premises.house.has_login() {
                    self.session.offer_auth(&[Mechanism::Plain]);
                }
                Next::GoOn
            }
            _ => Next::End,
        }
    }

    fn finish_draft(&mut self, reply: Option<Reply>, outcome: Outcome) {
        if let Some(draft) = self.draft.take() {
            self.record(draft, outcome, reply);
        }
    }

    // Without a reply of its own, a transaction ends by the last refusal in it, and
    // one in which nothing was refused is not worth a record unless content came.
    fn record(&mut self, draft: Draft, outcome: Outcome, reply: Option<Reply>) {
        let reply = reply.or(draft.refusal);
        let outcome = match (&reply, outcome) {
            (Some(reply), Outcome::HungUp) => outcome_of(reply),
            (None, _) if draft.message.is_empty() => return,
            _ => outcome,
        };
        let resident = self.premises.house.resident;
        self.premises.recorder.record(Transaction {
            receiver: resident.name,
            host: resident.host.to_owned(),
            peer: self.peer,
            helo: self.session.hello().map(str::to_owned),
            tls: self.tls,
            from: Some(draft.from),
            recipients: draft.recipients,
            reply,
            outcome,
            authentication: draft.authentication,
            message: draft.message,
        });
    }
}

impl Draft {
    fn new(from: ReversePath) -> Self {
        Self {
            from,
            recipients: Vec::new(),
            refusal: None,
            authentication: Vec::new(),
            message: Arc::default(),
        }
    }

    // That a transaction without recipients cannot go on is no news: what was said to
    // the recipients is what the client goes by.
    fn refuse(&mut self, reply: Reply) {
        let accepted = self.recipients.iter().any(|(_, reply)| reply.is_positive());
        if accepted || self.refusal.is_none() {
            self.refusal = Some(reply);
        }
    }

    // What is to be told before the client says more: recipients that were all
    // refused. A client that keeps its connection for later may say nothing for long.
    fn take_refused(&mut self) -> Option<Self> {
        let tried = !self.recipients.is_empty();
        if !tried || self.recipients.iter().any(|(_, reply)| reply.is_positive()) {
            return None;
        }
        let rest = Self::new(self.from.clone());
        Some(std::mem::replace(self, rest))
    }
}

fn outcome_of(reply: &Reply) -> Outcome {
    match reply.severity() {
        Severity::Positive | Severity::Intermediate => Outcome::Accepted,
        Severity::Transient => Outcome::Deferred,
        Severity::Permanent => Outcome::Refused,
    }
}
