//! Golden files: what was shown once and is to stay as it is, below `tests/golden`.

use std::path::Path;

/// Compares a text with a golden file. With `PUERTO_BLESS` set the file is written anew:
/// see then in the difference that only what should be another is another.
#[track_caller]
pub(crate) fn same(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("PUERTO_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap_or_default();
    if golden == text {
        return;
    }
    let differs = golden.lines().zip(text.lines()).position(|(golden, now)| golden != now);
    let line = differs.unwrap_or_else(|| golden.lines().count().min(text.lines().count()));
    let at = |text: &str| text.lines().nth(line).unwrap_or("(nothing)").to_owned();
    panic!("{name}:{}:\nwas {}\nnow {}", line + 1, at(&golden), at(text));
}
