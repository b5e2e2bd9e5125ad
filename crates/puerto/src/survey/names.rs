//! Names that say nothing outside: those that the public DNS does not have, and those
//! that hosting companies give to their machines.

use puerto_mail::dns::is_at_or_below;
use puerto_mail::idn::name_in_ascii;

/// What names end in that the public DNS does not have (RFC 6762 §3, RFC 8375, and what
/// makers of routers and directories put there).
const PRIVATE: &str = "\
    arpa corp fritz.box home internal intranet invalid lan local localdomain localhost \
    oraclevcn.com private";

/// Ends of the names that providers give when nobody asks for another.
const PROVIDERS: &str = "\
    amazonaws.com amazonaws.com.cn awsapps.com bc.googleusercontent.com bestsrv.de \
    c.googlers.com cloudapp.azure.com cloudapp.net cloudwaysapps.com colocrossing.com \
    contabo.host contabo.net contaboserver.net dreamhost.com goodsrv.de happysrv.de \
    hostgator.com hostwindsdns.com hosted-by-vdsina.com hosted-by-vdsina.ru hotsrv.de \
    hstgr.cloud hstgr.io in-addr.arpa instances.scw.cloud ip.linodeusercontent.com ip6.arpa \
    kasserver.com kimsufi.com linode.com linodeusercontent.com luckysrv.de megasrv.de \
    nicesrv.de onlinehome-server.com onlinehome-server.info ovh.net ovh.us poneytelecom.eu \
    powersrv.de quicksrv.de scaleway.com secureserver.net soyoustart.com startdedicated.com \
    stratoserver.net supersrv.de ultrasrv.de upcloud.host vps.ovh.ca vps.ovh.net vps-host.net \
    vultr.com vultrusercontent.com web-hosting.com your-server.de yourvserver.net zap-srv.com";

/// A domain name as the DNS has it, see [`name_in_ascii`].
pub fn ascii(name: &str) -> String {
    name_in_ascii(name).into_owned()
}

/// Whether a name has one label, or ends in what the public DNS does not have: nobody
/// outside can look it up.
pub fn is_private(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    !name.contains('.') || PRIVATE.split(' ').any(|end| is_at_or_below(&name, end))
}

/// The end by which a name is known to be a provider's, the longest.
pub fn provider(name: &str) -> Option<&'static str> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    PROVIDERS.split(' ').filter(|end| is_at_or_below(&name, end)).max_by_key(|end| end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nobody_outside_knows_and_names_of_providers_are_told_from_ones_own() {
        for name in [
            "web",
            "web.lan",
            "WEB.Local.",
            "a.b.internal",
            "ip-10-0-0-5.eu-west-1.compute.internal",
            "nas.home.arpa",
            "localhost.localdomain",
            "pi.fritz.box",
        ] {
            assert!(is_private(name), "{name}");
        }
        for (name, end) in [
            ("ec2-3-9-1-2.eu-west-1.compute.amazonaws.com", "amazonaws.com"),
            ("vmi12345.contaboserver.net", "contaboserver.net"),
            ("vps-0a1b2c3d.vps.ovh.net", "vps.ovh.net"),
            ("ns3012345.ip-51-77-1.eu", ""),
            ("static.9.8.7.6.clients.your-server.de", "your-server.de"),
            ("172-104-1-2.ip.linodeusercontent.com", "ip.linodeusercontent.com"),
            ("srv123456.hstgr.cloud", "hstgr.cloud"),
            ("V220.Happysrv.DE", "happysrv.de"),
            ("mail.example.com", ""),
            ("mylan.example.com", ""),
            ("notamazonaws.com", ""),
        ] {
            assert_eq!(provider(name).unwrap_or_default(), end, "{name}");
            assert!(!is_private(name), "{name}");
        }
    }
}
