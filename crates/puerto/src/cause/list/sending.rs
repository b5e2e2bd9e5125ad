//! Where mail goes, what became of the connection there, and what was said on it.

/// Adds these to those before, and hands all to the next list.
macro_rules! sending {
    ([$next:ident $($rest:ident)*] $($before:tt)*) => {
        $next! {
            [$($rest)*]
            $($before)*

            // Routing.
            NoSuchDomain { domain: String } = "route.no-such-domain"
                ["the domain {domain} does not exist; is it spelled correctly?",
                 "el dominio {domain} no existe; ¿está bien escrito?"]
                => "puerto.no-such-domain";
            BareDomain { domain: String } = "route.bare-domain"
                ["the domain {domain} has neither MX nor address records",
                 "el dominio {domain} no tiene registros MX ni de dirección"]
                => "puerto.no-such-domain";
            BadDomain { domain: String } = "route.bad-domain"
                ["{domain} is not a valid internationalized domain",
                 "{domain} no es un dominio internacionalizado válido"]
                => "puerto.no-such-domain";
            HostWithoutAddress { host: String } = "route.host-without-address"
                ["the MX host {host} has no address",
                 "el MX {host} no tiene dirección"]
                => "puerto.no-address";
            ExchangerIsAddress { address: String } = "route.exchanger-is-address"
                ["the MX record names the address {address}, where a host's name belongs",
                 "el registro MX nombra la dirección {address}, donde debe ir el nombre de una máquina"]
                => "puerto.no-address";
            NoExchangerLeft {} = "route.no-exchanger-left"
                ["no mail exchanger is left to try",
                 "no queda ningún MX que probar"]
                => "puerto.no-address";
            NullExchanger { domain: String } = "route.null-exchanger"
                ["{domain} takes no mail: it publishes a null MX (RFC 7505)",
                 "{domain} no admite correo: publica un MX nulo (RFC 7505)"]
                => "generic.null-mx";
            LoopbackExchanger { domain: String, host: String } = "route.loopback-exchanger"
                ["{domain} takes no mail: its MX is {host}",
                 "{domain} no admite correo: su MX es {host}"]
                => "puerto.no-address";
            SpecialAddress { host: String, kind: AddressKind, address: IpAddr, why: Box<Cause> }
                = "route.special-address"
                ["{host} has the {kind} address {address}, {why}",
                 "{host} tiene la dirección {kind} {address}, {why}"];
            SpecialLiteral { literal: String, kind: DescribedAddress, why: Box<Cause> }
                = "route.special-literal"
                ["the address literal {literal} is {kind}, {why}",
                 "la dirección literal {literal} es {kind}, {why}"];
            UnlessAllowed {} = "route.unless-allowed"
                ["where mail is not delivered unless [delivery] allow_private = true",
                 "a la que no se entrega salvo con [delivery] allow_private = true"]
                => "puerto.private";
            NeverDelivered {} = "route.never-delivered"
                ["where no mail is delivered",
                 "a la que no se entrega correo"]
                => "puerto.private";
            AddressAvoided { address: String, receiver: String } = "route.address-avoided"
                ["{address} is not sent from: no name leads back to it (PTR and its address), and {receiver} turns such mail away",
                 "no se envía desde {address}: ningún nombre vuelve a ella (PTR y su dirección) y {receiver} rechaza ese correo"];
            AddressNotPermitted { address: String, domain: String, receiver: String }
                = "route.address-not-permitted"
                ["{address} is not sent from: the SPF record of {domain} does not let it send, and {receiver} turns such mail away",
                 "no se envía desde {address}: el registro SPF de {domain} no le deja enviar y {receiver} rechaza ese correo"];
            OwnRelay {} = "route.own-relay"
                ["it leads back to this server, and mail would go round and round",
                 "vuelve a este servidor, y el correo daría vueltas"];
            OwnLiteral { literal: String } = "route.own-literal"
                ["mail for {literal} loops back to this server, which has no mailboxes at that address",
                 "el correo para {literal} vuelve a este servidor, que no tiene buzones en esa dirección"]
                => "puerto.ourselves";
            OwnExchanger { domain: String, host: String } = "route.own-exchanger"
                ["mail for {domain} loops back to this server: its best mail exchanger {host} is this host; if the domain is ours, add it to `domains`",
                 "el correo para {domain} vuelve a este servidor: su mejor MX, {host}, es esta máquina; si el dominio es nuestro, añádalo a `domains`"]
                => "puerto.ourselves";
            LocalDomain {} = "route.local-domain"
                ["the domain is local",
                 "el dominio es local"];
            StaysHere {} = "route.stays-here"
                ["the mail would stay on this machine",
                 "el correo se quedaría en esta máquina"];
            HeldByOrder { number: String } = "order.held"
                ["order {number} of `puerto queue rules` holds such mail",
                 "la orden {number} de `puerto queue rules` retiene este correo"];
            ConfigurationChanged {} = "route.configuration-changed"
                ["the configuration changed while the route was looked up",
                 "la configuración ha cambiado mientras se buscaba la ruta"];
            RoutingBrokenOff {} = "route.broken-off"
                ["routing was broken off by an internal error",
                 "un error interno interrumpió la búsqueda de la ruta"];
            ExchangersUnknown { domain: String, error: DnsError } = "route.exchangers-unknown"
                ["MX of {domain}: {error}",
                 "MX de {domain}: {error}"]
                => "puerto.dns";
            AddressUnknown { host: String, error: DnsError } = "route.address-unknown"
                ["address of {host}: {error}",
                 "dirección de {host}: {error}"]
                => "puerto.dns";
            // What the configuration calls its rule stays as it is.
            OfRule { rule: String, why: Box<Cause> } = "route.of-rule"
                ["{rule}: {why}", "{rule}: {why}"];

            // Connections.
            NotConnected { peer: String, error: BareSystemError } = "delivery.not-connected"
                ["connect to {peer}: {error}",
                 "conexión con {peer}: {error}"];
            CrowdedSockets {} = "delivery.crowded-sockets"
                ["too many connections wait for other hosts",
                 "hay demasiadas conexiones a la espera de otras máquinas"];
            CrowdedOperator { name: String } = "delivery.crowded-operator"
                ["too many connections wait for hosts of {name}",
                 "hay demasiadas conexiones a la espera de máquinas de {name}"];
            CrowdedAddress { address: String } = "delivery.crowded-address"
                ["too many connections wait for {address}",
                 "hay demasiadas conexiones a la espera de {address}"];
            NoHostTried {} = "delivery.no-host-tried"
                ["no host was tried",
                 "no se ha probado con ninguna máquina"];
            NotTried {} = "queue.not-tried"
                ["it has not been tried yet",
                 "aún no se ha intentado entregarlo"];
            NotReached {} = "delivery.not-reached"
                ["it could not be reached",
                 "no se pudo llegar a él"];

            // Sessions.
            RefusedToTalk { host: String, reply: String } = "delivery.refused-to-talk"
                ["host {host} refused to talk to me: {reply}",
                 "{host} no quiere hablar con este servidor: {reply}"];
            LoginRefused { host: String, reply: String } = "delivery.login-refused"
                ["SASL authentication failed; server {host} said: {reply}",
                 "ha fallado la identificación (AUTH); {host} respondió: {reply}"];
            Refused { host: String, reply: String, command: Command } = "delivery.refused"
                ["host {host} said: {reply} (in reply to {command})",
                 "{host} respondió: {reply} (a {command})"];
            ConnectionLost { host: String, stage: Stage } = "delivery.connection-lost"
                ["lost connection with {host} while {stage}",
                 "se perdió la conexión con {host} {stage}"]
                => "network.hung-up";
            TimedOut { host: String, stage: Stage } = "delivery.timed-out"
                ["conversation with {host} timed out while {stage}",
                 "{host} no respondió a tiempo {stage}"]
                => "network.hung-up";
            GaveUp { host: String, stage: Stage } = "delivery.gave-up"
                ["gave up on {host} while {stage}",
                 "se dejó a {host} {stage}"];
            BadReply { host: String, stage: Stage, error: ReplyError } = "delivery.bad-reply"
                ["bad reply from {host} while {stage}: {error}",
                 "{host} dio una mala respuesta {stage}: {error}"];
            UnexpectedReply { host: String, stage: Stage } = "delivery.unexpected-reply"
                ["unexpected reply from {host} while {stage}",
                 "{host} dio una respuesta inesperada {stage}"];
            InjectedBeforeTls { host: String } = "delivery.injected-before-tls"
                ["host {host} sent plain text behind its reply to STARTTLS: somebody may be interfering with the connection",
                 "{host} envió texto sin cifrar tras su respuesta a STARTTLS: alguien podría estar interfiriendo en la conexión"];
            TooLarge { size: u64, limit: u64, host: String } = "delivery.too-large"
                ["message size {size} exceeds size limit {limit} of server {host}",
                 "el mensaje ocupa {size} octetos, más de los {limit} que admite {host}"]
                => "puerto.size";
            NeedsSmtputf8 { host: String } = "delivery.needs-smtputf8"
                ["SMTPUTF8 is required, but was not offered by host {host}",
                 "hace falta SMTPUTF8 y {host} no lo ofrece"]
                => "postfix.smtputf8";
            PasswordUnread { file: String, error: SystemError } = "delivery.password-unread"
                ["cannot read the password file {file}: {error}",
                 "no se puede leer el fichero de la contraseña {file}: {error}"]
                => "puerto.login";
            NoLogin { host: String, user: String, why: AuthUnavailable } = "delivery.no-login"
                ["cannot authenticate to {host} as {user}: {why}",
                 "no es posible identificarse ante {host} como {user}: {why}"]
                => "puerto.login";
        }
    };
}
