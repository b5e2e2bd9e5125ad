//! Texts as people type them and panels and text programs hand them on.

/// Marks of web pages that are copied along.
const MARKUP: [&str; 9] = ["p", "br", "span", "div", "b", "i", "code", "pre", "td"];
/// Those of other scripts.
const BRACKETS: std::ops::RangeInclusive<char> = '\u{3008}'..='\u{301b}';
/// Characters of pages and text programs, read as if UTF-8 were windows-1252.
const MISREAD: [(&str, &str); 8] = [
    ("\u{e2}\u{20ac}\u{201c}", "-"),
    ("\u{e2}\u{20ac}\u{201d}", "-"),
    ("\u{e2}\u{20ac}\u{2dc}", ""),
    ("\u{e2}\u{20ac}\u{2122}", ""),
    ("\u{e2}\u{20ac}\u{153}", ""),
    ("\u{e2}\u{20ac}\u{9d}", ""),
    ("\u{ef}\u{bb}\u{bf}", ""),
    ("\u{c2}\u{a0}", " "),
];

/// The text in the plain characters that were meant: quotation marks, markup and marks
/// without a width gone, every kind of dash a hyphen, every kind of space a space.
pub(crate) fn plain(text: &str) -> String {
    let mut text = decoded(text);
    for (misread, meant) in MISREAD {
        text = text.replace(misread, meant);
    }
    let mut out = String::with_capacity(text.len());
    for character in without_markup(&text).chars() {
        match character {
            '"' | '\\' | '\'' | '`' | '\u{b4}' | '\u{ab}' | '\u{bb}' | '\u{ff02}' | '\u{ff07}' => {}
            '\u{2018}'..='\u{201f}' | '\u{2039}' | '\u{203a}' | '\u{2032}' | '\u{2033}' => {}
            // Marks without a width: byte order, soft hyphen, joiners, directions.
            '\u{feff}' | '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' => {}
            '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' => {}
            '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' => out.push('-'),
            '\u{2dc}' | '\u{223c}' | '\u{301c}' => out.push('~'),
            '\u{2236}' | '\u{a789}' => out.push(':'),
            // An octet that is no text stood here.
            '\u{fffd}' => out.push(' '),
            '\u{ff01}'..='\u{ff5e}' => {
                let ascii = u32::from(character).checked_sub(0xfee0).and_then(char::from_u32);
                out.push(ascii.unwrap_or(' '));
            }
            other if other.is_whitespace() || other.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

// `&nbsp;`, `&#8211;`, and `\032` as zone files write it.
fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['&', '\\']) {
        let (before, escaped) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(before);
        let (meant, length) = entity(escaped)
            .or_else(|| octet(escaped))
            .unwrap_or_else(|| (escaped.chars().next().unwrap_or_default(), 1));
        out.push(meant);
        rest = escaped.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

fn entity(text: &str) -> Option<(char, usize)> {
    let (name, _) = text.strip_prefix('&')?.split_once(';').filter(|(name, _)| name.len() < 8)?;
    let meant = match name {
        "nbsp" => ' ',
        "quot" | "apos" | "ldquo" | "rdquo" | "lsquo" | "rsquo" => '"',
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "shy" => '\u{ad}',
        "ndash" | "mdash" | "minus" | "hyphen" => '-',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((meant, name.len() + 2))
}

fn octet(text: &str) -> Option<(char, usize)> {
    let digits = text.strip_prefix('\\')?.get(..3)?;
    let octet = digits.parse::<u8>().ok().filter(|_| !digits.starts_with('+'))?;
    Some((char::from(octet), 4))
}

/// The text without brackets of any kind, but for those of a macro, `%{d}`
/// (RFC 7208 §7.1).
pub(crate) fn without_brackets(text: &str) -> String {
    let (mut in_macro, mut last) = (false, ' ');
    let mut is_bracket = |character: char| {
        let opens_macro = character == '{' && last == '%';
        let is_kept = opens_macro || (character == '}' && in_macro);
        in_macro = opens_macro || (in_macro && !matches!(character, '}' | ' '));
        last = character;
        !is_kept && ("(){}[]<>".contains(character) || BRACKETS.contains(&character))
    };
    text.chars().filter(|character| !is_bracket(*character)).collect()
}

// Tags are spaces; angle brackets of other kinds stay.
fn without_markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        let tag = after.split_once('>').filter(|(inner, _)| {
            let name = inner.trim_matches(['/', ' ']).split(' ').next().unwrap_or_default();
            MARKUP.iter().any(|known| name.eq_ignore_ascii_case(known))
        });
        out.push(if tag.is_some() { ' ' } else { '<' });
        rest = tag.map_or(after, |(_, tail)| tail);
    }
    out.push_str(rest);
    out
}

/// How many letters were added, lost, changed or exchanged with their neighbours.
pub(crate) fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, a) in one.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, b) in other.iter().enumerate() {
            let at =
                |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut least = at(&last, column) + usize::from(a != b);
            least = least.min(at(&last, column + 1) + 1).min(at(&next, column) + 1);
            let exchanged = row > 0
                && column > 0
                && one.get(row - 1) == Some(b)
                && other.get(column - 1) == Some(a);
            if exchanged {
                least = least.min(at(&before, column - 1) + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut last, next);
    }
    last.last().copied().unwrap_or(usize::MAX)
}
