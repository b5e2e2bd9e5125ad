//! Sessions over a pipe, with users that the kernel need not vouch for.

mod retries;
mod slips;
mod why;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use puerto_smtp::{Envelope, Recipient, ReversePath};
use puerto_spool::clock::ManualClock;
use puerto_spool::memory::MemorySpool;
use puerto_spool::{
    Attempt, ClaimRequest, Content, Desk as _, Disposition, MessageId, NewMessage, Origin,
    Settlement, Store as _, Timestamp, Work as _,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::server::{Context, Sight};
use super::session::{Shared, serve};
use crate::config::{Config, Live};
use crate::intake::Wake;
use crate::telemetry::{Event, MailLog};

/// Neither root nor the user who runs the tests.
const SOMEBODY: u32 = 54_321;

struct Bench {
    shared: Arc<Shared>,
    spool: Arc<MemorySpool>,
    log: Arc<Mutex<Vec<String>>>,
}

fn bench() -> Bench {
    let clock = ManualClock::new(Timestamp::from_millis(1_795_510_000_000));
    let spool = Arc::new(MemorySpool::new(Arc::new(clock)));
    let log = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&log);
    let context = Context {
        config: Live::new(Config::for_tests(std::path::Path::new("/nonexistent"))),
        desk: spool.clone(),
        store: spool.clone(),
        wake: Wake::default(),
        log: MailLog::new(move |event| {
            let line = match event {
                Event::Notice { id, text, .. } => format!("{id:?} {text}"),
                Event::Remark { id, cause, .. } => format!("{:?} {cause}", Some(id)),
                Event::Removed { id } => format!("{id} removed"),
                other => format!("{other:?}"),
            };
            written.lock().unwrap().push(line);
        }),
        history: None,
        reload: Arc::new(|| Err("line 3: no such key".to_owned())),
        sight: Sight::default(),
    };
    Bench { shared: Arc::new(Shared::new(context)), spool, log }
}

impl Bench {
    fn put(&self, from: &str, to: &[&str]) -> MessageId {
        self.put_as(from, to, |_| {})
    }

    fn put_as(&self, from: &str, to: &[&str], change: impl Fn(&mut Envelope)) -> MessageId {
        self.put_by(Origin::LocalUser(7), from, to, change)
    }

    fn put_by(
        &self,
        origin: Origin,
        from: &str,
        to: &[&str],
        change: impl Fn(&mut Envelope),
    ) -> MessageId {
        let id = self.spool.new_id();
        let from = ReversePath::parse(&format!("<{from}>")).unwrap();
        let to = to.iter().map(|to| Recipient::new(to.parse().unwrap())).collect();
        let mut envelope = Envelope::new(from, to);
        change(&mut envelope);
        let message = NewMessage {
            id,
            envelope,
            received_at: Timestamp::from_millis(1_795_500_000_000),
            origin,
            prefix: b"Received: by us\r\n".to_vec(),
            content: Content::Memory(b"Subject: secret\r\n\r\nbody\r\n".to_vec()),
            held_for: None,
        };
        self.spool.commit(message).wait().unwrap();
        id
    }

    /// Every waiting recipient is tried and deferred by an hour.
    fn defer_all(&self, text: &str) {
        let now = Timestamp::from_millis(1_795_510_000_000);
        let hold = Duration::from_secs(60);
        let request = ClaimRequest { hold, limit: 10_000, per_domain: 10_000, resting: Vec::new() };
        for lease in self.spool.claim(&request).wait().unwrap().leases {
            let attempt = Attempt {
                at: now,
                relay: "mx.example.net[192.0.2.1]:25".into(),
                code: 450,
                status: "4.7.1".parse().unwrap(),
                text: text.into(),
                cause: r#"{"id":"test"}"#.into(),
            };
            let due = now.after(Duration::from_secs(3600));
            let deferred = Disposition::Deferred { due, attempt };
            let dispositions =
                lease.recipients.iter().map(|r| (r.index, deferred.clone())).collect();
            drop(self.spool.settle(vec![Settlement { token: lease.token, dispositions }]));
        }
    }

    fn next_due(&self) -> Option<Timestamp> {
        let request =
            ClaimRequest { hold: Duration::ZERO, limit: 0, per_domain: 0, resting: Vec::new() };
        self.spool.claim(&request).wait().unwrap().next_due
    }

    async fn ask(&self, uid: u32, request: Value) -> Vec<Value> {
        let line = json!({ "version": 1, "request": request }).to_string() + "\n";
        self.say(uid, line.as_bytes()).await
    }

    async fn say(&self, uid: u32, octets: &[u8]) -> Vec<Value> {
        let answer = self.hear(uid, octets).await;
        answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    async fn hear(&self, uid: u32, octets: &[u8]) -> String {
        let (mut ours, theirs) = tokio::io::duplex(1024);
        let served = tokio::spawn(serve(theirs, uid, Arc::clone(&self.shared)));
        let (mut read, mut write) = tokio::io::split(&mut ours);
        let mut answer = String::new();
        let speak = async {
            // A session that ends early is what some tests are about.
            let _ = write.write_all(octets).await;
            let _ = write.shutdown().await;
        };
        let (_, heard) = tokio::join!(speak, read.read_to_string(&mut answer));
        heard.unwrap();
        served.await.unwrap();
        answer
    }
}

#[tokio::test]
async fn a_long_queue_is_listed_in_order_and_ends() {
    let bench = bench();
    let ids: Vec<String> = (0..1000)
        .map(|n| bench.put("a@example.com", &[&format!("u{n}@example.net")]).to_string())
        .collect();
    let answers = bench.ask(SOMEBODY, json!({ "list": {} })).await;
    let (end, messages) = answers.split_last().unwrap();
    assert_eq!(*end, json!({ "end": { "count": 1000, "missing": [] } }));
    let listed: Vec<&str> =
        messages.iter().map(|message| message["message"]["id"].as_str().unwrap()).collect();
    assert_eq!(listed, ids);
}

#[tokio::test]
async fn what_a_message_wants_of_tls_is_shown() {
    use puerto_smtp::TlsWish;
    let bench = bench();
    for (wish, shown) in [
        (TlsWish::Required, json!("required")),
        (TlsWish::Optional, json!("optional")),
        (TlsWish::Usual, Value::Null),
    ] {
        let id = bench.put_as("a@example.com", &["b@example.net"], |envelope| envelope.tls = wish);
        let answers = bench.ask(0, json!({ "show": { "id": id.to_string() } })).await;
        assert_eq!(answers[0]["message"]["tls_wish"], shown);
    }
}

#[tokio::test]
async fn a_message_is_shown_with_stable_names() {
    let bench = bench();
    let id = bench.put("a@example.com", &["b@example.net"]).to_string();
    bench.defer_all("later");
    let answers = bench.ask(0, json!({ "show": { "id": id.to_lowercase() } })).await;
    assert_eq!(
        answers[0]["message"],
        json!({
            "id": id, "arrived": "2026-11-24T06:00:00Z", "expires": "2026-11-29T06:00:00Z",
            "size": 42, "from": "a@example.com", "origin": "user 7", "held": false,
            "delay_notified": false, "eight_bit": false, "smtputf8": false,
            "recipients": [{
                "address": "b@example.net", "state": "waiting", "attempts": 1,
                "next_attempt": "2026-11-24T09:46:40Z",
                "last": {
                    "at": "2026-11-24T08:46:40Z", "relay": "mx.example.net[192.0.2.1]:25",
                    "code": 450, "status": "4.7.1", "text": "later", "cause": { "id": "test" }
                },
                "attempts_list": [{
                    "at": "2026-11-24T08:46:40Z", "relay": "mx.example.net[192.0.2.1]:25",
                    "code": 450, "status": "4.7.1", "text": "later", "cause": { "id": "test" }
                }]
            }],
            "header": "Received: by us\nSubject: secret\n"
        })
    );
    assert_eq!(answers[1]["end"]["count"], 1);
}

#[tokio::test]
async fn ordinary_users_see_the_queue_but_no_content_and_change_nothing() {
    let bench = bench();
    let id = bench.put("a@example.com", &["b@example.net"]).to_string();
    let shown = bench.ask(SOMEBODY, json!({ "show": { "id": id } })).await;
    assert_eq!(shown[0]["message"]["header"], Value::Null);
    assert_eq!(bench.ask(SOMEBODY, json!("health")).await[0]["health"]["messages"], 1);
    for change in ["retry", "hold", "release", "remove"] {
        let answers =
            bench.ask(SOMEBODY, json!({ "change": { "change": change, "ids": [id] } })).await;
        assert_eq!(answers[0]["error"]["code"], "denied", "{change}");
    }
    assert_eq!(bench.ask(SOMEBODY, json!("reload")).await[0]["error"]["code"], "denied");
    assert!(!bench.spool.get(id.parse().unwrap()).wait().unwrap().held);
}

#[tokio::test]
async fn administrators_change_messages_and_the_log_says_who() {
    let bench = bench();
    let id = bench.put("a@example.com", &["b@example.net"]);
    bench.defer_all("later");
    let change = |change: &str, ids: &[&str]| json!({ "change": { "change": change, "ids": ids } });
    let name = id.to_string();
    let later = bench.next_due().unwrap();
    for (word, held) in [("hold", true), ("release", false)] {
        let answers = bench.ask(0, change(word, &[&name])).await;
        assert_eq!(answers, [json!({ "end": { "count": 1, "missing": [] } })]);
        assert_eq!(bench.spool.get(id).wait().unwrap().held, held);
    }
    assert!(bench.next_due().unwrap() < later, "what it waited for before is passed");
    bench.defer_all("later");
    bench.ask(0, change("retry", &[&name])).await;
    assert!(bench.next_due().unwrap() < later);
    let own_uid = nix::unistd::geteuid().as_raw();
    let absent = "0A1B2C3D4E5F";
    let answers = bench.ask(own_uid, change("remove", &[&name, absent])).await;
    assert_eq!(answers, [json!({ "end": { "count": 1, "missing": [absent] } })]);
    assert!(bench.spool.get(id).wait().is_err());
    let log = bench.log.lock().unwrap().clone();
    assert!(
        log.iter().any(|line| line.contains(&format!("removed from the queue by uid {own_uid}")))
    );
    assert!(log.contains(&format!("{id} removed")));
}

/// G4.
#[tokio::test]
async fn conditions_select_messages() {
    let bench = bench();
    let one = bench.put("a@example.com", &["x@example.net", "y@example.org"]).to_string();
    bench.defer_all("Connection refused");
    let two = bench.put("", &["z@sub.example.net"]).to_string();
    for (conditions, expected) in [
        (json!({}), vec![&one, &two]),
        (json!({ "to": "X@EXAMPLE" }), vec![&one]),
        (json!({ "to": "*@*.example.net" }), vec![&two]),
        (json!({ "from": "<>" }), vec![&two]),
        (json!({ "from": "a@example.com" }), vec![&one]),
        (json!({ "destination": "example.net" }), vec![&one]),
        (json!({ "destination": "*.example.net" }), vec![&one, &two]),
        (json!({ "destination": "mx.example.net" }), vec![&one]),
        (json!({ "destination": "ample.net" }), vec![]),
        (json!({ "reason": "refused" }), vec![&one]),
        (json!({ "reason": "refused", "from": "<>" }), vec![]),
        (json!({ "to": "nobody" }), vec![]),
        (json!({ "class": "not-tried" }), vec![&two]),
        (json!({ "class": "connection-refused" }), vec![&one]),
        (json!({ "older": 10_000 }), vec![&one, &two]),
        (json!({ "older": 10_001 }), vec![]),
        (json!({ "larger": 41 }), vec![&one, &two]),
        (json!({ "larger": 42 }), vec![]),
        (json!({ "ids": [two.to_lowercase()] }), vec![&two]),
        (json!({ "ids": [two, one], "to": "x@" }), vec![&one]),
        (json!({ "held": true }), vec![]),
        (json!({ "account": "ana" }), vec![]),
    ] {
        let answers = bench.ask(SOMEBODY, json!({ "list": conditions })).await;
        let listed: Vec<&str> =
            answers.iter().filter_map(|answer| answer["message"]["id"].as_str()).collect();
        assert_eq!(listed, expected, "{conditions}");
    }
}

#[tokio::test]
async fn a_selection_that_cannot_be_is_refused() {
    let bench = bench();
    for (selection, word) in [
        (json!({ "class": "no-such" }), "no reason is of a class no-such"),
        (json!({ "ids": ["nonsense"] }), "not a queue id"),
    ] {
        for request in [
            json!({ "list": selection }),
            json!({ "ids": selection }),
            json!({ "overview": { "selection": selection, "most": 5 } }),
        ] {
            let answers = bench.ask(0, request).await;
            assert_eq!(answers[0]["error"]["code"], "malformed");
            assert!(answers[0]["error"]["message"].as_str().unwrap().contains(word));
        }
    }
}

#[tokio::test]
async fn lists_for_people_and_for_changes_have_what_these_need() {
    let bench = bench();
    let one = bench.put("a@example.com", &["x@example.net", "y@example.org"]).to_string();
    bench.defer_all("later");
    let two = bench.put("", &["z@example.net"]).to_string();
    let answers = bench.ask(SOMEBODY, json!({ "ids": {} })).await;
    assert_eq!(
        answers,
        [json!({ "ids": [one, two] }), json!({ "end": { "count": 2, "missing": [] } })]
    );
    let answers = bench.ask(SOMEBODY, json!({ "brief": { "causes": true } })).await;
    let next = 1_795_513_600_000_i64;
    let recipient = |address: &str| {
        json!({
            "address": address, "state": "waiting", "next": next, "text": "later",
            "cause": "{\"id\":\"test\"}"
        })
    };
    assert_eq!(
        answers[0]["brief"],
        json!({
            "id": one, "at": 1_795_500_000_000_i64, "size": 42, "from": "a@example.com",
            "held": false, "to": [recipient("x@example.net"), recipient("y@example.org")]
        })
    );
    assert_eq!(answers[1]["brief"]["to"][0].get("text"), None);
    assert_eq!(answers[2]["end"]["count"], 2);
}

#[tokio::test]
async fn an_overview_counts_by_destination_and_by_reason() {
    let bench = bench();
    let held = bench.put("a@example.com", &["x@example.net", "y@example.org"]).to_string();
    bench.defer_all("Connection refused");
    bench.put("", &["z@example.net"]);
    bench.ask(0, json!({ "change": { "change": "hold", "ids": [held] } })).await;
    let ask = |most: u64| json!({ "overview": { "most": most } });
    let answers = bench.ask(0, ask(10)).await;
    let overview = &answers[0]["overview"];
    assert_eq!((&overview["messages"], &overview["held"]), (&json!(2), &json!(1)));
    assert_eq!(overview["recipients"]["count"], 3);
    assert_eq!(overview["recipients"]["ages"], json!([0, 0, 0, 3, 0, 0, 0, 0]));
    assert_eq!(overview["age_bounds"].as_array().unwrap().len(), 7);
    let first = &overview["destinations"][0];
    assert_eq!(first["domain"], "example.net");
    assert_eq!(first["reasons"], json!({ "connection-refused": 1, "not-tried": 1 }));
    assert_eq!((&first["recipients"]["held"], &first["lane"]), (&json!(1), &Value::Null));
    assert_eq!(overview["reasons"][0]["class"], "connection-refused");
    assert_eq!(overview["reasons"][0]["recipients"]["next_attempt"], Value::Null, "all are held");
    let answers = bench.ask(0, ask(1)).await;
    let overview = &answers[0]["overview"];
    assert_eq!(overview["destinations"].as_array().unwrap().len(), 1);
    assert_eq!(overview["more_destinations"], 1);
    let of_one = json!({ "overview": { "selection": { "to": "z@" }, "most": 10 } });
    assert_eq!(bench.ask(SOMEBODY, of_one).await[0]["overview"]["recipients"]["count"], 1);
}

#[tokio::test]
async fn a_body_is_shown_to_administrators_alone_octet_by_octet_and_the_log_says_so() {
    let bench = bench();
    let id = bench.put("a@example.com", &["b@example.net"]).to_string();
    let body = json!({ "body": { "id": id } });
    assert_eq!(bench.ask(SOMEBODY, body.clone()).await[0]["error"]["code"], "denied");
    let line = json!({ "version": 1, "request": body }).to_string() + "\n";
    let said = bench.hear(0, line.as_bytes()).await;
    let expected = "{\"body\":{\"size\":42}}\nReceived: by us\r\nSubject: secret\r\n\r\nbody\r\n\
                    {\"end\":{\"count\":1,\"missing\":[]}}\n";
    assert_eq!(said, expected);
    let absent = json!({ "body": { "id": "0A1B2C3D4E5F" } });
    assert_eq!(bench.ask(0, absent).await[0]["error"]["code"], "not_found");
    let log = bench.log.lock().unwrap().join("\n");
    assert!(log.contains("shown whole to uid 0"), "{log}");
}

#[tokio::test]
async fn orders_are_given_listed_and_taken_back_by_administrators() {
    let bench = bench();
    let pause = json!({ "order": {
        "what": { "kind": "pause", "to": "example.net" }, "seconds": 60, "note": "why"
    } });
    assert_eq!(bench.ask(SOMEBODY, pause.clone()).await[0]["error"]["code"], "denied");
    let given = bench.ask(0, pause).await;
    let expected = json!({
        "number": 1, "kind": "pause", "to": "example.net", "since": "2026-11-24T08:46:40Z",
        "until": "2026-11-24T08:47:40Z", "by": 0, "note": "why"
    });
    assert_eq!(given[0]["order"], expected);
    let listed = bench.ask(SOMEBODY, json!("orders")).await;
    assert_eq!((&listed[0]["order"], &listed[1]["end"]["count"]), (&expected, &json!(1)));
    let overview = bench.ask(0, json!({ "overview": { "most": 1 } })).await;
    assert_eq!(overview[0]["overview"]["orders"], json!([expected]));
    let wrong = json!({ "order": { "what": { "kind": "pause", "to": "no domain" } } });
    assert_eq!(bench.ask(0, wrong).await[0]["error"]["code"], "malformed");
    let back = json!({ "take_back": { "numbers": [1, 7] } });
    assert_eq!(bench.ask(SOMEBODY, back.clone()).await[0]["error"]["code"], "denied");
    let taken = bench.ask(0, back).await;
    assert_eq!(taken, [json!({ "end": { "count": 1, "missing": ["7"] } })]);
    assert_eq!(bench.spool.orders().wait(), Ok(Vec::new()));
    let log = bench.log.lock().unwrap().join("\n");
    assert!(
        log.contains(
            "order 1: pause to=example.net: given by uid 0, until 2026-11-24T08:47:40Z (why)"
        ),
        "{log}"
    );
    assert!(log.contains("taken back by uid 0"), "{log}");
}

#[tokio::test]
async fn who_ends_a_pause_has_what_waited_for_it_tried() {
    let bench = bench();
    bench.put("a@example.com", &["x@sub.example.net"]);
    bench.put("a@example.com", &["x@example.net"]);
    bench.defer_all("later");
    let now = Timestamp::from_millis(1_795_510_000_000);
    let pause = json!({ "order": { "what": { "kind": "pause", "to": "*.example.net" } } });
    bench.ask(0, pause).await;
    bench.ask(0, json!({ "take_back": { "numbers": [1] } })).await;
    for entry in bench.spool.entries() {
        assert_eq!(entry.recipients[0].state, puerto_spool::RecipientState::Due(now));
    }
}

#[tokio::test]
async fn what_a_pause_keeps_says_so_wherever_it_is_shown() {
    let bench = bench();
    let id = bench.put("a@example.com", &["x@example.net", "y@example.org"]).to_string();
    let what = json!({ "kind": "pause", "to": "example.net" });
    bench.ask(0, json!({ "order": { "what": what, "seconds": 7200 } })).await;
    bench.ask(0, json!({ "order": { "what": { "kind": "hold", "to": "example.net" } } })).await;
    let shown = &bench.ask(SOMEBODY, json!({ "show": { "id": id } })).await[0]["message"];
    let listed = &bench.ask(SOMEBODY, json!({ "list": {} })).await[0]["message"];
    for message in [shown, listed] {
        assert_eq!(message["paused"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&message["paused"][0]["number"], &message["paused"][0]["by"]),
            (&json!(1), &json!(0))
        );
        let of = |nth: usize| &message["recipients"][nth]["paused"];
        assert_eq!((of(0), of(1)), (&json!(1), &Value::Null));
    }
    let brief = &bench.ask(SOMEBODY, json!({ "brief": {} })).await[0]["brief"]["to"];
    let pause = json!({ "number": 1, "until": 1_795_510_000_000_i64 + 7_200_000 });
    assert_eq!((&brief[0]["paused"], &brief[1]["paused"]), (&pause, &Value::Null));
    let overview = &bench.ask(0, json!({ "overview": { "most": 5 } })).await[0]["overview"];
    let paused = |nth: usize| {
        let one = &overview["destinations"][nth];
        (one["domain"].as_str().unwrap().to_owned(), one["paused"].clone())
    };
    assert_eq!(paused(0), ("example.net".to_owned(), json!(1)));
    assert_eq!(paused(1), ("example.org".to_owned(), Value::Null));
    bench.ask(0, json!({ "take_back": { "numbers": [1] } })).await;
    let shown = &bench.ask(0, json!({ "show": { "id": id } })).await[0]["message"];
    assert_eq!((&shown["paused"], &shown["recipients"][0]["paused"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn an_order_ends_by_itself_and_one_of_another_node_is_heeded() {
    let bench = bench();
    let context = &bench.shared.context;
    let order = |until: i64| {
        format!(
            r#"{{"what":{{"kind":"pause","to":"a.example"}},"since":0,"until":{until},"by":0}}"#
        )
    };
    bench.spool.give_order(order(1_795_510_000_000)).wait().unwrap();
    bench.spool.give_order(order(1_795_510_000_001)).wait().unwrap();
    super::ordering::tend(context);
    assert_eq!(context.sight.orders.get().orders.len(), 1);
    assert_eq!(bench.spool.orders().wait().unwrap().len(), 1);
    assert!(
        bench
            .log
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains("order 1: pause to=a.example: has ended"))
    );
}

#[tokio::test]
async fn counts_and_lanes_are_told() {
    let bench = bench();
    let answers = bench.ask(SOMEBODY, json!("vitals")).await;
    let vitals = &answers[0]["vitals"];
    assert_eq!(vitals["counts"]["accepted"], 0);
    assert_eq!(vitals["lanes"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn everybody_may_have_waiting_mail_tried_but_not_all_the_time() {
    let bench = bench();
    bench.put("a@example.com", &["x@example.net"]);
    bench.put("a@example.com", &["y@example.org"]);
    bench.defer_all("later");
    let count = |answers: Vec<Value>| answers[0]["end"]["count"].as_u64().unwrap();
    let all = json!({ "flush": {} });
    let one = json!({ "flush": { "destination": "example.org" } });
    assert_eq!(count(bench.ask(SOMEBODY, one.clone()).await), 1);
    assert_eq!(count(bench.ask(SOMEBODY, all.clone()).await), 0, "too soon");
    assert_eq!(count(bench.ask(0, all.clone()).await), 2, "administrators need not wait");
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(count(bench.ask(SOMEBODY, all).await), 2);
}

#[tokio::test]
async fn what_is_no_request_is_named_and_ends_the_session() {
    let bench = bench();
    let good = "{\"version\":1,\"request\":\"health\"}\n";
    for (line, code) in [
        ("GET / HTTP/1.1\r\n".to_owned(), "malformed"),
        ("{\"version\":1}\n".to_owned(), "malformed"),
        ("{\"version\":1,\"request\":\"destroy\"}\n".to_owned(), "malformed"),
        ("{\"version\":2,\"request\":\"anything new\"}\n".to_owned(), "version"),
        ("\u{0}\n".to_owned(), "malformed"),
        ("[".repeat(10_000) + "\n", "malformed"),
        ("x".repeat(2 * 1024 * 1024), "malformed"),
    ] {
        let answers = bench.say(0, (line + good).as_bytes()).await;
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0]["error"]["code"], code);
    }
    assert_eq!(bench.say(0, good.as_bytes()).await.len(), 2, "others go on");
    assert!(bench.say(0, b"").await.is_empty());
}

#[tokio::test]
async fn failures_of_a_request_leave_the_session_open() {
    let bench = bench();
    let lines = "{\"version\":1,\"request\":{\"show\":{\"id\":\"0A1B2C3D4E5F\"}}}\n\
                 {\"version\":1,\"request\":{\"show\":{\"id\":\"what\"}}}\n\
                 {\"version\":1,\"request\":\"reload\"}\n\
                 {\"version\":1,\"request\":\"health\"}\n";
    let answers = bench.say(0, lines.as_bytes()).await;
    assert_eq!(answers[0]["error"]["code"], "not_found");
    assert_eq!(answers[1]["error"]["code"], "malformed");
    assert_eq!(answers[2]["error"]["message"], "line 3: no such key");
    assert_eq!(answers[3]["health"]["hostname"], "mail.example.com");
}

/// A10: one user's sessions are that user's own affair.
#[tokio::test]
async fn no_user_shuts_out_the_others() {
    let bench = bench();
    let mut idle = Vec::new();
    for _ in 0..100 {
        let (ours, theirs) = tokio::io::duplex(1024);
        tokio::spawn(serve(theirs, SOMEBODY, Arc::clone(&bench.shared)));
        idle.push(ours);
    }
    tokio::task::yield_now().await;
    assert_eq!(bench.ask(SOMEBODY, json!("health")).await[0]["error"]["code"], "busy");
    assert_eq!(bench.ask(SOMEBODY + 1, json!("health")).await[0]["health"]["messages"], 0);
    drop(idle);
    tokio::task::yield_now().await;
    assert_eq!(bench.ask(SOMEBODY, json!("health")).await[0]["health"]["messages"], 0);
}

/// A10: a message is tried as rarely as all of them, and requests are small.
#[tokio::test(start_paused = true)]
async fn one_message_is_tried_as_rarely_as_all() {
    let bench = bench();
    let id = bench.put("a@example.com", &["x@example.net"]).to_string();
    bench.defer_all("later");
    let one = json!({ "flush": { "id": id } });
    assert_eq!(bench.ask(SOMEBODY, one.clone()).await[0]["end"]["count"], 1);
    assert_eq!(bench.ask(SOMEBODY, one.clone()).await[0]["error"]["code"], "busy");
    assert_eq!(bench.ask(0, one.clone()).await[0]["end"]["count"], 1);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(bench.ask(SOMEBODY, one).await[0]["end"]["count"], 1);
    let long = json!({ "list": { "to": "*a".repeat(2048) } });
    assert_eq!(bench.ask(SOMEBODY, long).await[0]["error"]["code"], "malformed");
}

#[tokio::test]
async fn ordinary_users_cannot_shut_out_an_administrator() {
    let bench = bench();
    let mut idle = Vec::new();
    for _ in 0..16 {
        let (ours, theirs) = tokio::io::duplex(1024);
        tokio::spawn(serve(theirs, SOMEBODY, Arc::clone(&bench.shared)));
        idle.push(ours);
    }
    tokio::task::yield_now().await;
    assert_eq!(bench.ask(SOMEBODY, json!("health")).await[0]["error"]["code"], "busy");
    assert_eq!(bench.ask(0, json!("health")).await[0]["health"]["messages"], 0);
    drop(idle);
}
