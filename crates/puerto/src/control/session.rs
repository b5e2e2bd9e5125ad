//! One client's session on the control socket: what it asks, what it may, what it is answered.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use puerto_spool::{Classify, Entry, Filter, MessageId, StoredContent};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::{Instant, timeout};

use super::counting::Tallied;
use super::operations::{self, Problem};
use super::ordering;
use super::places::Places;
use super::protocol::{
    Answer, BriefAnswer, Change, ErrorCode, MAX_ADMINISTRATOR_REQUEST, MAX_REQUEST, Request,
    RequestLine, Selection, Summary, VERSION,
};
use super::reasons;
use super::server::{Context, PATIENCE};
use super::view::{Brief, Keeps, MessageView};
use super::why::{self, Asker, Told};
use crate::config::domain_spellings;
use crate::telemetry::Event;

/// How long after a flush another one by an ordinary user does nothing.
const FLUSH_PAUSE: Duration = Duration::from_secs(10);

/// What all sessions share.
pub(super) struct Shared {
    pub(super) context: Context,
    places: Arc<Places>,
    last_flush: Mutex<Option<Instant>>,
    pub(super) classify: Classify,
    pub(super) tallied: Mutex<Option<Tallied>>,
}

impl Shared {
    pub(super) fn new(context: Context) -> Self {
        Self {
            context,
            places: Places::new(),
            last_flush: Mutex::new(None),
            classify: reasons::classify(),
            tallied: Mutex::new(None),
        }
    }

    /// What the store is asked for where these messages are meant.
    pub(super) fn filter(&self, selection: &Selection) -> Result<Filter, Problem> {
        let now = self.context.store.clock().now();
        let config = self.context.config.get();
        operations::filter(selection, (&self.classify, &config.domains), now)
    }

    // Whether an ordinary user's flush is to be done: it costs a walk through the
    // whole queue, and right after another there is nothing to gain.
    fn flush_is_due(&self, uid: u32) -> bool {
        let mut last = self.last_flush.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = last.is_some_and(|last| last.elapsed() < FLUSH_PAUSE);
        let due = self.places.is_administrator(uid) || !pause;
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

/// Serves one client, whose user the kernel has named.
pub(super) async fn serve<S>(stream: S, uid: u32, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let stream = BufReader::new(stream);
    let mut session = Session { stream, uid, shared: &shared, is_copied: false };
    if let Some(_place) = shared.places.enter(uid) {
        // The end of a session is no event for anybody but its client.
        let _ = session.run().await;
    } else {
        let problem = Problem(ErrorCode::Busy, "too many clients at once; try again".to_owned());
        let _ = session.answer(&error(problem)).await;
    }
}

/// Answers one request by why nothing is done.
pub(super) async fn refuse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    why: String,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    (&mut stream).take(MAX_REQUEST as u64).read_until(b'\n', &mut Vec::new()).await?;
    let mut line = Vec::new();
    append(&mut line, &error(Problem(ErrorCode::Failed, why)));
    stream.write_all(&line).await
}

fn error(Problem(code, message): Problem) -> Answer {
    Answer::Error { code, message }
}

struct Session<'a, S> {
    stream: BufReader<S>,
    uid: u32,
    shared: &'a Arc<Shared>,
    /// It has asked for messages as they stand.
    is_copied: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            let Some(line) = self.line().await? else { return Ok(()) };
            let request = match parse(&line, self.longest()) {
                Ok(request) => request,
                Err(problem) => {
                    self.answer(&error(problem)).await?;
                    return Err(io::ErrorKind::InvalidData.into());
                }
            };
            if let Err(problem) = self.perform(request).await? {
                self.answer(&error(problem)).await?;
            }
        }
    }

    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let longest = self.longest() as u64;
        let mut bounded = (&mut self.stream).take(longest);
        let reading = bounded.read_until(b'\n', &mut line);
        let count = timeout(PATIENCE, reading).await??;
        Ok((count > 0).then_some(line))
    }

    fn longest(&self) -> usize {
        match self.shared.places.is_administrator(self.uid) {
            true => MAX_ADMINISTRATOR_REQUEST,
            false => MAX_REQUEST,
        }
    }

    async fn answer(&mut self, answer: &Answer) -> io::Result<()> {
        let mut lines = Vec::new();
        append(&mut lines, answer);
        self.write(&lines).await
    }

    async fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let writing = self.stream.write_all(lines);
        timeout(PATIENCE, writing).await??;
        timeout(PATIENCE, self.stream.flush()).await??;
        Ok(())
    }

    // The outer result is the session's, the inner one the request's.
    async fn perform(&mut self, request: Request) -> io::Result<Result<(), Problem>> {
        let administrator = self.shared.places.is_administrator(self.uid);
        let for_administrators = matches!(
            request,
            Request::Change { .. }
                | Request::Reload
                | Request::Renew { .. }
                | Request::Body { .. }
                | Request::Parcel { .. }
                | Request::Order { .. }
                | Request::TakeBack { .. }
                | Request::Forget { .. }
        );
        if for_administrators && !administrator {
            let uid = self.shared.places.own_uid;
            let message = format!("only root and the mail server's user (uid {uid}) may do this");
            return Ok(Err(Problem(ErrorCode::Denied, message)));
        }
        let done = match request {
            Request::List(selection) => {
                let keeps = Keeps::of(&self.shared.context);
                let lines = move |entries: &[Entry], lines: &mut Vec<u8>| {
                    let views = entries.iter().map(|entry| MessageView::new(entry, &keeps));
                    views.for_each(|view| append(lines, &Answer::Message(Box::new(view))));
                };
                return self.list(&selection, lines).await;
            }
            Request::Brief { selection, causes } => {
                let keeps = Keeps::of(&self.shared.context);
                let lines = move |entries: &[Entry], lines: &mut Vec<u8>| {
                    let briefs = entries.iter().map(|entry| Brief::new(entry, causes, &keeps));
                    briefs.for_each(|brief| append(lines, &BriefAnswer::Brief(brief)));
                };
                return self.list(&selection, lines).await;
            }
            Request::Ids(selection) => {
                let lines = move |entries: &[Entry], lines: &mut Vec<u8>| {
                    let ids: Vec<String> = entries.iter().map(|e| e.id.to_string()).collect();
                    if !ids.is_empty() {
                        append(lines, &Answer::Ids(ids));
                    }
                };
                return self.list(&selection, lines).await;
            }
            Request::Body { id } => return self.body(id).await,
            Request::Overview { selection, most, max_age } => {
                let max_age = Duration::from_millis(max_age);
                let asked = move |shared: &Shared| {
                    shared.overview(&selection, (most, max_age), administrator)
                };
                let overview = self.blocking(asked).await.map(Box::new);
                overview.map(|overview| vec![Answer::Overview(overview), end(Summary::default())])
            }
            Request::Vitals => Ok(vec![self.shared.vitals(), end(Summary::default())]),
            request @ (Request::Orders | Request::Order { .. } | Request::TakeBack { .. }) => {
                self.orders(request).await
            }
            Request::Parcel { id } => return self.parcel(id).await,
            Request::Show { id } => self.show(id, administrator).await,
            Request::Change { change, ids, chosen } => self.change(change, ids, chosen).await,
            Request::Flush { destination, id } => self.flush(destination, id).await,
            Request::Why { what } => self.why(what, administrator).await,
            Request::Forget { address } => {
                let forget = move |shared: &Shared| why::forget(&shared.context, &address);
                let count = self.blocking(forget).await;
                count.map(|count| vec![end(Summary { count, ..Summary::default() })])
            }
            Request::Health => {
                let health = self.blocking(|shared| operations::health(&shared.context)).await;
                health.map(|health| vec![Answer::Health(health), end(Summary::default())])
            }
            Request::Nodes => {
                let nodes = self.blocking(|shared| operations::nodes(&shared.context)).await;
                nodes.map(|nodes| {
                    let summary = Summary { count: nodes.len() as u64, ..Summary::default() };
                    nodes.into_iter().map(Answer::Node).chain([end(summary)]).collect()
                })
            }
            Request::Reload => self.reload().await,
            Request::Renew { new_key } => {
                let asked = (self.shared.context.sight.renew)(new_key);
                let asked = asked.map(|()| vec![end(Summary::default())]);
                asked.map_err(|message| Problem(ErrorCode::Failed, message))
            }
        };
        match done {
            Ok(answers) => {
                let mut lines = Vec::new();
                answers.iter().for_each(|answer| append(&mut lines, answer));
                self.write(&lines).await?;
                Ok(Ok(()))
            }
            Err(problem) => Ok(Err(problem)),
        }
    }

    // Lines about the messages that are meant, page by page; the next page is made ready
    // while the client takes the one before.
    async fn list(
        &mut self,
        selection: &Selection,
        lines: impl Fn(&[Entry], &mut Vec<u8>) + Send + Sync + 'static,
    ) -> io::Result<Result<(), Problem>> {
        let filter = match self.shared.filter(selection) {
            Ok(filter) => Arc::new(filter),
            Err(problem) => return Ok(Err(problem)),
        };
        let lines = Arc::new(lines);
        let shared = Arc::clone(self.shared);
        let page = |after: Option<MessageId>| {
            let (filter, lines) = (Arc::clone(&filter), Arc::clone(&lines));
            begin_blocking(Arc::clone(&shared), move |shared: &Shared| {
                let page = operations::page(shared.context.desk.as_ref(), after, &filter)?;
                let mut octets = Vec::new();
                lines(&page.entries, &mut octets);
                Ok((octets, page.entries.len() as u64, page.next))
            })
        };
        let (mut count, mut coming) = (0, Some(page(None)));
        while let Some(begun) = coming.take() {
            let (octets, listed, next) = match ended(begun).await {
                Ok(made) => made,
                Err(problem) => return Ok(Err(problem)),
            };
            coming = next.map(|next| page(Some(next)));
            count += listed;
            if !octets.is_empty() {
                self.write(&octets).await?;
            }
        }
        self.answer(&end(Summary { count, ..Summary::default() })).await?;
        Ok(Ok(()))
    }

    async fn parcel(&mut self, id: String) -> io::Result<Result<(), Problem>> {
        let told = (!std::mem::replace(&mut self.is_copied, true)).then_some(self.uid);
        let read = self.blocking(move |shared| operations::parcel(&shared.context, &id, told));
        let (entry, content) = match read.await {
            Ok(read) => read,
            Err(problem) => return Ok(Err(problem)),
        };
        self.answer(&Answer::Parcel(entry)).await?;
        self.content(content).await.map(Ok)
    }

    async fn body(&mut self, id: String) -> io::Result<Result<(), Problem>> {
        let uid = self.uid;
        let opened = self.blocking(move |shared| operations::body(&shared.context, &id, uid)).await;
        match opened {
            Ok(content) => self.content(content).await.map(Ok),
            Err(problem) => Ok(Err(problem)),
        }
    }

    async fn content(&mut self, mut content: Box<dyn StoredContent>) -> io::Result<()> {
        self.answer(&Answer::Body { size: content.len() }).await?;
        loop {
            let read = self.blocking(move |_| {
                let octets = operations::next_octets(&mut *content)?;
                Ok((octets, content))
            });
            // Nothing but the end of the session can say that no more comes.
            let (octets, rest) = read.await.map_err(|Problem(_, text)| io::Error::other(text))?;
            if octets.is_empty() {
                break;
            }
            self.write(&octets).await?;
            content = rest;
        }
        self.answer(&end(Summary { count: 1, ..Summary::default() })).await
    }

    async fn show(&self, id: String, administrator: bool) -> Result<Vec<Answer>, Problem> {
        let view = self
            .blocking(move |shared| operations::show(&shared.context, &id, administrator))
            .await?;
        let summary = Summary { count: 1, ..Summary::default() };
        Ok(vec![Answer::Message(Box::new(view)), end(summary)])
    }

    async fn why(&self, what: String, is_administrator: bool) -> Result<Vec<Answer>, Problem> {
        let asker = Asker { uid: self.uid, is_administrator };
        let told = self.blocking(move |shared| why::why(&shared.context, &what, asker)).await?;
        let mut answers = match told {
            Told::Story(story) => vec![Answer::Story(story)],
            Told::Matches(matches) => matches.into_iter().map(Answer::Match).collect(),
            Told::Unknown(unknown) => vec![Answer::Unknown(unknown)],
        };
        answers.push(end(Summary::default()));
        Ok(answers)
    }

    async fn change(
        &self,
        change: Change,
        ids: Vec<String>,
        chosen: Selection,
    ) -> Result<Vec<Answer>, Problem> {
        let chosen = self.shared.filter(&chosen)?;
        let context = &self.shared.context;
        let uid = self.uid;
        let change = move |shared: &Shared| {
            operations::change(&shared.context, change, uid, (&ids, &chosen))
        };
        let summary = self.blocking(change).await;
        // What was held or removed leaves the lines.
        context.wake.wake();
        Ok(vec![end(summary?)])
    }

    async fn flush(
        &self,
        destination: Option<String>,
        id: Option<String>,
    ) -> Result<Vec<Answer>, Problem> {
        if destination.as_ref().is_some_and(|destination| destination.trim().is_empty()) {
            let text = "the destination is empty: leave it out for all mail".to_owned();
            return Err(Problem(ErrorCode::Malformed, text));
        }
        let mut done = Summary::default();
        let is_due = self.shared.flush_is_due(self.uid);
        if let Some(id) = id {
            // As rarely as all of it: there are as many messages as one likes to ask for.
            if !is_due {
                let text = "mail was tried only seconds ago; ask again in a moment".to_owned();
                return Err(Problem(ErrorCode::Busy, text));
            }
            let is_administrators = self.shared.places.is_administrator(self.uid);
            let flush = move |shared: &Shared| {
                operations::flush_one(&shared.context, &id, is_administrators)
            };
            let done = self.blocking(flush).await?;
            self.shared.context.wake.wake();
            return Ok(vec![end(done)]);
        }
        if !is_due {
            return Ok(vec![end(done)]);
        }
        let is_administrators = self.shared.places.is_administrator(self.uid);
        if is_administrators && destination.is_none() {
            self.shared.context.wake.expect_retry_of_all();
        }
        let destination = destination.iter().flat_map(|name| domain_spellings(name)).collect();
        let filter = Arc::new(Filter { destination, ..Filter::default() });
        let mut after = None;
        loop {
            let wanted = Arc::clone(&filter);
            let (page, next) = self
                .blocking(move |shared| {
                    operations::flush_page(&shared.context, after, &wanted, is_administrators)
                })
                .await?;
            done.count += page.count;
            self.shared.context.wake.wake();
            if next.is_none() {
                break;
            }
            after = next;
        }
        let text = format!("{} messages to be tried now, asked by uid {}", done.count, self.uid);
        self.note(&text);
        Ok(vec![end(done)])
    }

    async fn orders(&self, request: Request) -> Result<Vec<Answer>, Problem> {
        let uid = self.uid;
        let of = |count: usize| end(Summary { count: count as u64, ..Summary::default() });
        match request {
            Request::Order { what, seconds, note } => {
                let given = move |shared: &Shared| {
                    ordering::give(&shared.context, what, (seconds, note), uid)
                };
                Ok(vec![Answer::Order(self.blocking(given).await?), of(1)])
            }
            Request::TakeBack { numbers } => {
                let taken =
                    move |shared: &Shared| ordering::take_back(&shared.context, &numbers, uid);
                Ok(vec![end(self.blocking(taken).await?)])
            }
            _ => {
                let orders = ordering::list(&self.shared.context);
                let count = orders.len();
                Ok(orders.into_iter().map(Answer::Order).chain([of(count)]).collect())
            }
        }
    }

    async fn reload(&self) -> Result<Vec<Answer>, Problem> {
        let uid = self.uid;
        let reloaded = self
            .blocking(|shared| {
                let reload = &shared.context.reload;
                reload().map_err(|message| Problem(ErrorCode::Failed, message))
            })
            .await;
        reloaded?;
        self.note(&format!("configuration read again, asked by uid {uid}"));
        Ok(vec![end(Summary::default())])
    }

    fn note(&self, text: &str) {
        let event = Event::Notice { level: "info", component: "qmgr", id: None, text };
        self.shared.context.log.write(&event);
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        ended(begin_blocking(Arc::clone(self.shared), work)).await
    }
}

type Begun<T> = tokio::task::JoinHandle<Result<T, Problem>>;

fn begin_blocking<T: Send + 'static>(
    shared: Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T, Problem> + Send + 'static,
) -> Begun<T> {
    tokio::task::spawn_blocking(move || work(&shared))
}

async fn ended<T>(begun: Begun<T>) -> Result<T, Problem> {
    begun.await.unwrap_or_else(|_| {
        Err(Problem(ErrorCode::Failed, "the request failed inside the server".to_owned()))
    })
}

fn parse(line: &[u8], longest: usize) -> Result<Request, Problem> {
    let malformed = |message: String| Problem(ErrorCode::Malformed, message);
    if !line.ends_with(b"\n") {
        return Err(malformed(format!("a request ends in a line end within {longest} octets")));
    }
    // The version is read before the rest: a request of another version may have
    // words that this program does not know.
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    let version: Version = serde_json::from_slice(line)
        .map_err(|error| malformed(format!("not a request: {error}")))?;
    if version.version != VERSION {
        let message = format!(
            "the server speaks version {VERSION} of this protocol, not {}: command and server \
             are of different releases",
            version.version
        );
        return Err(Problem(ErrorCode::Version, message));
    }
    let request: RequestLine = serde_json::from_slice(line)
        .map_err(|error| malformed(format!("not a request: {error}")))?;
    Ok(request.request)
}

fn end(summary: Summary) -> Answer {
    Answer::End(summary)
}

pub(super) fn append(lines: &mut Vec<u8>, answer: &impl serde::Serialize) {
    // These values always have a JSON form; a map with keys that are no strings
    // would be the only one that has none.
    if serde_json::to_writer(&mut *lines, answer).is_ok() {
        lines.push(b'\n');
    }
}
