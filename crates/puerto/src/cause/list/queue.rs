//! What becomes of a message here, from taking it over to telling its sender.

/// Adds these to those before, and hands all to the next list.
macro_rules! queue {
    ([$next:ident $($rest:ident)*] $($before:tt)*) => {
        $next! {
            [$($rest)*]
            $($before)*

            // The message and the queue.
            MessageUnread { error: SystemError } = "queue.message-unread"
                ["cannot read the queued message: {error}",
                 "no se puede leer el mensaje de la cola: {error}"]
                => "puerto.local";
            MessageDamaged { size: u64 } = "queue.message-damaged"
                ["the queued message is damaged: it should have {size} octets and has not",
                 "el mensaje de la cola está dañado: debería tener {size} octetos y no los tiene"];
            ReadingBrokenOff { why: Words } = "queue.reading-broken-off"
                ["reading the message failed: {why}",
                 "ha fallado la lectura del mensaje: {why}"];
            BrokenOff {} = "queue.broken-off"
                ["the delivery was broken off by an internal error",
                 "un error interno interrumpió la entrega"];
            Suspended { why: Box<Cause> } = "queue.suspended"
                ["delivery temporarily suspended: {why}",
                 "entrega suspendida por ahora: {why}"];
            Parked { why: Box<Cause> } = "queue.parked"
                ["its destination asked for a pause, in which no attempt is spent: {why}",
                 "su destino pidió una pausa, en la que no se gasta ningún intento: {why}"];
            ToRescue { relay: String, why: Box<Cause> } = "queue.to-rescue"
                ["{why}; the rescue route {relay} is tried, since another address would not meet that",
                 "{why}; se prueba la ruta de rescate {relay}, pues otra dirección no encontraría eso"];
            ByRescue { relay: String, why: Box<Cause> } = "queue.by-rescue"
                ["it goes by the rescue route {relay}, since the direct way failed: {why}",
                 "va por la ruta de rescate {relay}, pues la vía directa ha fallado: {why}"];
            RescueFailed { last: Box<Cause>, why: Box<Cause> } = "queue.rescue-failed"
                ["{last}; this was the rescue route, since the direct way failed: {why}",
                 "{last}; era la ruta de rescate, pues la vía directa falló: {why}"];
            WarmUp { source: String, provider: String, most: u64 } = "queue.warm-up"
                ["the new address {source} has sent {provider} the {most} messages of this day of its plan, and no other may carry this; it goes on tomorrow",
                 "la dirección nueva {source} ya ha enviado a {provider} los {most} mensajes que su plan da para hoy, y ninguna otra puede llevar este; sigue mañana"];
            NotBegun { source: String, begins: String } = "queue.not-begun"
                ["the new address {source} begins to send on {begins} (`begins` of its [[source]]), and no other may carry this",
                 "la dirección nueva {source} empieza a enviar el {begins} (`begins` de su [[source]]), y ninguna otra puede llevar esto"];
            NoSource { destination: String } = "queue.no-source"
                ["none of the addresses that may carry this reaches {destination}: they have another address family (IPv4, IPv6) than its hosts",
                 "ninguna de las direcciones que pueden llevar esto alcanza {destination}: son de otra familia (IPv4, IPv6) que sus máquinas"];
            PortClosed { destinations: u64 } = "queue.port-closed"
                ["nothing outside answers on port 25: {destinations} destinations in different networks could not be reached, and no other was meanwhile",
                 "nada responde fuera en el puerto 25: no se ha podido llegar a {destinations} destinos de redes distintas, ni entretanto a ningún otro"];
            Expired { last: Box<Cause> } = "queue.expired"
                ["delivery time expired; last try: {last}",
                 "se agotó el plazo; último intento: {last}"];
            Untold { of: Box<Cause> } = "queue.untold"
                ["the sender cannot be told yet of: {of}",
                 "aún no se ha podido avisar al remitente de esto: {of}"];

            Unrecorded { error: SpoolError } = "queue.unrecorded"
                ["its settlement was not recorded: {error}",
                 "no se anotó qué fue de sus destinatarios: {error}"];
            RecordWaits { error: SpoolError } = "queue.record-waits"
                ["what became of its recipients is kept in memory until the spool can record it: {error}",
                 "lo que fue de sus destinatarios se guarda en memoria hasta que la cola pueda anotarlo: {error}"];
            RecordNotDurable { error: SpoolError } = "queue.record-not-durable"
                ["what became of its recipients is not on disk; after a restart some may get it again: {error}",
                 "lo que fue de sus destinatarios no está en el disco; tras reiniciar, alguno podría recibirlo otra vez: {error}"];

            GoesOnInPlain { why: Box<Cause> } = "tls.goes-on-in-plain"
                ["{why}; going on in plain text, since tls is opportunistic",
                 "{why}; se sigue sin cifrar, pues tls es opportunistic"];

            // What an administrator has done.
            TriedByHand { uid: u64 } = "by-hand.tried"
                ["to be tried now by uid {uid}",
                 "el uid {uid} ha pedido intentarlo ya"];
            HeldByHand { uid: u64 } = "by-hand.held"
                ["placed on hold by uid {uid}",
                 "retenido por el uid {uid}"];
            ReleasedByHand { uid: u64 } = "by-hand.released"
                ["released from hold by uid {uid}",
                 "liberado por el uid {uid}"];
            RemovedByHand { uid: u64 } = "by-hand.removed"
                ["removed from the queue by uid {uid}",
                 "eliminado de la cola por el uid {uid}"];
            ShownByHand { uid: u64 } = "by-hand.shown"
                ["shown whole to uid {uid}",
                 "mostrado entero al uid {uid}"];

            // Taking a message over.
            Held { why: Box<Cause> } = "intake.held"
                ["held: {why}", "retenido: {why}"];
            PostmasterUntold { reply: String } = "intake.postmaster-untold"
                ["postmaster could not be told of it: {reply}",
                 "no se ha podido avisar de ello a postmaster: {reply}"];
            NotStored { why: SpoolError } = "intake.not-stored"
                ["{why}", "{why}"];
            SenderRewritten { from: String, to: String, why: Box<Cause> } = "intake.sender-rewritten"
                ["sender <{from}> rewritten to <{to}>: {why}",
                 "remitente <{from}> cambiado por <{to}>: {why}"];
            AuthorRewritten { from: String, to: String, why: Box<Cause> } = "intake.author-rewritten"
                ["From <{from}> rewritten to <{to}>: {why}",
                 "From <{from}> cambiado por <{to}>: {why}"];
            DomainNotOurs { domain: String } = "intake.domain-not-ours"
                ["{domain} is none of our domains, so that DMARC would fail",
                 "{domain} no es dominio nuestro, así que fallaría DMARC"];
            AddressNotOwned { who: String } = "intake.address-not-owned"
                ["not owned by {who}", "no es de {who}"];
            AddressUnreadable {} = "intake.address-unreadable"
                ["no address that can be read", "no es una dirección que se pueda leer"];
            FirstAuthorKept { count: u64 } = "intake.first-author-kept"
                ["header: kept the first of {count} addresses in From",
                 "cabecera: de {count} direcciones en From queda la primera"];
            OneFieldKept { count: u64, name: String } = "intake.one-field-kept"
                ["header: kept one of {count} {name} fields",
                 "cabecera: de {count} campos {name} queda uno"];
            NulsRemoved { count: u64 } = "intake.nuls-removed"
                ["header: removed {count} NULs",
                 "cabecera: se han quitado {count} octetos nulos"];
            NotSigned { key: String, why: Words } = "intake.not-signed"
                ["not signed with {key}: {why}",
                 "sin firmar con {key}: {why}"];

            // Notifications.
            NoSenderToTell {} = "bounce.no-sender"
                ["an undeliverable notification is dropped: it has no sender",
                 "se descarta una notificación que no se puede entregar: no tiene remitente"];
            PostmasterHasEnough {} = "bounce.postmaster-has-enough"
                ["too many undeliverable notifications within an hour: the postmaster is not told of this one",
                 "demasiadas notificaciones sin entregar en una hora: de esta no se avisa a postmaster"];
            OutsidersHaveEnough {} = "bounce.outsiders-have-enough"
                ["too many notifications to outsiders within an hour: this one is dropped",
                 "demasiadas notificaciones a gente de fuera en una hora: esta se descarta"];
            NotReturned { reply: String } = "bounce.not-returned"
                ["the message cannot be returned: {reply}",
                 "el mensaje no se puede devolver: {reply}"];
            NobodyTold { who: String, reply: String } = "bounce.nobody-told"
                ["{who} cannot be told: {reply}",
                 "no se puede avisar a {who}: {reply}"];
            ReportDoubted { why: Spoken } = "bounce.report-doubted"
                ["this report is noted with no message of ours: {why}",
                 "este informe no se anota con ningún mensaje nuestro: {why}"];
        }
    };
}
