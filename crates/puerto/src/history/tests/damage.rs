//! Files that a crash or a disk has damaged: what can still be read of them is told.

use super::*;

#[test]
fn a_file_that_is_cut_anywhere_keeps_the_notes_before_and_goes_on() {
    let bench = Bench::new();
    keep(&files(&bench), 0..2);
    let file = volumes(&bench).remove(0);
    let whole = std::fs::read(&file).unwrap();
    let one = (whole.len() - 8) / 2 + 8;
    for length in 0..=whole.len() {
        std::fs::write(&file, &whole[..length]).unwrap();
        let archive = files(&bench);
        let expected = (length >= one) as usize;
        assert_eq!(archive.notes(id(0)).wait().unwrap().len(), expected, "{length}");
        assert_eq!(archive.notes(id(1)).wait().unwrap().len(), (length == whole.len()) as usize);
        archive.keep(vec![note(5, NOON)]).wait().unwrap();
        assert_eq!(files(&bench).notes(id(5)).wait().unwrap().len(), 1, "{length}");
    }
    let torn = bench.said();
    assert!(torn.iter().all(|text| text.contains("00000001.history")), "{torn:?}");
}

#[test]
fn a_file_that_is_damaged_is_named_and_passed_over() {
    let bench = Bench::new();
    let archive = files(&bench);
    archive.purge(NOON, 2 << 20).wait().unwrap();
    keep(&archive, 0..300);
    drop(archive);
    let file = volumes(&bench).remove(0);
    std::fs::write(&file, b"something else").unwrap();
    let archive = files(&bench);
    assert!(archive.notes(id(0)).wait().unwrap().is_empty());
    assert_eq!(archive.notes(id(299)).wait().unwrap().len(), 1);
    archive.keep(vec![note(300, NOON)]).wait().unwrap();
    let said = bench.said();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("00000001.history: it is no file of a history"), "{said:?}");
    assert_eq!(std::fs::read(&file).unwrap(), b"something else");
    // An octet that has changed costs the note that it is in.
    let file = volumes(&bench).remove(1);
    let mut octets = std::fs::read(&file).unwrap();
    octets[100] ^= 1;
    std::fs::write(&file, octets).unwrap();
    let found: usize = (0..300).map(|n| archive.notes(id(n)).wait().unwrap().len()).sum();
    assert!((150..300).contains(&found), "{found}");
}

#[test]
fn what_cannot_be_read_of_a_history_stays_where_it_was_when_the_rest_moves() {
    let (here, there) = (Bench::new(), Bench::new());
    let from = files(&here);
    from.purge(NOON, 2 << 20).wait().unwrap();
    keep(&from, 0..500);
    let all = volumes(&here);
    assert!(all.len() > 3);
    // One note in the midst of a file, and the beginning of another.
    let harm = |file: &PathBuf, at: usize| {
        let mut octets = std::fs::read(file).unwrap();
        octets[at] ^= 1;
        std::fs::write(file, &octets).unwrap();
        octets
    };
    let (noted, headless) = (harm(&all[0], 5000), harm(&all[1], 0));
    drop(from);
    let to = files(&there);
    let moved = transfer(&files(&here), &to, |_| {}).unwrap();
    let mut stay = moved.stay.clone();
    stay.sort();
    assert_eq!(stay, [all[0].display().to_string(), all[1].display().to_string()]);
    assert_eq!(volumes(&here), all[..2]);
    assert_eq!(std::fs::read(&all[0]).unwrap(), noted);
    assert_eq!(std::fs::read(&all[1]).unwrap(), headless);
    // All behind the damage has come.
    let count = |number| to.notes(id(number)).wait().unwrap().len();
    let missing: Vec<u64> = (0..500).filter(|number| count(*number) == 0).collect();
    assert_eq!(count(499), 1);
    let of_first = missing.iter().filter(|number| **number < 100).count();
    assert!(of_first == 1 && missing.len() < 150, "{missing:?}");
    assert_eq!(moved.notes, 500 - missing.len() as u64);
}

/// The files, with these octets of the first changed.
fn harmed(bench: &Bench, places: impl IntoIterator<Item = usize>) -> (Files, PathBuf) {
    let file = volumes(bench).remove(0);
    let mut octets = std::fs::read(&file).unwrap();
    places.into_iter().for_each(|at| octets[at] ^= 0x40);
    std::fs::write(&file, octets).unwrap();
    (files(bench), file)
}

fn missing(archive: &Files, numbers: std::ops::Range<u64>) -> Vec<u64> {
    let is_missing = |number: &u64| {
        let notes = archive.notes(id(*number)).wait().unwrap();
        assert!(notes.iter().all(|found| *found == note(*number, NOON)), "{number}");
        notes.is_empty()
    };
    numbers.filter(is_missing).collect()
}

#[test]
fn damage_in_the_last_file_costs_the_notes_that_it_is_in_and_none_behind_them() {
    let one = {
        let bench = Bench::new();
        keep(&files(&bench), 0..1);
        std::fs::read(&volumes(&bench)[0]).unwrap().len() - 8
    };
    // The length, the checksum, the id, the time, the keys, and what was noted.
    let octets = [0, 1, 2, 3, 4, 8, 16, 24, 27, 30, 100, one - 1];
    for place in octets.into_iter().map(|within| 8 + one + within) {
        let bench = Bench::new();
        keep(&files(&bench), 0..4);
        let (archive, file) = harmed(&bench, [place]);
        assert_eq!(missing(&archive, 0..4), [1], "{place}");
        assert_eq!(archive.under(3 << 8, 9).wait().unwrap(), [id(3)], "{place}");
        let said = bench.said();
        let told = format!("00000001.history: {one} octets of it cannot be read");
        assert!(said.len() == 1 && said[0].contains(&told), "{said:?}");
        // It goes on behind them, now and at the next start, and full with its index.
        keep(&archive, 4..5);
        assert_eq!(missing(&archive, 0..5), [1], "{place}");
        assert_eq!(std::fs::metadata(&file).unwrap().len() as usize, 8 + 5 * one);
        let archive = files(&bench);
        assert_eq!(missing(&archive, 0..5), [1], "{place}");
        archive.keep(vec![note(9, NOON.after(Duration::from_secs(100_000)))]).wait().unwrap();
        assert_eq!(volumes(&bench).len(), 2);
        assert_eq!(missing(&files(&bench), 0..5), [1], "{place}");
        let (notes, _) = archive.behind(0).wait().unwrap().unwrap();
        assert_eq!(notes.iter().map(|note| note.id).collect::<Vec<_>>(), [0, 2, 3, 4].map(id));
    }
}

#[test]
fn much_damage_is_passed_over_up_to_the_next_note() {
    let bench = Bench::new();
    keep(&files(&bench), 0..200);
    // More than is looked at together, and all kinds of octets.
    let of = |at: usize| at.wrapping_mul(0x9E37_79B9) as u8;
    let file = volumes(&bench).remove(0);
    let mut octets = std::fs::read(&file).unwrap();
    octets[20_000..60_000].iter_mut().enumerate().for_each(|(at, octet)| *octet = of(at));
    octets.truncate(octets.len() - 5);
    std::fs::write(&file, octets).unwrap();
    let archive = files(&bench);
    let gone = missing(&archive, 0..200);
    let first = gone[0];
    let expected: Vec<u64> = (first..first + gone.len() as u64 - 1).chain([199]).collect();
    assert_eq!(gone, expected, "the damage, and the last, which is torn");
    assert!((36..40).contains(&first) && gone.len() < 80, "{gone:?}");
    keep(&archive, 199..200);
    assert_eq!(missing(&files(&bench), 0..200), expected[..expected.len() - 1]);
}

#[test]
fn what_is_forgotten_of_a_damaged_file_takes_nothing_that_can_be_read_along() {
    let bench = Bench::new();
    keep(&files(&bench), 0..9);
    let (archive, file) = harmed(&bench, [1700]);
    assert_eq!(archive.forget(&[id(1), id(7)]).wait().unwrap(), 2);
    for archive in [archive, files(&bench)] {
        assert_eq!(missing(&archive, 0..9), [1, 3, 7]);
        keep(&archive, 20..21);
    }
    let left = std::fs::read(&file).unwrap();
    assert_eq!(left.len(), 8 + 6 * (8 + 20 + 16 + 500), "nothing that nobody can read is left");
}
