//! The page for people in both languages, and the document for programs.

use serde_json::{Value, json};

use super::*;
use crate::golden;

fn manner(language: Language) -> Manner {
    Manner { language, now: "2026-11-24T12:10:00Z".parse().unwrap(), zone: TimeZone::UTC }
}

/// Before anybody is asked: a script whose variable is empty hears of it.
#[test]
fn what_names_nothing_and_what_cannot_be_forgotten_is_wrong_usage() {
    let meant_by = |what: &str, forget: bool| {
        let arguments = WhyArgs { what: what.to_owned(), json: false, forget };
        meant(&arguments).map(str::to_owned).map_err(|failure| failure.code)
    };
    for what in ["", "  ", "<>", "< >"] {
        for forget in [false, true] {
            assert_eq!(meant_by(what, forget), Err(Sysexit::Arguments), "{what:?}");
        }
    }
    assert_eq!(meant_by("0GX2Q4B7Z", true), Err(Sysexit::Arguments));
    assert_eq!(meant_by("0GX2Q4B7Z", false).as_deref(), Ok("0GX2Q4B7Z"));
    for what in ["ana@example.com", " <ana@example.com> "] {
        assert_eq!(meant_by(what, true).as_deref(), Ok("ana@example.com"), "{what:?}");
    }
}

fn tried(at: &str, status: &str, text: &str, tls: bool) -> Value {
    json!({
        "at": at, "event": "delivery", "to": "you@example.net", "component": "smtp",
        "relay": "mx.example.net[192.0.2.1]:25", "status": status, "dsn": "4.7.1", "code": 450,
        "text": text, "delay": 1.5, "delay_before_queue": 0.1, "delay_in_queue": 0.0,
        "delay_connection": 0.25, "delay_transmission": 1.25,
        "tls_version": tls.then_some("TLSv1.3"), "tls_cipher": tls.then_some("TLS_AES_256_GCM_SHA384"),
        "tls_verified": tls.then_some("certificate"),
    })
}

fn beginning() -> Vec<Value> {
    vec![
        json!({"at": "2026-11-24T12:00:00Z", "event": "from_client", "client_name": "laptop.example",
            "client_address": "192.0.2.9", "helo": "laptop", "protocol": "ESMTPSA",
            "tls": "TLSv1.3 with cipher X", "login": "ana"}),
        json!({"at": "2026-11-24T12:00:00Z", "event": "message_id", "message_id": "<1@example.com>",
            "from": "ana@example.com", "to": ["you@example.net", "b@example.org"],
            "changes": [{"what": "added", "of": "Date"}, {"what": "sender", "of": "ana@web"},
                {"what": "line-ends"}, {"what": "nuls", "of": "2"}, {"what": "body"}],
            "signed": [{"domain": "example.com", "selector": "s1", "algorithm": "rsa-sha256"}]}),
        json!({"at": "2026-11-24T12:00:00Z", "event": "queued", "size": 1234, "recipients": 2}),
    ]
}

const GREYLISTED: &str = "host mx.example.net[192.0.2.1] said: 450 4.7.1 <you@example.net>: \
    Recipient address rejected: Greylisted\u{1b}[2J (in reply to RCPT TO command)";

fn waiting() -> StoryView {
    let mut events = beginning();
    for minute in 1..8 {
        let at = format!("2026-11-24T12:0{minute}:00Z");
        events.push(tried(&at, "deferred", GREYLISTED, minute > 1));
    }
    events.push(json!({"at": "2026-11-24T12:08:00Z", "event": "notification",
        "kind": "sender delay notification", "notification": "0A1B2C3D4E60"}));
    events.push(json!({"at": "2026-11-24T12:09:00Z", "event": "notice", "level": "info",
        "component": "qmgr", "text": "to be tried now by uid 0"}));
    // As an older version noted it and as this one does.
    events.push(json!({"at": "2026-11-24T12:09:30Z", "event": "notice", "level": "info",
        "component": "qmgr", "text": "to be tried now by uid 0",
        "cause": {"by-hand.tried": {"uid": 0}}}));
    let recipient = json!({"address": "you@example.net", "state": "waiting", "attempts": 7,
        "next_attempt": "2026-11-24T12:20:00Z", "last": null});
    view(
        events,
        json!({"id": "0A1B2C3D4E5F", "arrived": "2026-11-24T12:00:00Z",
        "expires": "2026-11-29T12:00:00Z", "size": 1234, "from": "ana@example.com",
        "origin": "client laptop.example[192.0.2.9]", "held": false, "delay_notified": true,
        "recipients": [recipient]}),
    )
}

fn failed() -> StoryView {
    let text = "host mx.example.net[192.0.2.1] said: 550 5.1.1 User unknown (in reply to RCPT TO \
        command)";
    let mut events = beginning();
    events[0] = json!({"at": "2026-11-24T12:00:00Z", "event": "from_local_user", "uid": 4_000_000_000_u32,
        "from": "ana@example.com"});
    events[1]["signed"] = json!([]);
    events[1]["changes"] = json!([]);
    events[1]["unsigned"] = "no-key".into();
    events[1]["unsigned_domain"] = "example.com".into();
    events.push(tried("2026-11-24T12:00:01Z", "bounced", text, false));
    let sent = json!({"to": "b@example.org", "code": 250, "dsn": "2.0.0", "status": "sent",
        "text": "250 2.0.0 Ok"});
    let mut taken = tried("2026-11-24T12:00:02Z", "sent", "", true);
    for (key, value) in sent.as_object().unwrap() {
        taken[key] = value.clone();
    }
    events.push(taken);
    events.push(json!({"at": "2026-11-24T12:00:03Z", "event": "notification",
        "kind": "sender non-delivery notification", "notification": "0A1B2C3D4E60"}));
    events.push(json!({"at": "2026-11-24T12:00:03Z", "event": "removed"}));
    view(events, Value::Null)
}

fn view(events: Vec<Value>, queued: Value) -> StoryView {
    let view = json!({"id": "0A1B2C3D4E5F", "events": events, "queued": queued});
    serde_json::from_value(view).unwrap()
}

fn nothing_known() -> [UnknownView; 4] {
    let since = Some("2026-11-20T00:00:00Z".to_owned());
    let on = UnknownView { on: true, since, ..UnknownView::default() };
    let given = |at: &str| Some(at.to_owned());
    [
        UnknownView { similar: vec!["ana@example.com".into()], ..on.clone() },
        UnknownView { given: given("2026-11-01T00:00:00Z"), ..on.clone() },
        UnknownView { given: given("2026-11-23T00:00:00Z"), own_only: true, ..on },
        UnknownView::default(),
    ]
}

/// Everything that people are told, in both languages: golden files.
#[test]
fn people_read_the_story() {
    for (language, code) in [(Language::English, "en"), (Language::Spanish, "es")] {
        let manner = manner(language);
        let mut page = String::new();
        for view in [waiting(), failed(), view(Vec::new(), waiting_in_queue())] {
            page.push_str(&page::story(&Story::of(&view), &manner));
            page.push_str("\n----\n\n");
        }
        for unknown in nothing_known() {
            page.push_str(&page::nothing("an@example.com", &unknown, &manner).join("\n"));
            page.push_str("\n\n");
        }
        golden::same(&format!("why/{code}.txt"), &anstream::adapter::strip_str(&page).to_string());
        assert!(!page.contains("\u{1b}[2J"));
    }
}

fn waiting_in_queue() -> Value {
    let mut queued = serde_json::to_value(waiting().queued).unwrap();
    queued["held"] = true.into();
    queued
}

#[test]
fn programs_read_one_document() {
    let document = Story::of(&waiting()).document(Language::English);
    assert_eq!(document["state"], "waiting");
    assert_eq!(document["next_attempt"], "2026-11-24T12:20:00Z");
    assert_eq!(document["origin"]["login"], "ana");
    let recipient = &document["recipients"][0];
    assert_eq!(recipient["state"], "waiting");
    assert_eq!(recipient["attempts"].as_array().unwrap().len(), 7);
    let last = &recipient["attempts"][6];
    assert_eq!(last["tls_cipher"], "TLS_AES_256_GCM_SHA384");
    assert_eq!(last["explanation"]["class"], "greylisted");
    assert!(document["advice"][1].as_str().unwrap().contains("puerto queue retry 0A1B2C3D4E5F"));
    let document = Story::of(&failed()).document(Language::English);
    assert_eq!(document["state"], "failed");
    assert_eq!(document["unsigned"], "no-key");
    let states = document["recipients"].as_array().unwrap().iter().map(|r| &r["state"]);
    assert_eq!(states.collect::<Vec<_>>(), ["failed", "sent"]);
}

#[test]
fn a_message_that_a_pause_keeps_says_so_and_how_it_ends() {
    let mut view = waiting();
    view.paused = serde_json::from_value(json!([{"number": 3, "kind": "pause",
        "to": "example.net", "since": "2026-11-24T12:09:00Z", "until": "2026-11-24T14:10:00Z",
        "by": 0, "note": "their maintenance"}]))
    .unwrap();
    let story = Story::of(&view);
    for (language, words) in [
        (Language::English, ["is paused", "order 3: paused: to example.net (their maintenance)"]),
        (Language::Spanish, ["está en pausa", "orden 3: en pausa: para example.net"]),
    ] {
        let text = page::story(&story, &manner(language));
        for word in words.iter().chain(&["`puerto resume 3`"]) {
            assert!(text.contains(word), "{word}\n{text}");
        }
        assert!(!text.contains("`puerto queue retry"), "{text}");
    }
    assert_eq!(story.document(Language::English)["paused"][0]["number"], 3);
}

/// T10: a retry takes nobody out of a line.
#[test]
fn a_message_that_stands_in_line_for_a_rate_is_not_told_to_be_retried() {
    let mut view = waiting();
    let queued = view.queued.as_mut().unwrap();
    queued.recipients[0].turn = serde_json::from_value(json!({"lane": "mx.example.net",
        "per_hour": 120, "next": "2026-11-24T12:20:00Z"}))
    .unwrap();
    let text = page::story(&Story::of(&view), &manner(Language::English));
    assert!(text.contains("when its turn comes"), "{text}");
    assert!(!text.contains("`puerto queue retry"), "{text}");
}

/// U5: advice named nobody, and there was none for all but the last who was refused.
#[test]
fn advice_says_of_whom_it_is_where_there_are_several() {
    let full = "host mx.example.org[192.0.2.2] said: 452 4.2.2 Mailbox full (in reply to RCPT TO \
        command)";
    let mut events = beginning();
    events.push(tried("2026-11-24T12:01:00Z", "deferred", GREYLISTED, true));
    let mut other = tried("2026-11-24T12:02:00Z", "deferred", full, true);
    other["to"] = "b@example.org".into();
    events.push(other);
    let recipients = ["you@example.net", "b@example.org"].map(|address| {
        json!({"address": address, "state": "waiting", "attempts": 1,
            "next_attempt": "2026-11-24T12:20:00Z", "last": null})
    });
    let queued = json!({"id": "0A1B2C3D4E5F", "arrived": "2026-11-24T12:00:00Z",
        "expires": "2026-11-29T12:00:00Z", "size": 1234, "from": "ana@example.com",
        "origin": "user 7", "held": false, "delay_notified": false, "recipients": recipients});
    let view = view(events, queued);
    for language in [Language::English, Language::Spanish] {
        let story = Story::of(&view);
        let advice: Vec<String> = story.advice().iter().map(|said| said.of(language)).collect();
        assert!(advice[0].starts_with("b@example.org: "), "the last first: {advice:?}");
        assert!(advice[1].starts_with("you@example.net: "), "{advice:?}");
        assert!(advice[2].contains("puerto queue retry 0A1B2C3D4E5F"), "{advice:?}");
    }
}
