//! The queue on paper, in both forms and languages.

use super::*;
use crate::cause::Cause;

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn tried(at: &str, relay: &str, code: Option<u16>, text: &str) -> AttemptView {
    AttemptView {
        at: at.into(),
        relay: relay.into(),
        code,
        status: if code.is_some() { "4.7.1" } else { "4.4.1" }.into(),
        text: text.into(),
        cause: None,
    }
}

fn message() -> MessageView {
    let last = tried(
        "2026-11-24T11:50:00Z",
        "mx.example.net[192.0.2.1]:25",
        Some(450),
        "host mx.example.net[192.0.2.1] said: 450 4.7.1 later\x1b[2J",
    );
    let waiting = RecipientView {
        address: "you@example.net".into(),
        state: State::Waiting,
        attempts: 2,
        next_attempt: Some("2026-11-24T12:10:00Z".into()),
        paused: None,
        turn: None,
        attempts_list: vec![last.clone()],
        last: Some(last),
    };
    let done = RecipientView {
        address: "done@example.net".into(),
        state: State::Done,
        next_attempt: None,
        last: None,
        attempts_list: Vec::new(),
        ..waiting.clone()
    };
    MessageView {
        id: "0A1B2C3D4E5F".into(),
        arrived: "2026-11-24T09:00:00Z".into(),
        expires: Some("2026-11-29T09:00:00Z".into()),
        size: 4300,
        from: String::new(),
        origin: "user 1000".into(),
        held: false,
        held_for: None,
        delay_notified: false,
        envelope_id: None,
        ret: None,
        eight_bit: false,
        smtputf8: false,
        tls_wish: None,
        paused: Vec::new(),
        parked: Vec::new(),
        recipients: vec![waiting, done],
        header: Some("Subject: x\x07\n\tfolded\n".into()),
    }
}

fn brief(message: &MessageView) -> Brief<'_> {
    let millis = |time: &str| time.parse::<Timestamp>().unwrap().as_millisecond();
    let to = message.open_recipients().map(|recipient| BriefRecipient {
        address: recipient.address.as_str().into(),
        state: recipient.state,
        next: recipient.next_attempt.as_deref().map(millis),
        paused: recipient.paused.map(|number| BriefPause { number, until: None }),
        turn: recipient.turn.clone(),
        text: recipient.last.as_ref().map(|last| last.text.as_str().into()),
        cause: None,
    });
    Brief {
        id: message.id.as_str().into(),
        at: millis(&message.arrived),
        size: message.size,
        from: message.from.as_str().into(),
        held: message.held,
        held_for: message.held_for.as_ref().map(|why| why.to_string().into()),
        to: to.collect(),
    }
}

fn listed(form: Form, messages: &[MessageView]) -> String {
    let mut out = Vec::new();
    let manner = Manner { form, language: Language::English, now: now() };
    let mut printer = Printer::new(&mut out, manner);
    for message in messages {
        printer.message(&brief(message)).unwrap();
    }
    printer.finish().unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn plain_lines_have_one_recipient_each() {
    assert_eq!(
        listed(Form::Plain, &[message()]),
        "0A1B2C3D4E5F\t4.1 KiB\t3h\t<>\tyou@example.net\tnext try in 10m: host \
         mx.example.net[192.0.2.1] said: 450 4.7.1 later?[2J\n"
    );
    assert_eq!(listed(Form::Plain, &[]), "");
    let held = MessageView { held: true, ..message() };
    assert!(listed(Form::Plain, &[held]).contains("\theld: host"));
    let held_for = Some(serde_json::json!({ "route.stays-here": {} }));
    let held = MessageView { held: true, held_for, ..message() };
    let text = listed(Form::Plain, std::slice::from_ref(&held));
    assert!(text.contains("\theld: the mail would stay on this machine: host"), "{text}");
    let mut out = Vec::new();
    story(&mut out, &held, now(), Language::Spanish).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("Motivo      el correo se quedaría en esta máquina"), "{text}");
}

#[test]
fn a_table_is_for_people() {
    let table = listed(Form::Table(Some(120)), &[message()]);
    for part in ["ID", "Recipient", "0A1B2C3D4E5F", "you@example.net", "recipients: 1"] {
        assert!(table.contains(part), "{part} in {table}");
    }
    assert!(!table.contains("done@example.net") && !table.contains('\x1b'));
    assert_eq!(listed(Form::Table(None), &[]), "The queue is empty.\n");
}

#[test]
fn reasons_are_said_in_the_readers_language() {
    let refused = Cause::NotConnected {
        peer: "mx.example.net[192.0.2.1]:25".to_owned(),
        error: (&io::Error::from_raw_os_error(111)).into(),
    };
    let kept = refused.kept();
    let mut reasons = Reasons { language: Language::Spanish, known: HashMap::new() };
    for _ in 0..2 {
        assert!(reasons.of(&refused.text(), Some(&kept)).contains("conexión rechazada"));
    }
    assert_eq!(reasons.of("450 later\x07", None), "450 later?");
}

#[test]
fn an_example_says_one_message_in_a_line() {
    let manner = Manner { form: Form::Plain, language: Language::English, now: now() };
    let shown = example(&brief(&message()), manner);
    assert!(shown.starts_with("0A1B2C3D4E5F  4.1 KiB  3h  <> → you@example.net: next try"));
}

#[test]
fn a_story_tells_everything() {
    let mut out = Vec::new();
    story(&mut out, &message(), now(), Language::English).unwrap();
    assert_eq!(
        layout::set(&String::from_utf8(out).unwrap(), None),
        "\
ID          0A1B2C3D4E5F
From        <>
Origin      user 1000
Arrived     2026-11-24T09:00:00Z (3h ago)
Given up    2026-11-29T09:00:00Z (in 5d)
Size        4.1 KiB (4300 octets)

To          <you@example.net>
  State     waiting, failed attempts: 2
  Next try  2026-11-24T12:10:00Z (in 10m)
  Last try  2026-11-24T11:50:00Z at mx.example.net[192.0.2.1]:25
  Reply     host mx.example.net[192.0.2.1] said: 450 4.7.1 later?[2J
  Meaning   passing trouble at the receiver: it is tried again by itself

To          <done@example.net>
  State     done, failed attempts: 2

Header
  Subject: x?
      folded
"
    );
}

#[test]
fn a_pause_is_shown_in_the_place_of_the_next_try() {
    let mut message = message();
    message.recipients[0].paused = Some(3);
    message.paused = serde_json::from_value(serde_json::json!([{
        "number": 3, "kind": "pause", "to": "example.net", "since": "2026-11-24T11:00:00Z",
        "until": "2026-11-24T14:00:00Z", "by": 0, "note": "their maintenance"
    }]))
    .unwrap();
    let line = listed(Form::Plain, std::slice::from_ref(&message));
    assert!(line.contains("\tpaused (order 3): host mx.example.net"), "{line}");
    let manner = Manner { form: Form::Plain, language: Language::Spanish, now: now() };
    let until = now().as_millisecond() + 7_200_000;
    let pause = BriefPause { number: 3, until: Some(until) };
    assert_eq!(paused(pause, manner), "en pausa 2h (orden 3)");
    let mut out = Vec::new();
    story(&mut out, &message, now(), Language::English).unwrap();
    let told = String::from_utf8(out).unwrap();
    assert!(!told.contains("Next try"), "{told}");
    for part in [
        "Paused      order 3: paused: to example.net (their maintenance); given by uid 0; it \
         ends in 2h, or by `puerto resume 3`\n",
        "State     paused (order 3), failed attempts: 2\n",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn a_rate_that_is_waited_for_is_named_everywhere() {
    let mut message = message();
    let waiting = &mut message.recipients[0];
    (waiting.state, waiting.next_attempt) = (State::Sending, None);
    let turn = |in_all| TurnView {
        lane: "mx.example.net".into(),
        per_hour: 6,
        in_all,
        next: "2026-11-24T12:10:00Z".into(),
    };
    for (in_all, language, said) in [
        (false, Language::English, "in line for mx.example.net, which goes on in 10m: 6 messages"),
        (true, Language::English, "an hour at most to all destinations together (`rate_in_all`)"),
        (false, Language::Spanish, "en turno para mx.example.net, que sigue en 10m: como mucho 6"),
        (true, Language::Spanish, "por hora a todos los destinos juntos (`rate_in_all`)"),
    ] {
        message.recipients[0].turn = Some(turn(in_all));
        let manner = Manner { form: Form::Plain, language, now: now() };
        let mut told = Vec::new();
        story(&mut told, &message, now(), language).unwrap();
        let told = String::from_utf8(told).unwrap();
        let listed = example(&brief(&message), manner);
        for text in [told, listed] {
            assert!(text.contains(said) && !text.contains("being sent"), "{text}");
        }
    }
}

#[test]
fn what_a_message_wants_of_tls_is_shown() {
    let told = |wish, language| {
        let mut out = Vec::new();
        let message = MessageView { tls_wish: wish, ..message() };
        story(&mut out, &message, now(), language).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert!(!told(None, Language::English).contains("TLS"));
    for (wish, language, line) in [
        (WishView::Required, Language::English, "TLS         REQUIRETLS: it goes to no host"),
        (WishView::Required, Language::Spanish, "TLS         REQUIRETLS: no va a ninguna"),
        (WishView::Optional, Language::English, "TLS         TLS-Required: No: it goes also"),
    ] {
        let told = told(Some(wish), language);
        assert!(told.contains(line), "{told}");
    }
}

#[test]
fn earlier_attempts_are_told_behind_the_last() {
    let mut message = message();
    let refused = Cause::NotConnected {
        peer: "mx.example.net[192.0.2.1]:25".to_owned(),
        error: (&io::Error::from_raw_os_error(111)).into(),
    };
    let list = &mut message.recipients[0].attempts_list;
    list.insert(0, tried("2026-11-24T09:00:01Z", "none", None, &refused.text()));
    list[0].cause = serde_json::to_value(&refused).ok();
    list.insert(1, tried("2026-11-24T09:20:00Z", "mx.example.net", Some(451), "busy\x07"));
    for (language, expected) in [
        (
            Language::English,
            "  Earlier   2026-11-24T09:20:00Z at mx.example.net: 451 4.7.1 busy?\n  \
             First try 2026-11-24T09:00:01Z: 4.4.1 connect to mx.example.net[192.0.2.1]:25: \
             Connection refused\n\nTo ",
        ),
        (
            Language::Spanish,
            "  Antes     2026-11-24T09:20:00Z en mx.example.net: 451 4.7.1 busy?\n  \
             Primero   2026-11-24T09:00:01Z: 4.4.1 conexión con mx.example.net[192.0.2.1]:25: \
             conexión rechazada\n\nPara ",
        ),
    ] {
        let mut out = Vec::new();
        story(&mut out, &message, now(), language).unwrap();
        let told = String::from_utf8(out).unwrap();
        let (before, _) = told.split_once(expected).unwrap_or_else(|| panic!("{told}"));
        assert!(before.contains("4.7.1 later?[2J\n"), "the last comes first: {told}");
    }
}
