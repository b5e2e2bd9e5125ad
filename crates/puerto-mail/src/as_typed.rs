//! Texts as people type them and panels and text programs hand them on.

/// The text in the plain characters that were meant: quotation marks and marks without
/// a width gone, every kind of dash a hyphen, every kind of space a space.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
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
