//! The story: mail for everybody, a node that is killed, a database that is killed, and the
//! account at the end.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use puerto_lab::world::{PLAIN, SENDER_DOMAIN, STRICT};
use puerto_lab::{Door, Lab, Options};
use puerto_smtp::client::Cause;
use puerto_smtp::{Address, Severity};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::account::{self, Account, Arrived};
use super::database::Database;
use super::member::{Member, publish};
use super::programs::Programs;
use super::screen::{Screen, round};
use crate::cli::exit::Sysexit;
use crate::cli::lab::scene::write_keys;
use crate::cli::lab::story::{Ending, Letter, Way, destined};
use crate::cli::lab::submit::{NotTaken, submit};
use crate::cli::lab::{asked, started};
use crate::lang::{Said, Text, address_error, said, system};
use crate::serve::store;

/// Letters of the parts of the story: for all nodes; in a node's hand when it is killed;
/// in hand when the database is; after that.
const FOR_ALL: usize = 240;
const IN_HAND: usize = 40;
const WITHOUT: usize = 20;
const AFTER: usize = 30;
/// Clients that send at the same time.
const CLIENTS: usize = 8;
/// From one letter to the next, where all nodes are to have a part in them.
const PACE: Duration = Duration::from_millis(15);
/// So many each has to have tried by then.
const TRIED: usize = 10;
/// Transactions that the receivers keep: more than there can be.
const KEPT: usize = 100_000;
/// How long each part may take, and the pause between looks.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long a receiver may leave everybody waiting before it is seen that they do.
const SILENCE: Duration = Duration::from_millis(500);

/// All that plays.
pub(super) struct Play<'a> {
    lab: Lab,
    database: Database,
    members: Vec<Member>,
    account: Account,
    screen: &'a mut Screen,
    well: bool,
}

impl<'a> Play<'a> {
    /// Starts everything in a folder that is there.
    pub(super) async fn begin(
        (programs, count): (&Programs, u8),
        folder: &Path,
        screen: &'a mut Screen,
    ) -> Result<Self, Said> {
        screen.waiting(&said!("starting PostgreSQL", "iniciando PostgreSQL"));
        let lab = started(Options { kept: KEPT, ..Options::default() }).await?;
        publish(&lab, count);
        write_keys(&folder.join("dkim"), &lab, SENDER_DOMAIN)?;
        let mut database = Database::set_up(programs, folder).await?;
        database.start().await?;
        let url = database.url();
        let members: Result<Vec<Member>, Said> =
            (1..=count).map(|number| Member::write((number, count), &lab, folder, &url)).collect();
        let account = Account::default();
        let mut play = Self { lab, database, members: members?, account, screen, well: true };
        play.make_tables(&url).await?;
        play.members.iter_mut().try_for_each(Member::start)?;
        for member in &mut play.members {
            member.answers().await?;
        }
        play.tell_start(programs, folder);
        Ok(play)
    }

    // A server that listens may be a moment from answering.
    async fn make_tables(&self, url: &str) -> Result<(), Said> {
        let config = self.first()?.configuration()?;
        let until = Instant::now() + PATIENCE / 3;
        loop {
            let (config, url) = (config.clone(), url.to_owned());
            let made = tokio::task::spawn_blocking(move || store::migrate(&config, &url)).await;
            match made {
                Ok(Err(error)) if Instant::now() > until => return Err(error.said()),
                Ok(Err(_)) => tokio::time::sleep(LOOK_AGAIN).await,
                Ok(Ok(_)) => return Ok(()),
                Err(error) => return Err(Said::words(error.to_string())),
            }
        }
    }

    fn tell_start(&mut self, programs: &Programs, folder: &Path) {
        self.screen.part(Text::new(
            "Several nodes, one queue, and an Internet of their own on this machine",
            "Varios nodos, una cola y un Internet propio dentro de esta máquina",
        ));
        let list: Vec<String> =
            self.members.iter().map(|m| format!("{} {}", m.name, m.address)).collect();
        let said = said!(
            "{nodes}: each takes, delivers and shows all of the queue, which is in PostgreSQL \
             {version}",
            "{nodes}: cada uno recibe, entrega y muestra toda la cola, que está en PostgreSQL \
             {version}";
            nodes = list.join(", "), version = programs.version
        );
        let nodes: Vec<Value> = self
            .members
            .iter()
            .map(|m| json!({"name": m.name, "address": m.address.to_string(), "config": m.config}))
            .collect();
        let facts = json!({
            "nodes": nodes,
            "postgresql": {"version": programs.version, "programs": programs.folder},
            "folder": folder,
        });
        self.screen.step("started", &said, facts);
    }

    /// Plays it all. Whether nothing was lost and all went as it should.
    pub(super) async fn perform(&mut self) -> Result<bool, Said> {
        self.everybody_delivers().await?;
        self.a_node_is_killed().await?;
        self.the_database_is_killed().await?;
        self.screen.waiting(&said!("the last letters", "las últimas cartas"));
        self.wait_for_empty_queue().await?;
        let balance = self.account.balance(&account::arrived(&self.lab.transactions()));
        let well = self.well && balance.is_well();
        self.screen.part(Text::new("The account", "Las cuentas"));
        self.screen.end(Some(balance), well);
        Ok(well)
    }

    async fn everybody_delivers(&mut self) -> Result<(), Said> {
        self.screen.part(Text::new(
            "Mail goes in at one node, and all of them deliver it",
            "El correo entra por un nodo y lo entregan todos",
        ));
        // What waits for another attempt is anybody's.
        self.lab.set_door(Door::Later);
        self.screen.waiting(&said!("letters go in at node1", "entran cartas por node1"));
        let since = Instant::now();
        let letters = self.send(0, FOR_ALL, PACE).await?;
        let took = round(since.elapsed().as_secs_f64());
        let first = self.first()?.name.clone();
        let said = said!(
            "{node} has acknowledged {count} letters in {took} s; the receivers put them off",
            "{node} ha confirmado {count} cartas en {took} s; los receptores las aplazan";
            node = first, count = letters.len(), took = took
        );
        let facts = json!({"node": first, "letters": letters.len(), "seconds": took});
        self.screen.step("acknowledged", &said, facts);
        let tried = self.until_all_have_tried().await;
        self.well &= tried.len() == self.members.len();
        self.lab.set_door(Door::Open);
        let arrived = self.until_arrived(&letters).await;
        let by = self.delivered_by(&letters, &arrived);
        let said = said!(
            "tried by {tried}; then the receivers take them: delivered by {by}",
            "intentadas por {tried}; después los receptores las aceptan: entregadas por {by}";
            tried = listed(&tried), by = listed(&by)
        );
        self.screen.step("delivered", &said, json!({"tried": tried, "by": by}));
        let nodes = asked(&self.first()?.run_dir(), |client| client.nodes()).await?;
        self.screen.nodes(&nodes);
        Ok(())
    }

    async fn a_node_is_killed(&mut self) -> Result<(), Said> {
        self.screen.part(Text::new(
            "A node is killed with mail in hand",
            "Se mata a un nodo con correo entre manos",
        ));
        self.lab.set_door(Door::Silent);
        let letters = self.send(1, IN_HAND, Duration::ZERO).await?;
        tokio::time::sleep(SILENCE).await;
        let (name, address) = {
            let victim = self.member(1)?;
            victim.kill().map_err(|error| system(&error))?;
            (victim.name.clone(), IpAddr::V4(victim.address))
        };
        let killed = Instant::now();
        // Who was waiting for an answer will never hear it; the receiver has the letter.
        self.lab.set_door(Door::Open);
        tokio::time::sleep(SILENCE).await;
        let arrived = self.arrived();
        let was_handing_over =
            letters.iter().filter(|to| arrived.get(*to).is_some_and(|by| by.contains(&address)));
        let was_handing_over = was_handing_over.count();
        self.account.excuse(was_handing_over);
        let said = said!(
            "`kill -9` of {node}, which has acknowledged {count} letters and is handing over {some} \
             of them",
            "`kill -9` a {node}, que ha confirmado {count} cartas y está entregando {some}";
            node = name, count = letters.len(), some = was_handing_over
        );
        let facts = json!({
            "node": name,
            "letters": letters.len(),
            "handing_over": was_handing_over,
        });
        self.screen.step("node-killed", &said, facts);
        self.others_take_over(&name, &letters, killed).await?;
        let victim = self.member(1)?;
        victim.start()?;
        victim.answers().await?;
        let said = said!("{node} is back", "{node} ha vuelto"; node = name);
        self.screen.step("node-back", &said, json!({"node": name}));
        Ok(())
    }

    async fn others_take_over(
        &mut self,
        name: &str,
        letters: &[String],
        killed: Instant,
    ) -> Result<(), Said> {
        self.screen.waiting(&said!(
            "{node} will be missed 15 s after it was last heard of",
            "a {node} se le echará de menos 15 s después de su última señal";
            node = name
        ));
        let arrived = self.until_arrived(letters).await;
        let took = round(killed.elapsed().as_secs_f64());
        let mut by = self.delivered_by(letters, &arrived);
        by.remove(name);
        let said = said!(
            "its mail has gone out from others, {took} s after it died: {by}",
            "su correo ha salido de otros, {took} s después de su muerte: {by}";
            took = took, by = listed(&by)
        );
        self.screen.step("taken-over", &said, json!({"by": by, "seconds": took}));
        let nodes = asked(&self.first()?.run_dir(), |client| client.nodes()).await?;
        self.well &= nodes.iter().all(|node| node.alive != (node.name == name));
        self.screen.nodes(&nodes);
        Ok(())
    }

    async fn the_database_is_killed(&mut self) -> Result<(), Said> {
        self.screen.part(Text::new("The database is killed", "Se mata a la base de datos"));
        self.lab.set_door(Door::Silent);
        let letters = self.send(0, WITHOUT, Duration::ZERO).await?;
        self.database.kill().map_err(|error| system(&error))?;
        let killed = Instant::now();
        let said = said!(
            "`kill -9` of PostgreSQL, with {count} letters under way",
            "`kill -9` a PostgreSQL, con {count} cartas en camino"; count = letters.len()
        );
        self.screen.step("database-killed", &said, json!({"letters": letters.len()}));
        self.clients_are_told().await?;
        self.lab.set_door(Door::Open);
        let arrived = self.until_arrived(&letters).await;
        let by = self.delivered_by(&letters, &arrived);
        let count: usize = by.values().sum();
        self.account.excuse(count);
        let said = said!(
            "what {by} had in hand is delivered meanwhile: {count} letters",
            "lo que {by} tenía entre manos se entrega entretanto: {count} cartas";
            by = by.keys().map(String::as_str).collect::<Vec<_>>().join(", "), count = count
        );
        self.screen.step("delivered-meanwhile", &said, json!({"by": by}));
        self.the_database_is_back(killed).await?;
        for number in 0..self.members.len() {
            self.send(number, AFTER / self.members.len(), Duration::ZERO).await?;
        }
        Ok(())
    }

    async fn the_database_is_back(&mut self, killed: Instant) -> Result<(), Said> {
        self.database.start().await?;
        let back = Instant::now();
        let letter = self.account.more(1).start;
        let (socket, letter) = (self.first()?.run_dir().join("submit"), self::letter(letter)?);
        while submit(&socket, &letter).await.is_err() {
            if back.elapsed() > PATIENCE {
                return Err(said!(
                    "no node takes mail although the database is back",
                    "ningún nodo admite correo aunque la base de datos ha vuelto"
                ));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.acknowledged(&letter);
        let (away, took) =
            (round((back - killed).as_secs_f64()), round(back.elapsed().as_secs_f64()));
        let said = said!(
            "it is back after {away} s, and {took} s later mail is taken again",
            "ha vuelto a los {away} s, y {took} s después se vuelve a admitir correo";
            away = away, took = took
        );
        self.screen.step("database-back", &said, json!({"away": away, "seconds": took}));
        self.until_all_refuse(false).await
    }

    // Without a database nothing is taken.
    async fn clients_are_told(&mut self) -> Result<(), Said> {
        self.until_all_refuse(true).await?;
        let first = self.account.more(2).start;
        let told = submit(&self.first()?.run_dir().join("submit"), &letter(first)?).await;
        let reply = match told {
            Err(NotTaken::Failed(failure)) => match failure.cause {
                Cause::Reply(reply) => reply,
                _ => return Err(Said::from(&failure)),
            },
            Err(otherwise) => return Err(otherwise.into()),
            Ok(promise) => {
                self.acknowledged(&letter(first)?);
                promise.reply
            }
        };
        self.well &= reply.severity() == Severity::Transient;
        let said = said!("a client hears: {reply}", "un cliente oye: {reply}"; reply = reply);
        self.screen.step("client", &said, json!({"reply": reply.to_string()}));
        let letter = letter(first + 1)?;
        let to = letter.recipients.first().map(|r| r.to.to_string()).unwrap_or_default();
        let sendmail = self.first()?.sendmail(&to, &letter.text()).await;
        let code = sendmail.map_err(|error| system(&error))?;
        self.well &= code == Some(Sysexit::TryAgain as i32);
        let shown = code.map_or_else(|| "-".to_owned(), |code| code.to_string());
        let said = said!(
            "`sendmail` ends with {code}: try again later",
            "`sendmail` termina con {code}: inténtelo más tarde"; code = shown
        );
        self.screen.step("sendmail", &said, json!({"exit": code}));
        Ok(())
    }

    fn first(&self) -> Result<&Member, Said> {
        self.members.first().ok_or_else(Said::default)
    }

    fn member(&mut self, number: usize) -> Result<&mut Member, Said> {
        self.members.get_mut(number).ok_or_else(Said::default)
    }

    // Hands so many letters to a node, each of which it has to take, one every `pace` at most.
    // Their recipients.
    async fn send(
        &mut self,
        member: usize,
        count: usize,
        pace: Duration,
    ) -> Result<Vec<String>, Said> {
        let socket = self.member(member)?.run_dir().join("submit");
        let letters = self.account.more(count).map(letter).collect::<Result<Vec<_>, _>>()?;
        let mut waiting = letters.into_iter();
        let mut turn = tokio::time::interval(pace.max(Duration::from_nanos(1)));
        let mut clients = JoinSet::new();
        let mut recipients = Vec::new();
        loop {
            while clients.len() < CLIENTS
                && let Some(letter) = waiting.next()
            {
                turn.tick().await;
                let socket = socket.clone();
                clients.spawn(async move { submit(&socket, &letter).await.map(|_| letter) });
            }
            let Some(done) = clients.join_next().await else { return Ok(recipients) };
            let letter = done.map_err(|error| Said::words(error.to_string()))??;
            recipients.extend(self.acknowledged(&letter));
        }
    }

    // A client has the promise for it.
    fn acknowledged(&mut self, letter: &Letter) -> Vec<String> {
        let to: Vec<String> = letter.recipients.iter().map(|r| r.to.to_string()).collect();
        to.iter().for_each(|to| self.account.acknowledge(to.clone()));
        to
    }

    fn arrived(&self) -> Arrived {
        account::arrived(&self.lab.transactions())
    }

    // Waits until every node has tried some letters. How often each was put off.
    async fn until_all_have_tried(&self) -> BTreeMap<String, usize> {
        let until = Instant::now() + PATIENCE;
        loop {
            let seen = self.lab.transactions();
            let tried = self.by_member(seen.iter().map(|seen| seen.peer));
            let all = self.members.iter().all(|m| tried.get(&m.name).is_some_and(|n| *n >= TRIED));
            if all || Instant::now() > until {
                return tried;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    // Waits until no node takes mail any more, or all do again.
    async fn until_all_refuse(&self, refuse: bool) -> Result<(), Said> {
        let until = Instant::now() + PATIENCE;
        for member in &self.members {
            while asked(&member.run_dir(), |client| client.health()).await?.refusing.is_some()
                != refuse
                && Instant::now() < until
            {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        Ok(())
    }

    async fn until_arrived(&self, letters: &[String]) -> Arrived {
        let until = Instant::now() + PATIENCE;
        loop {
            let arrived = self.arrived();
            let all = letters.iter().all(|to| arrived.contains_key(to));
            if all || Instant::now() > until {
                return arrived;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn wait_for_empty_queue(&self) -> Result<(), Said> {
        let until = Instant::now() + PATIENCE;
        let run_dir = self.first()?.run_dir();
        while asked(&run_dir, |client| client.health()).await?.messages > 0
            && Instant::now() < until
        {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    // How many copies of these letters each node has delivered.
    fn delivered_by(&self, letters: &[String], arrived: &Arrived) -> BTreeMap<String, usize> {
        self.by_member(letters.iter().filter_map(|to| arrived.get(to)).flatten().copied())
    }

    fn by_member(&self, peers: impl Iterator<Item = IpAddr>) -> BTreeMap<String, usize> {
        let mut by = BTreeMap::new();
        for peer in peers {
            if let Some(member) = self.members.iter().find(|m| IpAddr::V4(m.address) == peer) {
                *by.entry(member.name.clone()).or_default() += 1;
            }
        }
        by
    }
}

fn letter(number: usize) -> Result<Letter, Said> {
    let letter = || {
        let from = Address::parse(&format!("user@{SENDER_DOMAIN}"))?;
        let (resident, ending) = match number % 2 {
            0 => (STRICT, Ending::Authenticated),
            _ => (PLAIN, Ending::Delivered),
        };
        let recipients = vec![destined(resident, &format!("ana{number}"), ending)?];
        Ok(Letter { author: from.clone(), from, recipients, way: Way::Direct })
    };
    letter().map_err(|error| address_error(&error))
}

fn listed(by: &BTreeMap<String, usize>) -> String {
    let list: Vec<String> = by.iter().map(|(name, count)| format!("{name} {count}")).collect();
    list.join(", ")
}
