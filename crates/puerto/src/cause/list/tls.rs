//! TLS, what was demanded of it, and certificates that are got by ACME.

/// Adds these to those before, and hands all to the next list.
macro_rules! tls {
    ([$next:ident $($rest:ident)*] $($before:tt)*) => {
        $next! {
            [$($rest)*]
            $($before)*

            // TLS.
            NoTls { host: String } = "tls.not-offered"
                ["TLS is required, but was not offered by host {host}",
                 "se exige TLS y {host} no lo ofrece"]
                => "network.tls-not-offered";
            TlsFailed { host: String, why: Box<Cause> } = "tls.failed"
                ["Cannot start TLS with {host}: {why}",
                 "no se puede iniciar TLS con {host}: {why}"]
                => "network.handshake";
            ForgeableName { why: Box<Cause>, relay: String, host: String } = "tls.forgeable-name"
                ["{why}; only MX records, which can be forged, name this host for {relay}: no password is sent to it unless its certificate is for {relay}, or it is configured in brackets: [{host}]",
                 "{why}; solo los registros MX, que pueden falsificarse, nombran esta máquina para {relay}: no se le envía la contraseña salvo que su certificado sea para {relay} o esté configurada entre corchetes: [{host}]"];
            UnverifiableName {} = "tls.unverifiable-name"
                ["the host's name cannot be verified",
                 "el nombre de la máquina no se puede verificar"];
            CertificateExpired {} = "tls.certificate-expired"
                ["the certificate has expired",
                 "el certificado ha caducado"];
            CertificateNotYetValid {} = "tls.certificate-not-yet-valid"
                ["the certificate is not valid yet",
                 "el certificado todavía no es válido"];
            CertificateOfOther {} = "tls.certificate-of-other"
                ["the certificate is for another name",
                 "el certificado es para otro nombre"];
            CertificateFor { names: String } = "tls.certificate-for"
                ["the certificate is for {names}",
                 "el certificado es para {names}"];
            CertificateSelfSigned {} = "tls.certificate-self-signed"
                ["the certificate is self-signed",
                 "el certificado es autofirmado"];
            CertificateUntrusted {} = "tls.certificate-untrusted"
                ["the certificate's issuer is not trusted",
                 "no se confía en quien emitió el certificado"];
            TlsaUnmatched { host: String } = "tls.tlsa-unmatched"
                ["no TLSA record of {host} matches the certificate",
                 "ningún registro TLSA de {host} corresponde al certificado"]
                => "puerto.tlsa";
            TlsaUnknown { host: String, error: DnsError } = "transport.tlsa-unknown"
                ["TLSA of {host}: {error}; without an answer nothing goes there",
                 "TLSA de {host}: {error}; sin respuesta no se envía nada allí"]
                => "puerto.dns";
            StsExcludes { domain: String, host: String } = "transport.sts-excludes"
                ["the MTA-STS policy of {domain} does not name its MX host {host}",
                 "la política MTA-STS de {domain} no nombra su MX {host}"]
                => "puerto.sts";
            WithoutTls {} = "transport.none"
                ["plain, because the configuration says so",
                 "sin cifrar, porque así lo dice la configuración"];
            Opportunistic {} = "transport.opportunistic"
                ["opportunistic", "oportunista"];
            TlsConfigured {} = "transport.configured"
                ["required by the configuration", "exigido por la configuración"];
            DanePublished { records: String } = "transport.dane"
                ["DANE: {records} published", "DANE: publicado {records}"];
            DaneMatched { record: String } = "transport.dane-matched"
                ["DANE: {record} matched", "DANE: coincide {record}"];
            DaneUnusable {} = "transport.dane-unusable"
                ["DANE: no usable TLSA record, so that TLS is demanded and no certificate",
                 "DANE: ningún registro TLSA utilizable, así que se exige TLS y ningún certificado"];
            StsEnforced { pattern: String } = "transport.sts-enforce"
                ["MTA-STS enforce: mx pattern {pattern}", "MTA-STS enforce: patrón mx {pattern}"];
            StsTesting {} = "transport.sts-testing"
                ["MTA-STS testing: nothing is demanded", "MTA-STS testing: no se exige nada"];
            StsTestPassed {} = "transport.sts-test-passed"
                ["MTA-STS testing: it would have gone under enforce too",
                 "MTA-STS testing: con enforce también habría salido"];
            StsTestFailed { why: Box<Cause> } = "transport.sts-test-failed"
                ["MTA-STS testing: under enforce it would have waited: {why}",
                 "MTA-STS testing: con enforce habría esperado: {why}"];
            PlainNotOffered {} = "transport.plain-not-offered"
                ["plain, because TLS is not offered", "sin cifrar, porque no se ofrece TLS"];
            PlainBecause { why: Box<Cause> } = "transport.plain-because"
                ["plain, because TLS failed: {why}", "sin cifrar, porque ha fallado TLS: {why}"];
            PlainAfterTls { why: Box<Cause> } = "transport.plain-after-tls"
                ["plain, although this host spoke TLS before: {why}",
                 "sin cifrar, aunque esta máquina hablaba antes TLS: {why}"];
            PlainRemembered {} = "transport.plain-remembered"
                ["plain, because TLS broke with this host within the last days",
                 "sin cifrar, porque TLS ha fallado con esta máquina en los últimos días"];
            Downgraded { host: String, why: Box<Cause> } = "transport.downgraded"
                ["{host} spoke TLS before and does not now, so that nothing goes there: {why}",
                 "{host} hablaba antes TLS y ahora no, así que no se envía nada allí: {why}"]
                => "puerto.downgraded";
            TlsOptional {} = "transport.optional"
                ["opportunistic, because the message says TLS-Required: No",
                 "oportunista, porque el mensaje dice TLS-Required: No"];
            RequireTlsUnproven { host: String } = "transport.require-tls-unproven"
                ["the message asks for REQUIRETLS, and neither DNSSEC nor an enforced MTA-STS policy vouches for {host}",
                 "el mensaje pide REQUIRETLS, y ni DNSSEC ni una política MTA-STS obligatoria avalan a {host}"]
                => "puerto.require-tls";
            RequireTlsUncertified { host: String, why: Box<Cause> } = "transport.require-tls-uncertified"
                ["the message asks for REQUIRETLS, and {host} does not prove who it is: {why}",
                 "el mensaje pide REQUIRETLS, y {host} no demuestra quién es: {why}"]
                => "puerto.require-tls";
            RequireTlsVouched {} = "transport.require-tls-vouched"
                ["the message asks for REQUIRETLS, and nobody could have forged the host's name",
                 "el mensaje pide REQUIRETLS, y nadie ha podido falsificar el nombre de la máquina"];
            RequireTlsNotOffered { host: String } = "transport.require-tls-not-offered"
                ["the message asks for REQUIRETLS, which {host} does not offer",
                 "el mensaje pide REQUIRETLS, que {host} no ofrece"]
                => "puerto.require-tls";
            StsNotFetched {} = "transport.sts-not-fetched"
                ["the MTA-STS policy could not be fetched",
                 "no se ha podido obtener la política MTA-STS"];
            StsInvalid {} = "transport.sts-invalid"
                ["the MTA-STS policy is malformed",
                 "la política MTA-STS está mal formada"];
            StsUntrusted {} = "transport.sts-untrusted"
                ["the certificate of the MTA-STS policy's host is not valid",
                 "el certificado de la máquina de la política MTA-STS no es válido"];
            CertificateChanged {} = "tls.certificate-changed"
                ["the certificate is not valid, and its key is not the one that this relay had before: no password is sent (relay-keys in state_dir has the key that is known)",
                 "el certificado no es válido y su clave no es la que este relay tenía antes: no se envía ninguna contraseña (relay-keys, en state_dir, tiene la clave conocida)"];
            Alert { alert: String } = "tls.alert"
                ["received fatal alert: {alert}",
                 "el otro extremo ha respondido con la alerta {alert}"];
            NoTlsRecord { kind: String } = "tls.no-record"
                ["received corrupt message of type {kind}",
                 "se ha recibido algo que no es TLS ({kind})"];
            PeerIncompatible { why: String } = "tls.peer-incompatible"
                ["peer is incompatible: {why}",
                 "el otro extremo no es compatible ({why})"];
            PeerMisbehaved { why: String } = "tls.peer-misbehaved"
                ["peer misbehaved: {why}",
                 "el otro extremo incumple el protocolo ({why})"];
            NoCertificate {} = "tls.no-certificate"
                ["peer sent no certificates",
                 "el otro extremo no ha presentado ningún certificado"];
            Undecipherable {} = "tls.undecipherable"
                ["cannot decrypt peer's message",
                 "no se puede descifrar lo que envía el otro extremo"];
            OversizedRecord {} = "tls.oversized-record"
                ["peer sent excess record size",
                 "el otro extremo ha enviado un bloque demasiado grande"];
            HandshakeBrokenOff {} = "tls.handshake-broken-off"
                ["tls handshake eof",
                 "la conexión se ha cerrado durante la negociación de TLS"];
            HandshakeSystem { error: SystemError } = "tls.system"
                ["{error}", "{error}"];
            HandshakeTimedOut {} = "tls.handshake-timed-out"
                ["the handshake timed out",
                 "la negociación de TLS no terminó a tiempo"];

            // Certificates that are got by ACME. A name may be several.
            AcmeUnreachable { server: String, why: Spoken } = "acme.unreachable"
                ["the authority {server} cannot be talked to: {why}",
                 "no se puede hablar con la autoridad {server}: {why}"]
                => "puerto.acme-unreachable";
            AcmeMisunderstood { why: Words } = "acme.misunderstood"
                ["the authority's answer makes no sense: {why}",
                 "la respuesta de la autoridad no se entiende: {why}"]
                => "puerto.acme-busy";
            AcmeSlow {} = "acme.slow"
                ["the authority did not come to an end in time",
                 "la autoridad no ha terminado a tiempo"]
                => "puerto.acme-busy";
            AcmeInternal { detail: Words } = "acme.internal"
                ["the authority is in trouble itself: {detail}",
                 "la propia autoridad tiene problemas: {detail}"]
                => "puerto.acme-busy";
            AcmeRateLimited { name: String, detail: Words } = "acme.rate-limited"
                ["the authority gives no more certificates for {name} for now: {detail}",
                 "por ahora la autoridad no da más certificados para {name}: {detail}"]
                => "puerto.acme-rate-limited";
            AcmeUnauthorized { name: String, detail: Words } = "acme.unauthorized"
                ["the authority found something else at {name} than this server shows: {detail}",
                 "la autoridad ha encontrado en {name} otra cosa que lo que muestra este servidor: {detail}"]
                => "puerto.acme-unauthorized";
            AcmeUnconnected { name: String, detail: Words } = "acme.unconnected"
                ["the authority could not connect to {name}: {detail}",
                 "la autoridad no ha podido conectar con {name}: {detail}"]
                => "puerto.acme-unconnected";
            AcmeTls { name: String, detail: Words } = "acme.tls"
                ["the authority could not speak TLS with {name}: {detail}",
                 "la autoridad no ha podido hablar TLS con {name}: {detail}"]
                => "puerto.acme-tls";
            AcmeNoName { name: String, detail: Words } = "acme.no-name"
                ["the authority did not find {name} in the DNS: {detail}",
                 "la autoridad no ha encontrado {name} en el DNS: {detail}"]
                => "puerto.acme-no-name";
            AcmeForbidden { name: String, detail: Words } = "acme.forbidden"
                ["a CAA record forbids this authority to give certificates for {name}: {detail}",
                 "un registro CAA prohíbe a esta autoridad dar certificados para {name}: {detail}"]
                => "puerto.acme-forbidden";
            AcmeRejected { name: String, detail: Words } = "acme.rejected"
                ["the authority gives no certificate for the name {name}: {detail}",
                 "la autoridad no da certificados para el nombre {name}: {detail}"]
                => "puerto.acme-rejected";
            AcmeAccount { detail: Words } = "acme.account"
                ["the authority gives certificates to its own customers alone: {detail}",
                 "la autoridad solo da certificados a sus clientes: {detail}"]
                => "puerto.acme-account";
            AcmeTerms { detail: Words } = "acme.terms"
                ["the authority's terms are to be accepted anew: {detail}",
                 "hay que aceptar de nuevo las condiciones de la autoridad: {detail}"]
                => "puerto.acme-terms";
            AcmeRefused { kind: String, detail: Words } = "acme.refused"
                ["the authority refused it ({kind}): {detail}",
                 "la autoridad lo ha rechazado ({kind}): {detail}"]
                => "puerto.acme-refused";
            AcmeNotOffered { name: String } = "acme.not-offered"
                ["the authority does not look at {name} by the challenge that is configured",
                 "la autoridad no comprueba {name} con el método configurado"]
                => "puerto.acme-refused";
            AcmeNotWritten { name: String, why: Spoken } = "acme.not-written"
                ["the record {name} could not be written: {why}",
                 "no se ha podido escribir el registro {name}: {why}"]
                => "puerto.acme-update";
            AcmeUnseen { name: String } = "acme.unseen"
                ["the record {name} was written, and did not come to all servers of its zone",
                 "el registro {name} se ha escrito, pero no ha llegado a todos los servidores de su zona"]
                => "puerto.acme-update";
            AcmeUnkept { error: SystemError } = "acme.unkept"
                ["what is got from the authority cannot be kept: {error}",
                 "no se puede guardar lo que se obtiene de la autoridad: {error}"]
                => "puerto.acme-unkept";
        }
    };
}
