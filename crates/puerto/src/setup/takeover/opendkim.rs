//! OpenDKIM: the keys that it signs with.

use std::path::PathBuf;

use puerto_mail::dkim::PrivateKey;
use puerto_smtp::Domain;

use super::{Inherited, text_of};
use crate::lang::{Said, Text};
use crate::setup::root::Root;

const FILE: &str = "/etc/opendkim.conf";
const FOLDER: &str = "/etc/opendkim/keys";

const UNUSABLE: Text = Text::new(
    "the key {file} cannot be taken over: {error}",
    "la clave {file} no se puede heredar: {error}",
);

/// A key that another program signs with.
pub struct ForeignKey {
    /// The domain that it signs for.
    pub domain: String,
    /// Its selector.
    pub selector: String,
    /// The key as PEM: PKCS#8, or PKCS#1, which we read as well.
    pub pem: String,
}

impl std::fmt::Debug for ForeignKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ForeignKey({}._domainkey.{}, …)", self.selector, self.domain)
    }
}

/// Reads OpenDKIM's configuration and keys, if there are any.
pub(super) fn read(root: &Root) -> Option<Inherited> {
    if !root.has(FILE) && !root.has(FOLDER) {
        return None;
    }
    let mut found = Inherited::of("OpenDKIM");
    found.service = Some("opendkim");
    let text = text_of(root, FILE, &mut found).unwrap_or_default();
    for (domain, selector, path) in from_table(root, &text, &mut found) {
        add(root, &domain, &selector, &path, &mut found);
    }
    if let (Some(domains), Some(selector), Some(path)) =
        (setting(&text, "Domain"), setting(&text, "Selector"), setting(&text, "KeyFile"))
    {
        for domain in domains.split(',').map(str::trim) {
            add(root, domain, selector, path, &mut found);
        }
    }
    for (domain, selector, path) in from_folder(root) {
        add(root, &domain, &selector, &path, &mut found);
    }
    (!found.keys.is_empty() || !found.left.is_empty()).then_some(found)
}

/// A setting of `opendkim.conf`: its name, in any case, and the rest of the line.
fn setting<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().rev().find_map(|line| {
        let (key, value) = line.trim().split_once(char::is_whitespace)?;
        let value = value.split('#').next().unwrap_or_default().trim();
        (key.eq_ignore_ascii_case(name) && !value.is_empty()).then_some(value)
    })
}

type Place = (String, String, String);

// Lines `name domain:selector:/path`. A domain of `%` is the sender's own, which the
// names of a table without it do not tell; such keys are found in the folder.
fn from_table(root: &Root, text: &str, found: &mut Inherited) -> Vec<Place> {
    let Some(table) = setting(text, "KeyTable") else { return Vec::new() };
    let path = table.rsplit_once(':').map_or(table, |(_, path)| path);
    let Some(table) = text_of(root, path, found) else { return Vec::new() };
    let lines = table.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let (_, value) = line.split_once(char::is_whitespace)?;
            let mut parts = value.trim().splitn(3, ':');
            let (domain, selector, path) = (parts.next()?, parts.next()?, parts.next()?);
            Some((domain.to_owned(), selector.to_owned(), path.to_owned()))
        })
        .collect()
}

// DOMAIN/SELECTOR.private, as every guide has it.
fn from_folder(root: &Root) -> Vec<Place> {
    let names = |path: PathBuf| {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    };
    let mut places = Vec::new();
    for domain in names(root.at(FOLDER)) {
        let folder = format!("{FOLDER}/{domain}");
        for file in names(root.at(&folder)) {
            if let Some(selector) = file.strip_suffix(".private") {
                let place = (domain.clone(), selector.to_owned(), format!("{folder}/{file}"));
                places.push(place);
            }
        }
    }
    places
}

fn add(root: &Root, domain: &str, selector: &str, path: &str, found: &mut Inherited) {
    let name = Domain::parse(domain).ok().and_then(|d| d.name().map(str::to_owned));
    let Some(domain) = name.and_then(|name| idna::domain_to_ascii(&name).ok()) else { return };
    let selector = selector.to_lowercase();
    let usable = selector.is_ascii() && Domain::parse(&format!("{selector}.example")).is_ok();
    let known = |key: &ForeignKey| key.domain == domain && key.selector == selector;
    if !usable || found.keys.iter().any(known) {
        return;
    }
    let Some(pem) = text_of(root, path, found) else { return };
    match PrivateKey::from_pem(&pem) {
        Ok(_) => found.keys.push(ForeignKey { domain, selector, pem }),
        Err(error) => {
            let error = error.to_string();
            found.left.push(Said::with(UNUSABLE, &[("file", path), ("error", &error)]));
        }
    }
}
