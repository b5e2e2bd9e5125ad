//! What the administrator's files of providers would do.

use std::path::Path;

use super::{Means, Trial};
use crate::config::Config;
use crate::finding::kinds;
use crate::rights;

kinds! {
    ALL_OF_A_SUFFIX = "providers.too-wide" Warning:
        "provider {name} has the hosts of `{host}`, below which are the hosts of strangers: mail to \
         all of them is one destination",
        "el proveedor {name} tiene las máquinas de `{host}`, bajo el que están las de desconocidos: el \
         correo para todas ellas es un solo destino",
        "name the provider's own domain in `hosts`", "ponga en `hosts` el dominio del proveedor";
    NOT_READ = "providers.not-read" Warning:
        "{file} is not read: the names of providers' files end in .toml",
        "{file} no se lee: los nombres de los ficheros de proveedores terminan en .toml",
        "give it such a name, or another place", "póngale un nombre así, o llévelo a otro sitio";
}

const KEY: &str = "delivery.providers";

impl Trial {
    // At the start they are read with root's rights, at a reload without: then one that is
    // hidden from the server's user keeps the whole configuration from being read.
    pub(super) fn providers(&mut self, config: &Config) {
        let folder = &config.delivery.providers;
        let listed = rights::act(self.service.as_ref(), || std::fs::read_dir(folder));
        match listed {
            Ok(entries) => {
                let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
                let mut paths: Vec<_> = paths.collect();
                paths.sort();
                let is_read = |path: &Path| path.extension().is_some_and(|end| end == "toml");
                for path in paths {
                    if is_read(&path) {
                        self.readable(Means::Warns, KEY, &path);
                    } else if !is_leftover(&path) {
                        self.add(KEY, NOT_READ.put("file", path.display()));
                    }
                }
            }
            // A folder above it may be closed to the server's user, which is told of its files.
            Err(_) if !folder.exists() => {}
            Err(error) => self.failed(Means::Warns, KEY, &folder.display().to_string(), &error),
        }
        let profiles = config.profiles();
        for profile in profiles.names().filter_map(|name| profiles.named(name)) {
            for host in profile.hosts.iter().filter(|host| is_public(host)) {
                self.add(KEY, ALL_OF_A_SUFFIX.put("name", &profile.name).put("host", host));
            }
        }
    }
}

// What editors, package managers and people who keep an older one leave beside a file.
fn is_leftover(path: &Path) -> bool {
    const ENDS: [&str; 9] =
        ["~", ".bak", ".old", ".orig", ".swp", ".disabled", ".dpkg-old", ".dpkg-dist", ".dpkg-new"];
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name.starts_with('.')
        || name.starts_with("README")
        || ENDS.iter().any(|end| name.ends_with(end))
}

// Of those alone that registries give names below: what stands on the list for one company's
// customers may well be that company's hosts.
fn is_public(host: &str) -> bool {
    let suffix = psl::suffix(host.as_bytes());
    suffix.is_some_and(|suffix| suffix == host && suffix.typ() == Some(psl::Type::Icann))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::trial::of;

    fn found(folder: &std::path::Path) -> Vec<String> {
        let file = folder.join("puerto.toml");
        let providers = folder.join("providers");
        let keys = folder.join("dkim");
        let text = format!(
            "hostname = \"mail.example.com\"\n[listen]\nsmtp = []\n[delivery]\nproviders = {providers:?}\n\
             [dkim]\ndirectory = {keys:?}\n"
        );
        std::fs::write(&file, text).unwrap();
        let config = Config::load_whole(Some(&file)).unwrap();
        let found = of(&config, &file).into_iter().filter(|tried| tried.key == KEY);
        found.map(|tried| tried.text("x", crate::lang::Language::English)).collect()
    }

    #[test]
    fn a_provider_who_would_be_half_the_internet_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("providers")).unwrap();
        let own = folder.path().join("providers/own.toml");
        for (hosts, count) in [
            ("\"com\"", 1),
            ("\"co.uk\", \"com\"", 2),
            ("\"example.com\", \"example.co.uk\"", 0),
            // One company's, and a network of one's own.
            ("\"cloudfront.net\", \"lan\"", 0),
        ] {
            std::fs::write(&own, format!("hosts = [{hosts}]\n")).unwrap();
            let found = found(folder.path());
            assert_eq!(found.len(), count, "{hosts}: {found:?}");
            assert!(found.iter().all(|line| line.contains("provider own")), "{found:?}");
        }
        for (name, count) in
            [("google.tml", 1), ("google", 1), ("google.toml~", 0), (".own.toml.swp", 0)]
        {
            let other = folder.path().join("providers").join(name);
            std::fs::write(&other, "hosts = [\"a.example\"]\n").unwrap();
            let found = found(folder.path());
            assert_eq!(found.len(), count, "{name}: {found:?}");
            assert!(found.iter().all(|line| line.contains("is not read")), "{found:?}");
            std::fs::remove_file(&other).unwrap();
        }
    }
}
