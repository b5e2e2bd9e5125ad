//! What Postfix does to the addresses of senders: what completes them, what they are
//! known by elsewhere, and which hosts do not show.

use puerto_smtp::{Address, Domain, LocalPart};

use super::parameters::{Parameters, items};
use super::tables::{self, Table};
use crate::config::{Known, Masquerade, Sender, Who};
use crate::lang::Text;
use crate::sender::masqueraded;
use crate::setup::root::Root;
use crate::setup::takeover::{Inherited, has_word, own_name};

/// Tables by which senders are known elsewhere, in the order in which they are asked;
/// each with the parameter that says where it counts.
const MAPS: [(&str, &str); 3] = [
    ("sender_canonical_maps", "sender_canonical_classes"),
    ("canonical_maps", "canonical_classes"),
    ("smtp_generic_maps", ""),
];

const ROW: Text = Text::new(
    "Postfix's {key} has the row `{value}`, which is not taken over: write what it means into \
     sender.map, or into sender.always if it is for everybody",
    "{key} de Postfix tiene la línea `{value}`, que no se hereda: escriba lo que significa en \
     sender.map, o en sender.always si es para todos",
);
const TABLE: Text = Text::new(
    "Postfix's {key} = {value} cannot be read here, so it is not taken over: write its rows into \
     sender.map",
    "{key} = {value} de Postfix no se puede leer aquí, así que no se hereda: escriba sus líneas en \
     sender.map",
);
const RECIPIENTS: Text = Text::new(
    "Postfix's {key} = {value} is taken over for senders, of all mail that this machine's programs \
     send; recipients stay as they are written: where one is another, write it into the aliases file",
    "{key} = {value} de Postfix se hereda para los remitentes, en todo el correo que envían los \
     programas de esta máquina; los destinatarios se quedan como están escritos: si alguno es otro, \
     escríbalo en el fichero de alias",
);
const CLASSES: Text = not_taken!(
    "a sender is known here by one address, in the envelope and in From; if that is right, write \
     it into sender.map or sender.masquerade",
    "un remitente se conoce aquí por una dirección, en el sobre y en From; si es lo que quiere, \
     escríbalo en sender.map o sender.masquerade"
);
const MASQUERADE: Text = Text::new(
    "Postfix's {key} = {value} is taken over for senders; To and Cc stay as they are written",
    "{key} = {value} de Postfix se hereda para los remitentes; To y Cc se quedan como están escritos",
);
const ITEM: Text = Text::new(
    "Postfix's {key} names {value}, which is not taken over: write what it contains into \
     sender.masquerade or sender.masquerade_except",
    "{key} de Postfix nombra {value}, que no se hereda: escriba lo que contiene en \
     sender.masquerade o sender.masquerade_except",
);

/// Patterns by which everybody's address is another.
const EVERYBODY: &str = "/.+/ /.*/ /./ /^.*$/ /^.+$/ /^(.*)$/ /^(.+)$/ /(.*)/ /(.+)/ /^/ /@/ \
    /.*@.*/ /.+@.+/ /^.*@.*$/";

pub(super) fn read(root: &Root, main: &Parameters, found: &mut Inherited) {
    origin(root, main, found);
    let origin = found.origin.clone().or_else(|| found.domains.first().cloned());
    masquerade(main, found);
    for (key, classes) in MAPS {
        if key == "smtp_generic_maps" {
            mask(&mut found.sender);
        }
        let Some(maps) = main.get(key) else { continue };
        if let Some(set) = main.get(classes).filter(|set| !is_of_senders(set)) {
            found.note(CLASSES, classes, &set);
            continue;
        }
        let mut rows = Vec::new();
        for map in items(&maps) {
            table(root, (key, map), origin.as_ref(), &mut rows, found);
        }
        let has_some = !rows.is_empty() || found.sender.always.is_some();
        if key != "sender_canonical_maps" && has_some {
            found.note(RECIPIENTS, key, &maps);
        }
        add(rows, found);
    }
}

// What the canonical tables gave is masqueraded, too, before it is sent.
fn mask(sender: &mut Sender) {
    let domains = sender.clone();
    let masked = |address: &mut Address| {
        if let Some(known) = masqueraded(&domains, address) {
            *address = known;
        }
    };
    sender.always.iter_mut().for_each(masked);
    for (_, known) in &mut sender.map {
        if let Known::Address(address) = known {
            masked(address);
        }
    }
}

// In the envelope and in the header.
fn is_of_senders(classes: &str) -> bool {
    ["envelope_sender", "header_sender"].iter().all(|wanted| items(classes).any(|c| c == *wanted))
}

fn origin(root: &Root, main: &Parameters, found: &mut Inherited) {
    let written = main.get("myorigin");
    let origin = match &written {
        Some(file) if file.starts_with('/') => {
            let text = root.read(file).ok().flatten();
            text.and_then(|text| text.split_whitespace().next().map(str::to_owned))
        }
        Some(_) => written.clone(),
        None => main.get_or_default("myorigin"),
    };
    // Bare names are completed with the first of what is local, or with what is said.
    let known = origin.as_deref().and_then(own_name);
    if let Some(place) = found.domains.iter().position(|domain| Some(domain) == known.as_ref()) {
        let first = found.domains.remove(place);
        found.domains.insert(0, first);
    } else if written.is_some() {
        found.origin_of("myorigin", &origin.or(written).unwrap_or_default());
    }
}

fn table(
    root: &Root,
    (key, map): (&str, &str),
    origin: Option<&Domain>,
    rows: &mut Vec<(Who, Known)>,
    found: &mut Inherited,
) {
    let row = |who: &str, known: &str| {
        let address = match origin {
            // Postfix completes what a table says, too.
            Some(origin) if !known.contains('@') => format!("{known}@{origin}"),
            _ => known.to_owned(),
        };
        Some((Who::parse(who).ok()?, Known::parse(&address).ok()?))
    };
    let is_first = rows.is_empty() && found.sender.map.is_empty();
    let everybody = |value: &str| Address::parse(value).ok().filter(|_| is_first);
    match tables::read(root, map, found) {
        Table::Rows(all) => {
            for (who, known) in all {
                match row(&who, &known) {
                    Some(row) => rows.push(row),
                    None => found.note(ROW, key, &format!("{who} {known}")),
                }
            }
        }
        Table::All(value) => match everybody(&value) {
            Some(address) => found.sender.always = found.sender.always.take().or(Some(address)),
            None => found.note(ROW, key, map),
        },
        Table::Patterns(lines) => match lines.as_slice() {
            [line] if for_everybody(line).and_then(everybody).is_some() => {
                let address = for_everybody(line).and_then(everybody);
                found.sender.always = found.sender.always.take().or(address);
            }
            lines => lines.iter().for_each(|line| found.note(ROW, key, line)),
        },
        Table::Unknown => found.note(TABLE, key, map),
    }
}

// What everybody becomes by a pattern's row.
fn for_everybody(line: &str) -> Option<&str> {
    let (pattern, value) = line.split_once(char::is_whitespace)?;
    let pattern = pattern.trim_end_matches(['i', 'x', 'm', 's']);
    has_word(EVERYBODY, pattern).then(|| value.trim())
}

// A later table is asked about what an earlier one gave.
fn add(rows: Vec<(Who, Known)>, found: &mut Inherited) {
    for (_, known) in &mut found.sender.map {
        let again = rows.iter().find(|(who, _)| match (who, &*known) {
            (Who::Address(who), Known::Address(known)) => who == known,
            (Who::Domain(who), Known::Domain(known)) => who == known,
            _ => false,
        });
        if let Some((_, last)) = again {
            *known = last.clone();
        }
    }
    for (who, known) in rows {
        found.add_sender(who, known);
    }
}

fn masquerade(main: &Parameters, found: &mut Inherited) {
    const DOMAINS: &str = "masquerade_domains";
    let Some(domains) = main.get(DOMAINS) else { return };
    match main.get("masquerade_classes") {
        Some(set) if !is_of_senders(&set) => {
            found.note(CLASSES, "masquerade_classes", &set);
            return;
        }
        Some(set) if !items(&set).any(|class| class.ends_with("_recipient")) => {}
        _ => found.note(MASQUERADE, DOMAINS, &domains),
    }
    for item in items(&domains) {
        match Masquerade::parse(item) {
            Ok(domain) if !item.contains(['/', ':']) => found.sender.masquerade.push(domain),
            _ => found.note(ITEM, DOMAINS, item),
        }
    }
    for item in items(&main.get("masquerade_exceptions").unwrap_or_default()) {
        match LocalPart::parse(item) {
            Ok(user) if !item.contains(['/', ':']) => found.sender.masquerade_except.push(user),
            _ => found.note(ITEM, "masquerade_exceptions", item),
        }
    }
}
