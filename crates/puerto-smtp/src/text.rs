//! Somebody else's words where people read them: in a log, on a terminal, in a notice.

/// Whether a character does more than stand in a line: control characters drive
/// terminals, line separators make lines, directional overrides make one line look like
/// another, and what is invisible hides in a name. Variation selectors of emoji are none.
pub fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a text is nothing but printable ASCII and blanks, as nearly every one is: nothing
/// in it is harmful, and it is seen at a glance.
pub fn is_plain(text: &str) -> bool {
    text.bytes().all(|octet| matches!(octet, b' '..=b'~'))
}

/// A text with `?` in place of each such character.
pub fn harmless(text: &str) -> String {
    if text.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        return text.to_owned();
    }
    with_only(text, |character| !is_harmful(character))
}

/// A text with `?` in place of each character that is not allowed. Nearly every text is
/// copied as it is, which is why that is looked at first.
pub fn with_only(text: &str, is_allowed: impl Fn(char) -> bool) -> String {
    if text.chars().all(&is_allowed) {
        return text.to_owned();
    }
    text.chars().map(|character| if is_allowed(character) { character } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A10: what is hidden, turned round or obeyed by a terminal is shown as `?`.
    #[test]
    fn what_does_more_than_stand_in_a_line_is_replaced() {
        for (text, shown) in [
            ("plain ñandú 東京 \u{1f468}\u{fe0f}", "plain ñandú 東京 \u{1f468}\u{fe0f}"),
            ("\u{1b}[31mred\u{7}", "?[31mred?"),
            ("\u{9b}2J \u{85} \u{7f} \0", "?2J ? ? ?"),
            ("a\r\nb\tc", "a??b?c"),
            ("\u{202e}moc.elpmaxe\u{202c}", "?moc.elpmaxe?"),
            ("\u{2066}x\u{2069} \u{200e}\u{200f}\u{61c}", "?x? ???"),
            ("pay\u{200b}pal \u{feff}\u{2060}\u{ad}", "pay?pal ???"),
            ("one\u{2028}two\u{2029}three", "one?two?three"),
            ("tag\u{e0061}\u{e007f}\u{e0100}", "tag???"),
            ("\u{3164}\u{ffa0}\u{115f}", "???"),
        ] {
            assert_eq!(harmless(text), shown, "{text:?}");
        }
    }
}
