//! Text in the lines of a terminal: broken at blanks and indented as it began, so that no
//! word is cut, and tables that become blocks where they do not fit.
//!
//! What is to be copied into a panel, a file or a shell stays in one piece, however narrow
//! the terminal: a terminal gives back what it broke itself as one line. That is what
//! stands in backquotes, a DNS record, and what is marked by [`whole`].

use std::ops::Range;

/// Marks what [`whole`] kept. Nothing that is printed holds it otherwise: `is_harmful`.
const WHOLE: char = '\u{2060}';

/// The fewest columns that a table leaves to its last one.
const LAST_COLUMN: usize = 24;

/// What stands below the first line of a block is indented by so much.
const INDENT: usize = 2;

/// Marks a text that [`set`] is to keep in one piece.
pub fn whole(text: &str) -> String {
    format!("{WHOLE}{text}{WHOLE}")
}

/// A text in lines of at most `width` columns; without one, in the lines that it has.
pub fn set(text: &str, width: Option<usize>) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        match width.filter(|width| columns(line) > *width) {
            Some(width) => set_line(&mut out, line, width, hang_of(line, width)),
            None => out.extend(line.chars().filter(|c| *c != WHOLE)),
        }
        out.push_str(end);
    }
    out
}

/// Rows below a heading, in columns whose words wrap where they have to. Where not even the
/// words fit, each row is a block: its cells in as few lines as hold them, the last below.
pub fn table<const N: usize>(
    heading: [&str; N],
    rows: &[[String; N]],
    width: Option<usize>,
) -> String {
    let heading_row = heading.map(str::to_owned);
    let all = || std::iter::once(&heading_row).chain(rows);
    let mut out = String::new();
    let Some(widths) = column_widths(all(), width) else {
        all().for_each(|row| block(&mut out, row, width));
        return out;
    };
    for row in all() {
        let cells: Vec<Vec<String>> =
            row.iter().zip(widths).map(|(cell, width)| cell_lines(cell, width)).collect();
        for number in 0..cells.iter().map(Vec::len).max().unwrap_or_default() {
            let mut line = String::new();
            for (cell, width) in cells.iter().zip(widths) {
                let text = cell.get(number).map_or("", String::as_str);
                line.push_str(text);
                line.push_str(&" ".repeat((width + 2).saturating_sub(columns(text))));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out
}

/// How wide each column is, the widest made narrower first; `None` if their words do not fit.
fn column_widths<'a, const N: usize>(
    rows: impl Iterator<Item = &'a [String; N]>,
    width: Option<usize>,
) -> Option<[usize; N]> {
    let (mut widths, mut least) = ([0; N], [0; N]);
    for row in rows {
        for ((widest, longest), cell) in widths.iter_mut().zip(&mut least).zip(row) {
            *widest = columns(cell).max(*widest);
            *longest = longest_piece(cell).max(*longest);
        }
    }
    if let (Some(least), Some(widest)) = (least.last_mut(), widths.last()) {
        *least = (*widest).min(LAST_COLUMN).max(*least);
    }
    let Some(width) = width else { return Some(widths) };
    while widths.iter().sum::<usize>() + 2 * N.saturating_sub(1) > width {
        let narrowed = widths.iter_mut().zip(least).filter(|(width, least)| **width > *least);
        *narrowed.map(|(width, _)| width).max()? -= 1;
    }
    Some(widths)
}

/// The lines of a cell, each in the colour that the cell begins with.
fn cell_lines(cell: &str, width: usize) -> Vec<String> {
    if is_simple(cell) && cell.len() <= width && !cell.is_empty() {
        return vec![cell.to_owned()];
    }
    let colour = match (cell.strip_prefix('\u{1b}'), cell.find('m')) {
        (Some(_), Some(end)) => cell.get(..=end).unwrap_or_default(),
        _ => "",
    };
    let end = if colour.is_empty() { "" } else { "\u{1b}[0m" };
    set(&plain(cell), Some(width)).lines().map(|line| format!("{colour}{line}{end}")).collect()
}

/// The cells one after another, broken between them, and the last on a line of its own.
fn block(out: &mut String, row: &[String], width: Option<usize>) {
    let width = width.unwrap_or(usize::MAX);
    let Some((last, cells)) = row.split_last() else { return };
    let in_one_piece = |cell: &String| match columns(cell) < width.saturating_sub(INDENT) {
        true => whole(cell),
        false => cell.clone(),
    };
    let line = cells.iter().map(in_one_piece).collect::<Vec<_>>().join("  ");
    set_line(out, &line, width, INDENT);
    out.push('\n');
    set_line(out, &format!("{:INDENT$}{last}", ""), width, INDENT);
    out.push('\n');
}

/// How many columns a text takes: colours and marks take none.
fn columns(text: &str) -> usize {
    if is_simple(text) { text.len() } else { plain(text).chars().count() }
}

/// Whether a text has nothing but visible ASCII, as nearly all of a long list.
fn is_simple(text: &str) -> bool {
    text.bytes().all(|octet| matches!(octet, b' '..=b'~'))
}

/// The longest of the words and of what is to be kept in one piece.
fn longest_piece(text: &str) -> usize {
    let may_be_kept = || text.contains('`') || text.contains("v=") || text.contains(". IN ");
    let longest = match is_simple(text) && !may_be_kept() {
        true => text.split(' ').map(str::len).max(),
        false => Pieces::new(text).map(|piece| piece.columns).max(),
    };
    longest.unwrap_or_default()
}

fn set_line(out: &mut String, line: &str, width: usize, hang: usize) {
    let mut column = 0;
    for (number, piece) in Pieces::new(line).enumerate() {
        let blanks = if number == 0 { indentation(piece.blanks, width) } else { piece.blanks };
        let fits = column + blanks + piece.columns <= width;
        if number == 0 || fits || piece.columns == 0 {
            out.push_str(&" ".repeat(blanks));
            column += blanks;
        } else {
            // What is wider than what the indentation leaves, but not than the terminal,
            // moves to the left rather than over the edge.
            let hang = hang.min(width.saturating_sub(piece.columns));
            out.push('\n');
            out.push_str(&" ".repeat(hang));
            column = hang;
        }
        out.extend(piece.text.chars().filter(|c| *c != WHOLE));
        column += piece.columns;
    }
}

/// What is beside the point is indented by less where little is left of the line.
fn indentation(blanks: usize, width: usize) -> usize {
    if blanks > width / 2 { width / 8 } else { blanks }
}

/// Where the lines after the first begin: below the text that stands behind a label or a
/// bullet, or else where the first began; by two more if its columns are too far out.
fn hang_of(line: &str, width: usize) -> usize {
    let (mut column, mut hang, mut blanks) = (0, 0, 0);
    for (number, piece) in Pieces::new(line).enumerate() {
        blanks += if number == 0 { indentation(piece.blanks, width) } else { piece.blanks };
        // The end of a colour is no word.
        if piece.columns == 0 {
            continue;
        }
        column += blanks;
        if column > width / 2 {
            return if blanks > 1 && number > 0 { hang + INDENT } else { hang };
        }
        if number == 0 || blanks > 1 {
            hang = column;
        }
        blanks = 0;
        column += piece.columns;
        let is_bullet = |text: &str| {
            matches!(text, "-" | "=" | "!" | "·" | "✓" | "✗" | "?")
                || text.strip_suffix('.').is_some_and(|n| n.parse::<u8>().is_ok())
        };
        if hang + piece.columns == column && is_bullet(&plain(piece.text)) {
            hang = column + 1;
        }
    }
    hang
}

fn plain(text: &str) -> String {
    if is_simple(text) {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            // A colour: ESC [ … m.
            '\u{1b}' => drop(rest.by_ref().find(char::is_ascii_alphabetic)),
            WHOLE => {}
            c => out.push(c),
        }
    }
    out
}

/// A word, or what is to be kept in one piece, with the blanks before it.
struct Piece<'a> {
    blanks: usize,
    text: &'a str,
    columns: usize,
}

/// The pieces of a line.
struct Pieces<'a> {
    rest: &'a str,
    /// Octets of the line before the rest.
    at: usize,
    kept: Vec<Range<usize>>,
}

impl<'a> Pieces<'a> {
    fn new(line: &'a str) -> Self {
        Self { rest: line, at: 0, kept: kept(line) }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let word = self.rest.trim_start_matches(' ');
        let blanks = self.rest.len() - word.len();
        let start = self.at + blanks;
        let is_kept = |at: usize| self.kept.iter().any(|range| range.contains(&(start + at)));
        let end = word.match_indices(' ').map(|(at, _)| at).find(|at| !is_kept(*at));
        let (text, rest) = word.split_at(end.unwrap_or(word.len()));
        self.at = start + text.len();
        self.rest = rest;
        Some(Piece { blanks, text, columns: plain(text).chars().count() })
    }
}

/// What of a line is to be copied, in octets.
fn kept(line: &str) -> Vec<Range<usize>> {
    let mut kept = Vec::new();
    for mark in ['`', WHOLE] {
        let mut ends = line.match_indices(mark).map(|(at, _)| at);
        while let (Some(start), Some(end)) = (ends.next(), ends.next()) {
            kept.push(start..end);
        }
    }
    kept.extend(record_of_a_zone(line));
    kept.extend(value_of_a_record(line));
    kept
}

/// `example.com. IN TXT "v=spf1 …"`, to its end: the last quotation mark, or so many words.
fn record_of_a_zone(line: &str) -> Option<Range<usize>> {
    let class = line.find(". IN ")?;
    let start = line.get(..class)?.rfind(' ').map_or(0, |at| at + 1);
    let data = line.get(class..)?;
    let words = if data.starts_with(". IN MX ") { 5 } else { 4 };
    let nth = data.match_indices(' ').nth(words - 1).map(|(at, _)| at);
    let end = data.rfind(['"', ')']).or(nth).unwrap_or(data.len());
    Some(start..class + end)
}

/// A record's value that is all of a line but its label: `value  v=spf1 …`.
fn value_of_a_record(line: &str) -> Option<Range<usize>> {
    let before = ["  ", "+ ", "- ", " TXT ", "  \"", " TXT \""];
    let at = line.match_indices("v=").map(|(at, _)| at);
    let mut values = at.filter(|at| {
        let begun = line.get(..*at).unwrap_or_default();
        before.iter().any(|before| begun.ends_with(before))
    });
    let start = values.next()?;
    let is_quoted = line.get(..start)?.ends_with('"');
    Some(start..line.rfind('"').filter(|_| is_quoted).unwrap_or(line.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G3: words wrap, nothing is cut, and what is copied stays in one piece.
    #[test]
    fn lines_break_at_blanks_below_where_they_began() {
        let record = "x.example. IN TXT \"v=spf1 ip4:192.0.2.1 include:a.example -all\"";
        for (line, set_in_40) in [
            ("short", "short"),
            (
                "one two three four five six seven eight nine",
                "one two three four five six seven eight\nnine",
            ),
            (
                "      do          give the name an address that leads back to it",
                "      do          give the name an\n                  address that leads\n                  back to it",
            ),
            (
                "  - a point that is longer than the terminal is wide",
                "  - a point that is longer than the\n    terminal is wide",
            ),
            (
                "  12. a step that is longer than the terminal is wide",
                "  12. a step that is longer than the\n      terminal is wide",
            ),
            (
                "then run `puerto queue release 0A1B2C3D4E5F` and wait",
                "then run\n`puerto queue release 0A1B2C3D4E5F` and\nwait",
            ),
            (
                "label      somebody-with-a-long-name@example.org",
                "label\n   somebody-with-a-long-name@example.org",
            ),
            (
                "    value      v=spf1 ip4:192.0.2.1 include:a.example -all",
                "    value\nv=spf1 ip4:192.0.2.1 include:a.example -all",
            ),
            (&format!("publish {record} there"), &format!("publish\n{record}\nthere")),
            (
                "                         a remark far to the right of the line",
                "     a remark far to the right of the\n     line",
            ),
            (
                "Telekom (t-online.de)  would refuse, because of it",
                "Telekom (t-online.de)  would refuse,\n  because of it",
            ),
            (
                "\u{1b}[31mbad     \u{1b}[0m the fault of a thing that is coloured",
                "\u{1b}[31mbad     \u{1b}[0m the fault of a thing that is\n         coloured",
            ),
            (
                "\u{1b}[31merror\u{1b}[0m    the fault of a thing that is coloured",
                "\u{1b}[31merror\u{1b}[0m    the fault of a thing that is\n         coloured",
            ),
        ] {
            assert_eq!(set(line, Some(40)), set_in_40);
            assert_eq!(set(line, None), line);
        }
        let kept = format!("  {}", whole("sh -c 'a command of many words' that is run as it is"));
        let plain = kept.replace(WHOLE, "");
        assert_eq!(set(&kept, None), plain);
        assert_eq!(set(&kept, Some(40)), plain);
    }

    #[test]
    fn every_word_is_there_at_every_width() {
        let text = "  ✗ some  words of a text\n\n      label   ünïcode — and `a command` of it\n";
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for width in 1..60 {
            assert_eq!(words(&set(text, Some(width))), words(text), "{width}");
        }
    }

    #[test]
    fn a_table_becomes_blocks_where_it_does_not_fit() {
        let rows = [["0A1B2C3D4E5F", "ana@example.net", "next try in 10m: it was told to wait"]];
        let rows = rows.map(|row| row.map(str::to_owned));
        let heading = ["ID", "Recipient", "Status"];
        assert_eq!(
            table(heading, &rows, Some(60)),
            "ID            Recipient        Status\n\
             0A1B2C3D4E5F  ana@example.net  next try in 10m: it was told\n\
             \x20                              to wait\n"
        );
        assert_eq!(
            table(heading, &rows, Some(40)),
            "ID  Recipient\n\
             \x20 Status\n\
             0A1B2C3D4E5F  ana@example.net\n\
             \x20 next try in 10m: it was told to wait\n"
        );
        assert_eq!(table(heading, &rows, None).lines().count(), 2);
        let rows = [["one two three", "\u{1b}[32mfour five\u{1b}[0m"].map(str::to_owned)];
        assert_eq!(
            table(["a", "b"], &rows, Some(20)),
            "a          b\n\
             one two    \u{1b}[32mfour five\u{1b}[0m\nthree\n"
        );
    }
}
