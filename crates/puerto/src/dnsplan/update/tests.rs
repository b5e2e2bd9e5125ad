//! Messages that are signed, and answers that are not what they should be.

use super::*;

fn key(secret: &str) -> Key {
    let text =
        format!("key \"update.example.com\" {{ algorithm hmac-sha384; secret \"{secret}\"; }};");
    Key::parse(&text, "file").unwrap()
}

fn text(name: &str, state: State, value: &str, old: Option<&str>) -> Planned {
    let old = old.map(str::to_owned);
    Planned { old, ..Planned::text(name, value, Said::default()).in_state(state) }
}

/// An update of the zone as a server reads it.
fn update(present: &[&str], records: &[&Planned]) -> Result<Message, UpdateError> {
    let name = "_dmarc.example.com";
    let there = |value: &&str| {
        let data = data_of(&text(name, State::Keep, value, None)).unwrap();
        Record::from_rdata(wire(name).unwrap(), 60, data)
    };
    let present: Vec<Record> = present.iter().map(there).collect();
    let mut update = request(OpCode::Update, "example.com", Type::SOA)?;
    add_set(&mut update, (name, Type::TXT), &present, records)?;
    let signed = tsig::sign(&update, &key("c2VjcmV0"), 1_800_000_000).unwrap();
    Ok(Message::from_vec(&signed.octets).unwrap())
}

fn shown(records: &[Record]) -> Vec<String> {
    let row = |one: &Record| {
        let Record { name, ttl, dns_class, .. } = one;
        format!("{} {ttl} {dns_class} {} {}", plain(name), one.record_type(), value_of(one))
    };
    records.iter().map(row).collect()
}

#[test]
fn what_is_there_is_required_and_what_goes_is_named() {
    let name = "_dmarc.example.com";
    let change = text(name, State::Change, "new", Some("old"));
    let read = update(&["old", "other"], &[&change]).unwrap();
    assert_eq!(
        shown(&read.answers),
        ["_dmarc.example.com 0 IN TXT old", "_dmarc.example.com 0 IN TXT other"]
    );
    assert_eq!(
        shown(&read.authorities),
        ["_dmarc.example.com 0 NONE TXT old", "_dmarc.example.com 60 IN TXT new"]
    );
    let read = update(&[], &[&text(name, State::New, "new", None)]).unwrap();
    let [none] = &read.answers[..] else { panic!("{read:?}") };
    assert_eq!((none.dns_class, none.ttl, none.record_type()), (DNSClass::NONE, 0, Type::TXT));
    assert_eq!(shown(&read.authorities), ["_dmarc.example.com 3600 IN TXT new"]);
    let gone = text(name, State::Delete, "old", None);
    let changed = UpdateError::Changed(name.to_owned());
    assert_eq!(update(&["else"], &[&gone]).unwrap_err(), changed);
}

#[test]
fn the_record_of_a_new_key_comes_beside_the_old_one_which_goes_later() {
    let name = "_25._tcp.mail.example.com";
    let (old, new) = (format!("3 1 1 {}", "0a".repeat(32)), format!("3 1 1 {}", "ff".repeat(32)));
    let planned = |state, value: &str| {
        Planned::new(name, RecordType::Tlsa, value, Said::default()).in_state(state)
    };
    let rolled = |present: &[&str], records: &[&Planned]| {
        let there = |value: &&str| {
            let data = data_of(&planned(State::Keep, value)).unwrap();
            Record::from_rdata(wire(name).unwrap(), 60, data)
        };
        let present: Vec<Record> = present.iter().map(there).collect();
        let mut update = request(OpCode::Update, "example.com", Type::SOA).unwrap();
        add_set(&mut update, (name, Type::TLSA), &present, records).unwrap();
        let signed = tsig::sign(&update, &key("c2VjcmV0"), 1_800_000_000).unwrap();
        Message::from_vec(&signed.octets).unwrap()
    };
    // What is kept is none of the changes.
    let first = rolled(&[&old], &[&planned(State::New, &new)]);
    assert_eq!(shown(&first.answers), [format!("{name} 0 IN TLSA {old}")]);
    assert_eq!(shown(&first.authorities), [format!("{name} 60 IN TLSA {new}")]);
    let then = rolled(&[&old, &new], &[&planned(State::Delete, &old)]);
    assert_eq!(shown(&then.authorities), [format!("{name} 0 NONE TLSA {old}")]);
    for wrong in ["", "3 1 1", "3 1 1 0g", "3 1 x 00", "256 1 1 00"] {
        assert!(data_of(&planned(State::New, wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn an_update_that_no_message_holds_is_not_cut() {
    let name = "_dmarc.example.com";
    let long = text(name, State::New, &"x".repeat(40_000), None);
    let mut update = request(OpCode::Update, "example.com", Type::SOA).unwrap();
    add_set(&mut update, (name, Type::TXT), &[], &[&long]).unwrap();
    assert!(tsig::sign(&update, &key("c2VjcmV0"), 1).is_ok());
    add_set(&mut update, (name, Type::TXT), &[], &[&long]).unwrap();
    assert_eq!(tsig::sign(&update, &key("c2VjcmV0"), 1).err(), Some(TOO_LARGE));
}

#[test]
fn an_answer_is_taken_only_with_the_signature_of_the_key() {
    let question = request(OpCode::Query, "example.com", Type::MX).unwrap();
    let ours = key("c2VjcmV0");
    // An answer is signed as a request is, behind the request's signature.
    let asked = tsig::sign(&question, &ours, 1_800_000_000).unwrap();
    let read = |octets: &[u8], key: &Key, mac: &[u8]| {
        let answer = Message::from_vec(octets).ok()?;
        tsig::verify(octets, &answer, key, mac).ok()
    };
    let answer = tsig::tests::answer(&question, &ours, &asked.mac);
    assert!(read(&answer, &ours, &asked.mac).is_some());
    assert!(read(&answer, &key("b3RoZXI="), &asked.mac).is_none(), "another secret");
    assert!(read(&answer, &ours, b"another request").is_none());
    assert!(read(&question.to_vec().unwrap(), &ours, &asked.mac).is_none(), "unsigned");
    for end in 0..answer.len() {
        assert!(read(&answer[..end], &ours, &asked.mac).is_none(), "{end}");
    }
    for at in 0..question.to_vec().unwrap().len() {
        let mut other = answer.clone();
        other[at] ^= 1;
        assert!(read(&other, &ours, &asked.mac).is_none(), "{at}");
    }
}
