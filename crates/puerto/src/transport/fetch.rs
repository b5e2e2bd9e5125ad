//! Fetches the pages on which policies are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Live;
use crate::dns::Resolver;
use crate::lang;
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

async fn page(dns: &Resolver, config: &Live, tls: &ClientTls, of: (&str, &str)) -> Page {
    let (host, path) = of;
    let address = match https::address(dns, host).await {
        Ok(address) => address,
        Err(page) => return page,
    };
    // Whoever publishes a name does not choose whom we speak to in our own network.
    if special(address).is_some() && !config.get().delivery.allow_private {
        return Page::NoHost;
    }
    if !tls.has_roots() {
        let tls = tls.clone();
        // They are read from the disk; what is wrong with them shows in the fetch.
        let _ = tokio::task::spawn_blocking(move || tls.verified().map(drop)).await;
    }
    https::fetch(SocketAddr::new(address, PORT), host, path, tls).await
}
