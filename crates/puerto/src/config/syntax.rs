//! What the TOML parser says of a file that is none. Its sentences are English; those
//! that it has are put into Spanish here, and one that it may get later is left out
//! rather than shown in another language than the rest.

use crate::lang::{Language, Said};

/// The parser's message as a sentence of ours.
pub(super) fn wrong(message: &str) -> Said {
    Said::of_both(|language| {
        let lines = message.lines();
        match language {
            Language::English => {
                format!("the file is not valid TOML: {}", lines.collect::<Vec<_>>().join(", "))
            }
            Language::Spanish => {
                let lines: Vec<String> = lines.filter_map(in_spanish).collect();
                let about = "el fichero no es TOML válido";
                if lines.is_empty() {
                    about.to_owned()
                } else {
                    format!("{about}: {}", lines.join(", "))
                }
            }
        }
    })
}

fn in_spanish(line: &str) -> Option<String> {
    if let Some(expected) = line.strip_prefix("expected ") {
        // Signs in backquotes stay; the few words among them do not.
        let words = [("newline", "un fin de línea"), ("comment", "un comentario"), (" or ", " o ")];
        let expected =
            words.iter().fold(expected.to_owned(), |text, (en, es)| text.replace(en, es));
        let has_words = expected.split('`').step_by(2).any(|outside| {
            words
                .iter()
                .fold(outside.to_owned(), |text, (_, es)| text.replace(es, ""))
                .chars()
                .any(char::is_alphabetic)
        });
        return (!has_words).then(|| format!("se esperaba {expected}"));
    }
    let known = WORDS.iter().find(|(en, _)| line == *en).map(|(_, es)| (*es).to_owned());
    known.or_else(|| {
        let (about, _) = line.split_once(": ").or_else(|| line.split_once(", "))?;
        WORDS.iter().find(|(en, _)| *en == about).map(|(_, es)| (*es).to_owned())
    })
}

#[rustfmt::skip]
const WORDS: &[(&str, &str)] = &[
    ("duplicate key", "esta clave ya está escrita antes"),
    ("carriage return must be followed by newline", "tras un retorno de carro debe venir un fin de línea"),
    ("missing opening quote", "faltan las comillas de apertura"),
    ("missing closing quote", "faltan las comillas de cierre"),
    ("missing escaped value", "tras la barra inversa falta un carácter"),
    ("missing comma between array elements", "falta una coma entre los elementos de la lista"),
    ("missing comma between key-value pairs", "falta una coma entre los pares de clave y valor"),
    ("missing assignment between key-value pairs", "falta el `=` entre la clave y el valor"),
    ("missing value", "falta el valor"),
    ("missing value for key", "a la clave le falta el valor"),
    ("missing key for inline table element", "falta una clave"),
    ("key with no value", "a la clave le falta el valor"),
    ("string values must be quoted", "un texto va entre comillas"),
    ("unquoted keys cannot be empty", "una clave sin comillas no puede estar vacía"),
    ("invalid unquoted key", "la clave tiene caracteres que exigen comillas"),
    ("invalid key-value pair", "el par de clave y valor está mal formado"),
    ("invalid value", "el valor no es válido"),
    ("invalid basic string", "el texto entre comillas está mal formado"),
    ("invalid literal string", "el texto entre comillas simples está mal formado"),
    ("invalid multi-line basic string", "el texto de varias líneas está mal formado"),
    ("invalid comment character", "el comentario tiene un carácter no permitido"),
    ("invalid inline table element", "un elemento de la tabla está mal formado"),
    ("unclosed array", "la lista no se cierra"),
    ("unclosed array table", "faltan los corchetes de cierre `]]`"),
    ("unclosed table", "falta el corchete de cierre `]`"),
    ("unclosed inline table", "falta la llave de cierre `}`"),
    ("extra comma in array", "sobra una coma en la lista"),
    ("extra comma in inline table", "sobra una coma"),
    ("extra assignment between key-value pairs", "sobra un `=`"),
    ("extra `=`", "sobra un `=`"),
    ("unexpected `=` in array", "hay un `=` dentro de la lista"),
    ("unexpected key or value", "sobra una clave o un valor"),
    ("unexpected content", "sobra lo que sigue"),
    ("unexpected content between comment and newline", "sobra lo que sigue"),
    ("unexpected sign", "sobra el signo"),
    ("unexpected leading zero", "un número no empieza por cero"),
    ("redundant numeric sign", "sobra un signo"),
    ("`_` may only go between digits", "`_` solo puede ir entre cifras"),
    ("too few unicode value digits", "faltan cifras en el código Unicode"),
    ("cannot recurse further; max recursion depth met", "hay demasiados niveles unos dentro de otros"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_parsers_words_are_put_into_spanish() {
        for (text, part) in [
            ("hostname = \"a.example\n", "el texto entre comillas está mal formado"),
            ("hostname", "a la clave le falta el valor"),
            ("hostname = a", "un texto va entre comillas"),
            ("[listen\nsmtp = []", "falta el corchete de cierre"),
            ("log = \"json\"\nlog = \"json\"", "esta clave ya está escrita antes"),
            ("domains = [\"a.example\"", "la lista no se cierra"),
            ("domains = [\"a.example\" \"b.example\"]", "falta una coma"),
        ] {
            let errors = Config::parse(text, "puerto.toml").unwrap_err();
            let said = errors.errors[0].message.of(Language::Spanish);
            assert!(said.starts_with("el fichero no es TOML válido: "), "{text}: {said}");
            assert!(said.contains(part), "{text}: {said} ({})", errors.errors[0].message);
        }
    }
}
