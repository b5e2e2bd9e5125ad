//! Times and networks that are right by themselves, and together say nothing.

use super::Trial;
use crate::config::{Config, Network, show_duration};
use crate::finding::kinds;

kinds! {
    LATE_NOTICE = "queue.notice-late" Warning:
        "nobody would be told of a delay: that is after {after}, and mail is given up after {expire}",
        "a nadie se le avisaría de un retraso: eso es a los {after}, y el correo se da por perdido a \
         los {expire}",
        "make it shorter than `queue.expire`, or 0s for no notice",
        "póngalo menor que `queue.expire`, o 0s para que no haya aviso";
    LATE_RETRY = "queue.retry-late" Warning:
        "mail would be tried twice in all: the first wait is {wait}, and mail is given up after \
         {expire}",
        "el correo se intentaría dos veces en total: la primera espera es de {wait}, y el correo se \
         da por perdido a los {expire}",
        "make the first wait shorter than `queue.expire`",
        "ponga la primera espera menor que `queue.expire`";
    OUTSIDE = "network.untrusted" Warning:
        "{network} is not in `trusted_networks`, of whose clients alone this is said",
        "{network} no está en `trusted_networks`, y esto solo se dice de sus clientes",
        "add it there, or take it out here", "añádala ahí, o quítela de aquí";
}

impl Trial {
    /// Waits that outlast the mail's own life.
    pub(super) fn times(&mut self, config: &Config) {
        let queue = &config.queue;
        let expire = show_duration(queue.expire);
        if queue.warn_after >= queue.expire {
            let after = show_duration(queue.warn_after);
            self.add("queue.warn_after", LATE_NOTICE.put("after", after).put("expire", &expire));
        }
        if let Some(wait) = queue.retry.first().filter(|wait| **wait >= queue.expire) {
            let wait = show_duration(*wait);
            self.add("queue.retry", LATE_RETRY.put("wait", wait).put("expire", &expire));
        }
    }

    /// Networks whose clients nothing comes from. Those of logins are counted wherever they are.
    pub(super) fn networks(&mut self, config: &Config) {
        let listen = &config.listen;
        let has_logins = !listen.submission.is_empty() || !listen.submissions.is_empty();
        let of_caps = config.caps.clients.iter().filter(|_| !has_logins);
        let of_caps = of_caps.map(|(network, _)| ("caps.clients", network));
        let of_sender =
            config.sender.networks.iter().map(|(network, _)| ("sender.networks", network));
        let is_trusted = |network: &Network| {
            let mut trusted = config.trusted_networks.0.iter();
            // What holds trusted networks is about those.
            trusted.any(|known| known.holds(network) || network.holds(known))
        };
        for (key, network) in of_caps.chain(of_sender).filter(|(_, network)| !is_trusted(network)) {
            self.add(key, OUTSIDE.put("network", network));
        }
    }
}
