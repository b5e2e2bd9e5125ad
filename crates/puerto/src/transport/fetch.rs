//! Fetches the pages on which policies are, and posts reports.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Live;
use crate::dns::Resolver;
use crate::lang::{self, Said, said};
use crate::survey::address::special;
use crate::survey::https::{self, Page};
use crate::tls::ClientTls;

use super::sts::{Fetch, Fetching};

/// RFC 8461 §3.3: a minute for the whole.
const PATIENCE: Duration = Duration::from_secs(60);
const PORT: u16 = 443;

/// Over HTTPS, with the system's roots, from the addresses that this resolver knows.
pub fn over_https(dns: Arc<Resolver>, config: Live) -> Fetch {
    let tls = ClientTls::new();
    Arc::new(move |host: String, path: &'static str| -> Fetching {
        let (dns, config, tls) = (Arc::clone(&dns), config.clone(), tls.clone());
        Box::pin(async move {
            let page = tokio::time::timeout(PATIENCE, page(&dns, &config, &tls, (&*host, path)));
            page.await.unwrap_or_else(|_elapsed| Page::Failed(lang::NOT_IN_TIME.into()))
        })
    })
}

/// Gives octets of a media type to `host` at its port and path, over HTTPS likewise; what was
/// wrong, if it was not taken.
pub async fn post(
    (dns, config, tls): (&Resolver, &Live, &ClientTls),
    (host, port, path): (&str, u16, &str),
    content: (&str, &[u8]),
) -> Result<(), Said> {
    let posting = async {
        match way(dns, config, tls, host).await {
            Ok(address) => {
                https::post(SocketAddr::new(address, port), (host, path), content, tls).await
            }
            Err(page) => page,
        }
    };
    let page = tokio::time::timeout(PATIENCE, posting).await;
    match page.unwrap_or_else(|_elapsed| Page::Failed(lang::NOT_IN_TIME.into())) {
        // RFC 8460 §5.4: 200 and 201; others say the same by what else begins with 2.
        Page::Answer { status: 200..=299, .. } => Ok(()),
        Page::Answer { status, .. } => Err(
            said!("the server answers {status}", "el servidor responde {status}"; status = status),
        ),
        Page::NoHost => Err(said!("it has no address", "no tiene dirección")),
        Page::Untrusted(why) | Page::Failed(why) => Err(why),
    }
}

async fn page(dns: &Resolver, config: &Live, tls: &ClientTls, of: (&str, &str)) -> Page {
    let (host, path) = of;
    match way(dns, config, tls, host).await {
        Ok(address) => https::fetch(SocketAddr::new(address, PORT), host, path, tls).await,
        Err(page) => page,
    }
}

async fn way(dns: &Resolver, config: &Live, tls: &ClientTls, host: &str) -> Result<IpAddr, Page> {
    let address = https::address(dns, host).await?;
    // Whoever publishes a name does not choose whom we speak to in our own network.
    if special(address).is_some() && !config.get().delivery.allow_private {
        return Err(Page::NoHost);
    }
    if !tls.has_roots() {
        let tls = tls.clone();
        // They are read from the disk; what is wrong with them shows in the fetch.
        let _ = tokio::task::spawn_blocking(move || tls.read_roots()).await;
    }
    Ok(address)
}
