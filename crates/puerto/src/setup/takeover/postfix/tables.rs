//! The look-up tables that a `main.cf` names, as far as their rows can be read.

use super::parameters::{items, logical_lines, unbraced};
use crate::setup::root::Root;
use crate::setup::takeover::Inherited;

/// What a table says.
pub(super) enum Table {
    /// Keys and their values.
    Rows(Vec<(String, String)>),
    /// One value for all keys.
    All(String),
    /// Rows that begin with a pattern, in the order in which they are tried.
    Patterns(Vec<String>),
    /// It cannot be read: a database of another machine, or a file that is not there.
    Unknown,
}

/// The source of a table of a kind that is made of a text file; Postfix's compiled file
/// stands beside it.
pub(super) fn source(map: &str) -> Option<&str> {
    let map = map.strip_prefix("proxy:").unwrap_or(map);
    let file = match map.split_once(':') {
        Some(("hash" | "lmdb" | "btree" | "cdb" | "dbm" | "sdbm" | "texthash", file)) => file,
        Some(_) => return None,
        None => map,
    };
    file.starts_with('/').then_some(file)
}

pub(super) fn read(root: &Root, map: &str, found: &mut Inherited) -> Table {
    if let Some(file) = source(map) {
        let Some(text) = found.text_of(root, file) else { return Table::Unknown };
        let row = |line: String| {
            let (key, value) = line.split_once(char::is_whitespace)?;
            Some((key.to_owned(), value.trim().to_owned()))
        };
        return Table::Rows(logical_lines(&text).into_iter().filter_map(row).collect());
    }
    match map.strip_prefix("proxy:").unwrap_or(map).split_once(':') {
        Some(("static", value)) => Table::All(unbraced(value).to_owned()),
        Some(("inline", rows)) => {
            let row = |item: &str| {
                let (key, value) = unbraced(item).split_once('=')?;
                Some((key.trim().to_owned(), value.trim().to_owned()))
            };
            Table::Rows(items(unbraced(rows)).filter_map(row).collect())
        }
        Some(("regexp" | "pcre", file)) => match found.text_of(root, file) {
            Some(text) => Table::Patterns(logical_lines(&text)),
            None => Table::Unknown,
        },
        _ => Table::Unknown,
    }
}
