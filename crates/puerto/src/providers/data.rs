//! The files that come with the program, one for each provider.

/// What holds for everybody without a file.
pub const EVERYBODY: &str = "default";
/// What holds for relays. A file whose name begins so, and a hyphen, is of a relay, and says
/// nothing of receivers.
pub const RELAYS: &str = "relay";

macro_rules! file {
    ($name:literal) => {
        ($name, include_str!(concat!("data/", $name, ".toml")))
    };
}

/// Each file, by the name of its provider.
pub const FILES: &[(&str, &str)] = &[
    file!("amazon-inbound"),
    file!("apple"),
    file!("aruba"),
    file!("atmail"),
    file!("att"),
    file!("barracuda"),
    file!("bell-ca"),
    file!("bluewin"),
    file!("bt"),
    file!("centrum-cz"),
    file!("charter"),
    file!("cisco-iphmx"),
    file!("cloudfilter"),
    file!("cloudflare-routing"),
    file!("comcast"),
    file!("cox"),
    file!("default"),
    file!("earthlink"),
    file!("fastmail"),
    file!("fireeye-trellix"),
    file!("free"),
    file!("freenet"),
    file!("gmx"),
    file!("godaddy"),
    file!("google"),
    file!("hornetsecurity"),
    file!("hostinger"),
    file!("infomaniak"),
    file!("ionos"),
    file!("kpn"),
    file!("laposte"),
    file!("libero"),
    file!("mailru"),
    file!("microsoft-business"),
    file!("microsoft-consumer"),
    file!("migadu"),
    file!("mimecast"),
    file!("mxroute"),
    file!("namecheap-privateemail"),
    file!("naver"),
    file!("netease"),
    file!("netvigator"),
    file!("onecom"),
    file!("orange"),
    file!("ovh"),
    file!("posteo-mailbox"),
    file!("proofpoint"),
    file!("proton"),
    file!("qq"),
    file!("rackspace"),
    file!("rambler"),
    file!("rediff"),
    file!("relay"),
    file!("relay-mailgun"),
    file!("seznam"),
    file!("sfr"),
    file!("strato"),
    file!("symantec-cloud"),
    file!("t-online"),
    file!("talktalk"),
    file!("telefonica"),
    file!("telenet"),
    file!("telia"),
    file!("telstra"),
    file!("terra"),
    file!("tiscali-it"),
    file!("tuta"),
    file!("uol"),
    file!("yahoo"),
    file!("yahoo-jp"),
    file!("yandex"),
    file!("ziggo"),
    file!("zoho"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/providers/data");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort();
        let mut listed: Vec<String> =
            FILES.iter().map(|(name, _)| format!("{name}.toml")).collect();
        listed.sort();
        assert_eq!(listed, there);
    }
}
