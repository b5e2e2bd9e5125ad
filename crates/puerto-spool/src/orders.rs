//! What an administrator has ordered: texts with numbers, and the file that keeps them.

use std::io;
use std::path::Path;

use crate::codec::{Malformed, Put, Take};
use crate::disk::Disk;

const MAGIC: &[u8; 8] = b"PUERTOOR";
const VERSION: u32 = 1;
const NAME: &str = "orders";
const NEW_NAME: &str = "orders.new";
/// Octets of the file at most that are read.
const MAX_OCTETS: u64 = 64 * 1024 * 1024;

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    /// The last number that was given.
    last: u64,
    /// By their numbers.
    orders: Vec<(u64, String)>,
    /// There is a file that could not be read: it is not to be replaced.
    is_unread: bool,
}

impl Orders {
    pub(crate) fn list(&self) -> Vec<(u64, String)> {
        self.orders.clone()
    }

    /// Adds one, and says its number.
    pub(crate) fn give(&mut self, order: String) -> u64 {
        self.last += 1;
        self.orders.push((self.last, order));
        self.last
    }

    /// Removes one, and says whether it was there.
    pub(crate) fn take_back(&mut self, number: u64) -> bool {
        let before = self.orders.len();
        self.orders.retain(|(known, _)| *known != number);
        self.orders.len() < before
    }

    /// Reads the file of a store's folder; none: no order was ever given. One that is damaged
    /// is kept under another name, and the note says so.
    pub(crate) fn read(disk: &dyn Disk, directory: &Path) -> (Self, Option<String>) {
        let path = directory.join(NAME);
        let octets = match read_file(disk, &path) {
            Ok(octets) => octets,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::nothing(None),
            Err(error) => {
                let note = format!(
                    "{} cannot be read, so that no pause, hold or reroute that stands in it is in \
                     force: {error}",
                    path.display()
                );
                return (Self { is_unread: true, ..Self::default() }, Some(note));
            }
        };
        match Self::decode(&octets) {
            Ok(orders) => (orders, None),
            Err(what) => {
                let aside = path.with_extension("damaged");
                let kept = match disk.rename(&path, &aside) {
                    Ok(()) => format!("it is kept as {}", aside.display()),
                    Err(error) => format!("it cannot be renamed: {error}"),
                };
                Self::nothing(Some(format!(
                    "{} is damaged ({what}), so that no pause, hold or reroute that stood in it is \
                     in force: {kept}",
                    path.display()
                )))
            }
        }
    }

    fn nothing(note: Option<String>) -> (Self, Option<String>) {
        (Self::default(), note)
    }

    /// Writes the file anew; what was there is there until the new one is durable.
    pub(crate) fn write(&self, disk: &dyn Disk, directory: &Path) -> io::Result<()> {
        if self.is_unread {
            return Err(io::Error::other(format!(
                "{} could not be read when the store was opened, and is not replaced",
                directory.join(NAME).display()
            )));
        }
        let new = directory.join(NEW_NAME);
        match disk.remove(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(&new)?;
        file.write_at(&self.encode(), 0)?;
        file.sync_data()?;
        disk.rename(&new, &directory.join(NAME))?;
        disk.sync_dir(directory)
    }

    fn encode(&self) -> Vec<u8> {
        let mut octets = MAGIC.to_vec();
        octets.put_u32(VERSION);
        octets.put_u64(self.last);
        for (number, order) in &self.orders {
            octets.put_u64(*number);
            octets.put_bytes(order.as_bytes());
        }
        octets.put_u32(crc32fast::hash(&octets));
        octets
    }

    fn decode(octets: &[u8]) -> Result<Self, Malformed> {
        let intact = octets
            .split_last_chunk::<4>()
            .filter(|(body, checksum)| crc32fast::hash(body).to_le_bytes() == **checksum);
        let (body, _) = intact.ok_or(Malformed("its checksum is another"))?;
        let mut from = Take(body);
        if from.raw(MAGIC.len())? != MAGIC || from.u32()? != VERSION {
            return Err(Malformed("it is of another kind"));
        }
        let mut read = Self { last: from.u64()?, ..Self::default() };
        while !from.0.is_empty() {
            read.orders.push((from.u64()?, from.text()?.to_owned()));
        }
        Ok(read)
    }
}

fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let length = file.len()?.min(MAX_OCTETS);
    let mut octets = vec![0; usize::try_from(length).unwrap_or(0)];
    let read = file.read_at(&mut octets, 0)?;
    octets.truncate(read);
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_damage_is_seen() {
        let mut orders = Orders::default();
        assert_eq!((orders.give("one".into()), orders.give("ñ".into())), (1, 2));
        assert!(orders.take_back(1) && !orders.take_back(1));
        let octets = orders.encode();
        assert_eq!(Orders::decode(&octets).as_ref(), Ok(&orders));
        assert_eq!(orders.give("three".into()), 3, "a number is never given twice");
        for at in 0..octets.len() {
            let mut other = octets.clone();
            other[at] ^= 1;
            assert!(Orders::decode(&other).is_err(), "{at}");
            assert!(Orders::decode(&octets[..at]).is_err(), "{at}");
        }
    }
}
