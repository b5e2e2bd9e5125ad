//! What people are told, in both languages.

use crate::finding::kinds;
use crate::lang::Text;

macro_rules! words {
    ($($name:ident = $en:literal, $es:literal;)*) => {
        $(pub(super) const $name: Text = Text::new($en, $es);)*
    };
}

words! {
    UNREAD =
        "The DNS did not answer, so it is not known what is published already, and nothing is \
         proposed that could replace it. Could not be read: {questions}. Check with `dig` that the \
         domain's name servers work, and try again.",
        "El DNS no ha respondido: no se sabe qué está publicado ya, así que no se propone nada \
         que pudiera sustituirlo. No se ha podido leer: {questions}. Compruebe con `dig` que los \
         servidores de nombres del dominio funcionan y vuelva a intentarlo.";
    NOT_A_DOMAIN =
        "`{text}` is not a domain name, as example.com is.",
        "`{text}` no es un nombre de dominio como lo es example.com.";
    NO_DOMAIN =
        "Name the domain, or set `domains` in the configuration.",
        "Indique el dominio o defina `domains` en la configuración.";
    HOST_ADDRESS =
        "The name in this server's greeting must lead to the address that its mail comes from, \
         {address}: receivers compare them.",
        "El nombre con que se presenta este servidor debe llevar a la dirección de la que sale su \
         correo, {address}: los receptores lo comparan.";
    MX_NEW =
        "This server takes mail for {domain}: answers and bounces come here. A domain that cannot \
         be answered is refused as a sender.",
        "Este servidor recibe el correo de {domain}: aquí llegan las respuestas y los rebotes. Un \
         dominio al que no se puede responder es rechazado como remitente.";
    MX_OURS =
        "Mail for the domain comes to this server.",
        "El correo del dominio llega a este servidor.";
    MX_OTHER =
        "{host} takes the domain's mail and goes on doing so: a server that sends need not be an \
         MX.",
        "{host} recibe el correo del dominio y lo seguirá recibiendo: para enviar no hace falta \
         ser MX.";
    MX_NO_HOST =
        "{host} is to take the domain's mail, and the DNS knows no address of it.",
        "{host} ha de recibir el correo del dominio, y el DNS no conoce ninguna dirección suya.";
    MX_NULL =
        "This record says that {domain} takes no mail at all. Receivers refuse a sender that \
         cannot be answered.",
        "Este registro dice que {domain} no acepta ningún correo. Los receptores rechazan a un \
         remitente al que no se puede responder.";
    POSTMASTER =
        "Every domain with mail has a postmaster; reports and complaints go there.",
        "Todo dominio con correo tiene un postmaster; allí llegan los informes y las quejas.";
    ABUSE =
        "Complaints about spam go there; blocklists and providers ask for it.",
        "Allí llegan las quejas por correo basura; las listas de bloqueo y los proveedores lo \
         exigen.";
    MAILBOX_HERE =
        "Mail for it comes to this server: give `{name}` an alias to somebody who reads it.",
        "Su correo llega a este servidor: ponga un alias de `{name}` a alguien que lo lea.";
    MAILBOX_EXISTS =
        "Mail for it comes to this server and reaches somebody; see to it that it is read.",
        "Su correo llega a este servidor y alguien lo recibe; asegúrese de que se lee.";
    MAILBOX_MISSING =
        "Mail for it comes to this server and is refused: nobody has the name `{name}`. Give it an \
         alias to somebody who reads it.",
        "Su correo llega a este servidor y se rechaza: nadie tiene el nombre `{name}`. Póngale un \
         alias a alguien que lo lea.";
    MAILBOX_ELSEWHERE =
        "Mail for it goes to the server that the MX names: see to it that `{name}` exists there.",
        "Su correo va al servidor que nombra el MX: asegúrese de que `{name}` existe allí.";
    SPF_BY_NAME =
        "The domain's list of servers that may send for it. The address of this machine is not \
         known, so that this lets those of {host} pass.",
        "La lista de servidores que pueden enviar en nombre del dominio. No se sabe la dirección \
         de esta máquina, por lo que deja pasar a las de {host}.";
    SPF_RIGHT =
        "It lets mail from this server pass.",
        "Deja pasar el correo de este servidor.";
    SPF_MENDED =
        "What stands there is not valid as it is; this is the same in a form that receivers \
         accept.",
        "Lo que hay publicado no es válido tal como está; esto es lo mismo en una forma que los \
         receptores aceptan.";
    SPF_FIRST =
        "The domain's list of servers that may send for it: {terms} lets mail from this server \
         pass. Add whoever else sends for the domain.",
        "La lista de servidores que pueden enviar en nombre del dominio: {terms} deja pasar el \
         correo de este servidor. Añada a quien más envíe en nombre del dominio.";
    SPF_ADDED =
        "{terms} lets mail from this server pass.",
        "{terms} deja pasar el correo de este servidor.";
    SPF_SECOND =
        "A domain with two SPF records has none: all of them are in error. Whom this one lets pass \
         is part of the other now, which ends as the strictest of them does.",
        "Un dominio con dos registros SPF no tiene ninguno: todos dan error. A quien deja pasar \
         este ya lo deja pasar el otro, que termina como el más estricto de ellos.";
    SPF_KEPT =
        "Every other sender is kept.",
        "Los demás remitentes se conservan.";
    SPF_UNCLEAR =
        "Nobody can read {words} in the SPF record, and it is not clear which sender was meant: the \
         record lets nobody pass today, and nothing is published for you. Write these words right, \
         or publish the record shown here, which is without them, if they stand for nobody who \
         still sends for the domain.",
        "Nadie puede leer {words} en el registro SPF, y no está claro a qué remitente se refería: \
         hoy el registro no deja pasar a nadie, y no se publica nada por usted. Corrija esas \
         palabras, o publique el registro que se muestra, que no las lleva, si no representan a \
         nadie que todavía envíe en nombre del dominio.";
    SPF_RELAY_RIGHT =
        "It lets mail through {relay} pass.",
        "Deja pasar el correo que sale por {relay}.";
    SPF_RELAY_PROVIDER =
        "All mail leaves through {relay}, whose service publishes the addresses that it sends \
         from: {term} lets them pass.",
        "Todo el correo sale por {relay}, cuyo servicio publica las direcciones desde las que \
         envía: {term} las deja pasar.";
    SPF_RELAY_HOST =
        "All mail leaves through {relay}: {term} lets its addresses pass.",
        "Todo el correo sale por {relay}: {term} deja pasar sus direcciones.";
    SPF_RELAY_FIXED =
        "All mail leaves through {relay}. The record asks the DNS as often as is allowed already, \
         so that {term} stands for its addresses instead of its name: change them when the relay's \
         addresses change.",
        "Todo el correo sale por {relay}. El registro ya hace todas las consultas al DNS que se \
         permiten, así que {term} pone sus direcciones en vez de su nombre: cámbielas cuando \
         cambien las del relay.";
    SPF_RESCUE_PROVIDER =
        "What receivers refuse for this server's address leaves through {relay}, whose service \
         publishes the addresses that it sends from: {term} lets them pass.",
        "Lo que los receptores rechazan por la dirección de este servidor sale por {relay}, cuyo \
         servicio publica las direcciones desde las que envía: {term} las deja pasar.";
    SPF_RESCUE_HOST =
        "What receivers refuse for this server's address leaves through {relay}: {term} lets its \
         addresses pass.",
        "Lo que los receptores rechazan por la dirección de este servidor sale por {relay}: {term} \
         deja pasar sus direcciones.";
    SPF_RESCUE_FIXED =
        "What receivers refuse for this server's address leaves through {relay}. The record asks \
         the DNS as often as is allowed already, so that {term} stands for its addresses instead of \
         its name: change them when the relay's addresses change.",
        "Lo que los receptores rechazan por la dirección de este servidor sale por {relay}. El \
         registro ya hace todas las consultas al DNS que se permiten, así que {term} pone sus \
         direcciones en vez de su nombre: cámbielas cuando cambien las del relay.";
    SPF_HELO =
        "Bounces have no sender address; receivers then ask whether {name} may be used from this \
         address.",
        "Los rebotes no llevan dirección de remitente; los receptores preguntan entonces si {name} \
         puede usarse desde esta dirección.";
    SPF_HELO_RIGHT =
        "It lets bounces from this server pass.",
        "Deja pasar los rebotes de este servidor.";
    DKIM_NEW =
        "The public half of the {kind} key that mail from {domain} is signed with.",
        "La mitad pública de la clave {kind} con que se firma el correo de {domain}.";
    DKIM_RIGHT =
        "The public half of the {kind} key of {domain} is published.",
        "La mitad pública de la clave {kind} de {domain} está publicada.";
    DKIM_PADDING =
        "The {kind} key of {domain} is published without the `=` at its end, and not every \
         receiver reads it so: this is the whole key.",
        "La clave {kind} de {domain} está publicada sin el `=` del final, y no todos los receptores \
         la leen así: esta es la clave entera.";
    DKIM_OTHER =
        "What is published is not the public half of the {kind} key that mail from {domain} is \
         signed with: every signature fails.",
        "Lo publicado no es la mitad pública de la clave {kind} con que se firma el correo de \
         {domain}: todas las firmas fallan.";
    DKIM_TESTING =
        "The {kind} key of {domain} is published, but marked as a test (`t=y`): receivers may treat \
         signed mail as if it were not. This is the same without the mark.",
        "La clave {kind} de {domain} está publicada, pero marcada como prueba (`t=y`): los \
         receptores pueden tratar el correo firmado como si no lo estuviera. Esto es lo mismo sin \
         la marca.";
    DKIM_HASHES =
        "The {kind} key of {domain} is published, but its `h=` leaves out sha256, with which mail is \
         signed: every signature fails.",
        "La clave {kind} de {domain} está publicada, pero su `h=` no incluye sha256, con el que se \
         firma el correo: todas las firmas fallan.";
    DKIM_MALFORMED =
        "The {kind} key of {domain} is published in a record that receivers cannot read ({error}): \
         this is the same key in one that they can.",
        "La clave {kind} de {domain} está publicada en un registro que los receptores no pueden leer \
         ({error}): esta es la misma clave en uno que sí.";
    DKIM_BROKEN =
        "What is published is no key that receivers can use ({error}), and so every signature of \
         {domain} fails. This is the public half of the {kind} key.",
        "Lo publicado no es una clave que los receptores puedan usar ({error}), así que todas las \
         firmas de {domain} fallan. Esta es la mitad pública de la clave {kind}.";
    DKIM_FOREIGN =
        "`{text}` stands at the name of a key and is none: beside it, receivers may not find the \
         key. It goes.",
        "`{text}` está en el nombre de una clave y no lo es: junto a él, los receptores pueden no \
         encontrar la clave. Se quita.";
    DKIM_SECOND =
        "Two records at one key's name: which of them a receiver takes is left to chance.",
        "Dos registros con el nombre de una misma clave: cuál toma el receptor es cosa del azar.";
    DMARC_NEW =
        "Large receivers demand a DMARC record. This one asks for nothing yet but reports, which \
         show whether all your mail passes before you ask for more.",
        "Los grandes receptores exigen un registro DMARC. Este no pide todavía más que informes, \
         que muestran si todo su correo pasa antes de pedir más.";
    DMARC_RIGHT =
        "The policy stays as it is.",
        "La política se queda como está.";
    DMARC_NO_REPORTS =
        "The policy stays as it is; `rua` is added, since without reports nobody sees what fails.",
        "La política se queda como está; se añade `rua`, porque sin informes nadie ve lo que \
         falla.";
    DMARC_MENDED =
        "Receivers do not read the record as it was meant: {faults}. Its policy and its addresses \
         for reports stay.",
        "Los receptores no leen el registro como se quería: {faults}. Se conservan su política y \
         sus direcciones para los informes.";
    DMARC_WITHOUT_POLICY =
        "Receivers do not read the record as it was meant: {faults}. `p=none` asks for nothing yet.",
        "Los receptores no leen el registro como se quería: {faults}. `p=none` no pide nada todavía.";
    DMARC_VERSION =
        "it does not begin with `v=DMARC1`, in capitals",
        "no empieza por `v=DMARC1`, en mayúsculas";
    DMARC_SPACE =
        "a character stands in it that only looks like a space",
        "contiene un carácter que solo parece un espacio";
    DMARC_MARKS =
        "quotation marks, brackets or marks that nobody sees stand in it",
        "contiene comillas, corchetes o marcas que nadie ve";
    DMARC_SEPARATOR =
        "its tags are not set apart by one semicolon each",
        "sus etiquetas no están separadas por un solo punto y coma";
    DMARC_NO_POLICY =
        "`p=` is missing",
        "falta `p=`";
    DMARC_TWICE =
        "`{tag}=` stands there twice",
        "`{tag}=` aparece dos veces";
    DMARC_VALUE =
        "`{tag}` is no value that is defined",
        "`{tag}` no es un valor definido";
    DMARC_ADDRESS =
        "`{address}` is not written as `mailto:` and an address",
        "`{address}` no está escrito como `mailto:` y una dirección";
    DMARC_SECOND =
        "With two DMARC records, receivers discard both.",
        "Con dos registros DMARC, los receptores descartan ambos.";
    DMARC_TO_QUARANTINE =
        "SPF and DKIM are right. When the reports have shown for a month that nothing of yours \
         fails, this asks receivers to put forgeries into the spam folder.",
        "SPF y DKIM son correctos. Cuando los informes muestren durante un mes que nada suyo \
         falla, esto pide a los receptores que pongan las falsificaciones en la carpeta de correo \
         no deseado.";
    DMARC_TO_REJECT =
        "SPF and DKIM are right. For a domain from which only programs send, forgeries can now be \
         refused. Where people write, who post to mailing lists, quarantine is the better end.",
        "SPF y DKIM son correctos. En un dominio desde el que solo envían programas, ya se puede \
         pedir que se rechacen las falsificaciones. Donde escriben personas que participan en \
         listas de correo, es mejor quedarse en quarantine.";
    TLS_REPORTS =
        "Senders then report when encryption to this server fails.",
        "Los remitentes avisan entonces cuando falla el cifrado hacia este servidor.";
    MTA_STS =
        "Senders then insist on encryption to this server. First serve, with a valid certificate, \
         https://mta-sts.{domain}/.well-known/mta-sts.txt with these lines: {file}",
        "Los remitentes exigen entonces cifrado hacia este servidor. Antes hay que servir, con un \
         certificado válido, https://mta-sts.{domain}/.well-known/mta-sts.txt con estas líneas: \
         {file}";
    MTA_STS_HOST =
        "Senders fetch the policy for mail to this server from {host}.",
        "Los remitentes obtienen de {host} la política del correo hacia este servidor.";
    MTA_STS_ELSEWHERE =
        "{host} has this address, too, at which this server is not known to be: if another machine \
         has it, senders find no policy there.",
        "{host} tiene también esta dirección, en la que no consta que esté este servidor: si es de \
         otra máquina, los remitentes no encuentran ahí ninguna política.";
    MTA_STS_OURS =
        "It announces the policy that this server serves at {host}. Publish it when the policy is \
         there, and after each change of the policy: first the policy (reload this server), then \
         this id.",
        "Anuncia la política que este servidor sirve en {host}. Publíquelo cuando la política ya \
         esté, y tras cada cambio de la política: primero la política (recargue este servidor) y \
         después este id.";
    MTA_STS_NOT_YET =
        "It announces the policy of this server, which is not to be fetched from {host} yet: first \
         the address of {host}, the certificate for it and the policy (reload this server), then \
         `puerto dns` once more, which then proposes this record.",
        "Anuncia la política de este servidor, que todavía no se puede obtener de {host}: primero \
         la dirección de {host}, su certificado y la política (recargue este servidor); después, \
         otra vez `puerto dns`, que entonces propondrá este registro.";
    MTA_STS_ONE =
        "With several records senders see no policy.",
        "Con varios registros los remitentes no ven ninguna política.";
    TLSA_OURS =
        "Senders that follow DANE demand this server's key. The zone is signed, so that they may: \
         whoever renews the certificate must keep the key, as this server does.",
        "Los remitentes que siguen DANE exigen la clave de este servidor. La zona está firmada, así \
         que pueden: quien renueve el certificado ha de conservar la clave, como hace este servidor.";
    TLSA_NEXT =
        "The key that comes next. It is taken into use when this record has been there for two \
         TTLs, so that no sender has the old ones alone.",
        "La clave siguiente. Se usa cuando este registro lleva publicado dos TTL, para que ningún \
         remitente tenga solo los antiguos.";
    TLSA_OLD =
        "It is of a key that this server does not show any more.",
        "Es de una clave que este servidor ya no muestra.";
    TLSA_STAYS =
        "It is not of the key in force; it stays until those that are have been published.",
        "No es de la clave en uso; se queda hasta que estén publicados los que sí lo son.";
    UPDATE_UNREACHABLE =
        "The server cannot be updated: {error}.",
        "No se puede actualizar el servidor: {error}.";
    UPDATE_REFUSED =
        "The server refuses to update {zone}: let this key do so, in BIND by `update-policy` or \
         `allow-update` of the zone. Nothing was changed there.",
        "El servidor se niega a actualizar {zone}: dé permiso a esta clave, en BIND con \
         `update-policy` o `allow-update` en la zona. No se ha cambiado nada en ella.";
    UPDATE_NOT_AUTHORIZED =
        "The server does not accept this key (NOTAUTH) for {zone}: compare the key's name and \
         secret with the server's, and the clocks of both machines.",
        "El servidor no acepta esta clave (NOTAUTH) para {zone}: compare el nombre y el secreto de \
         la clave con los del servidor, y los relojes de ambas máquinas.";
    UPDATE_BAD_SIGNATURE =
        "The server knows a key of this name, but with another secret (BADSIG): copy the key file \
         from the server again.",
        "El servidor conoce una clave con este nombre, pero con otro secreto (BADSIG): vuelva a \
         copiar el fichero de clave desde el servidor.";
    UPDATE_BAD_KEY =
        "The server knows no key of this name and algorithm (BADKEY): include the key in its \
         configuration and reload it, or use another file.",
        "El servidor no conoce ninguna clave con este nombre y algoritmo (BADKEY): incluya la \
         clave en su configuración y recárguela, o use otro archivo.";
    UPDATE_BAD_TIME =
        "The clocks of this machine and of the server are more than five minutes apart (BADTIME): \
         set them right.",
        "Los relojes de esta máquina y del servidor difieren en más de cinco minutos (BADTIME): \
         póngalos en hora.";
    UPDATE_NOT_KNOWN =
        "The server does not take dynamic updates (NOTIMP): publish the records of {zone} in \
         another way.",
        "El servidor no admite actualizaciones dinámicas (NOTIMP): publique los registros de \
         {zone} de otra manera.";
    UPDATE_FAILED =
        "The server did not update {zone}: {code}.",
        "El servidor no ha actualizado {zone}: {code}.";
    UPDATE_CHANGED =
        "What the server has at {name} was changed in the meantime; nothing was overwritten. Run \
         this again.",
        "Lo que el servidor tiene en {name} ha cambiado mientras tanto; no se ha sobrescrito nada. \
         Vuelva a ejecutar esto.";
    UPDATE_IGNORED =
        "The server took the update and yet does not have the record at {name}: see whether an \
         alias (CNAME) stands there.",
        "El servidor ha aceptado la actualización pero no tiene el registro en {name}: mire si hay \
         ahí un alias (CNAME).";
    UPDATE_CHANGED_SOME =
        "{error} Changed before that: {changed}. Not changed: {unchanged}. When the cause is \
         mended, run this again: only what is missing is published.",
        "{error} Ya se había cambiado: {changed}. Sin cambiar: {unchanged}. Cuando arregle la \
         causa, ejecute esto de nuevo: solo se publica lo que falta.";
    UPDATE_CHANGED_ALL =
        "{error} Every zone took its update: {changed}.",
        "{error} Todas las zonas admitieron su actualización: {changed}.";
    UPDATE_NOT_IN_ZONE =
        "The server says that a name of the update is not in the zone {zone} (NOTZONE): a zone \
         may have been made below it in the meantime. Nothing was changed there; run this again.",
        "El servidor dice que un nombre de la actualización no está en la zona {zone} (NOTZONE): \
         quizá se haya creado entretanto una zona por debajo. No se ha cambiado nada en ella; \
         ejecute esto de nuevo.";
    KEY_UNREADABLE =
        "The key file {file} cannot be read: {error}.",
        "No se puede leer el fichero de clave {file}: {error}.";
    KEY_MALFORMED =
        "{file} holds no key as `tsig-keygen`, `dnssec-keygen` or Knot write it: a name, an \
         algorithm and a secret.",
        "{file} no contiene una clave como las que escriben `tsig-keygen`, `dnssec-keygen` o Knot: \
         un nombre, un algoritmo y un secreto.";
    KEY_ALGORITHM =
        "The key in {file} is for {algorithm}; accepted: hmac-sha256, hmac-sha384, hmac-sha512. \
         Make one with `tsig-keygen -a hmac-sha256`.",
        "La clave de {file} es para {algorithm}; se aceptan hmac-sha256, hmac-sha384 y \
         hmac-sha512. Cree una con `tsig-keygen -a hmac-sha256`.";
    PTR_RIGHT =
        "{address} has the name {name}.",
        "{address} tiene el nombre {name}.";
    PTR_SEVERAL =
        "{address} has the name {name} among others, and receivers may see any of them: have the \
         others deleted.",
        "{address} tiene el nombre {name} entre otros, y los receptores pueden ver cualquiera: \
         haga que eliminen los demás.";
    PTR_WANTED =
        "{address} must have the name {name}, or many receivers refuse its mail. It is not set in \
         your zone but by whoever the address belongs to: look for \"reverse DNS\" or \"PTR\" in \
         the panel of your hosting company, or write to them.",
        "{address} debe tener el nombre {name}, o muchos receptores rechazarán su correo. No se \
         pone en su zona: lo pone el dueño de la dirección. Busque «DNS inverso» o «PTR» en el \
         panel de su proveedor de alojamiento, o escríbale.";
    PTR_UNREAD =
        "The DNS did not say which name {address} has. It must be {name}; if it is not, write to \
         whoever the address belongs to, usually your hosting company.",
        "El DNS no ha dicho qué nombre tiene {address}. Debe ser {name}; si no lo es, escriba al \
         dueño de la dirección, que suele ser su proveedor de alojamiento.";
    PTR_REQUEST =
        "Please set the reverse DNS (PTR record) of {address} to {name}. The name already points \
         to this address, or will when you read this. We send mail from it.",
        "Les ruego que pongan como DNS inverso (registro PTR) de {address} el nombre {name}. El \
         nombre ya apunta a esa dirección, o lo hará cuando lean esto. Enviamos correo desde ella.";
}

// What is to be known beside the records.
kinds! {
    NOT_REGISTERED = "domain.unregistered" Error:
        "{domain} does not exist: the DNS says that nobody has registered it (NXDOMAIN).",
        "{domain} no existe: el DNS dice que nadie lo ha registrado (NXDOMAIN).",
        "Correct the name if it is misspelt; else register it, or renew it if it has expired, and \
         let the registrar delegate it to your name servers. No record can be published before.",
        "Corrija el nombre si está mal escrito; si no, regístrelo, o renuévelo si ha caducado, y \
         haga que el registrador lo delegue en sus servidores de nombres. Antes no se puede \
         publicar ningún registro.";
    NO_FULL_NAME = "host.short-name" Error:
        "This server calls itself `{name}`, which is not a full name in the DNS.",
        "Este servidor se presenta como `{name}`, que no es un nombre completo del DNS.",
        "Set `hostname` in the configuration to a name such as mail.example.com; its address, its \
         reverse record and its SPF record are proposed then.",
        "Ponga en `hostname`, en la configuración, un nombre como mail.example.com; entonces se \
         propondrán su dirección, su registro inverso y su registro SPF.";
    HOST_IS_ALIAS = "host.alias" Error:
        "{name} is an alias (CNAME) of {target}. Beside a CNAME nothing else may stand",
        "{name} es un alias (CNAME) de {target}. Junto a un CNAME no puede haber nada más",
        "delete it, and publish the addresses themselves.",
        "elimínelo y publique las direcciones mismas.";
    OTHER_ADDRESS = "host.other-address" Info:
        "{name} also has {addresses}, from which no mail leaves.",
        "{name} tiene además {addresses}, de donde no sale correo.",
        "Delete what belongs to an old server; otherwise it does no harm.",
        "Elimine lo que sea de un servidor antiguo; si no lo es, no estorba.";
    NAME_IS_ALIAS = "name.alias" Error:
        "{name} is an alias (CNAME) of {target}, and beside a CNAME nothing else may stand.",
        "{name} es un alias (CNAME) de {target}, y junto a un CNAME no puede haber nada más.",
        "Remove the CNAME before you publish this record, or have the record changed at {target}.",
        "Quite el CNAME antes de publicar este registro, o haga que lo cambien en {target}.";
    MX_IMPLICIT = "mx.implicit" Info:
        "{domain} has no MX: its mail goes to the domain's own address.",
        "{domain} no tiene MX: su correo va a la dirección del propio dominio.",
        "Publish an MX if another machine is to take it.",
        "Publique un MX si debe recibirlo otra máquina.";
    MX_MISSING = "mx.missing" Error:
        "Nobody takes mail for {domain}, and this server is not configured to. Receivers refuse a \
         sender that cannot be answered",
        "Nadie recibe el correo de {domain}, y este servidor no está configurado para hacerlo. Los \
         receptores rechazan a un remitente al que no se puede responder",
        "publish the MX of whoever takes the mail, or add the domain to `domains` in the \
         configuration.",
        "publique el MX de quien lo reciba, o añada el dominio a `domains` en la configuración.";
    MX_NO_ADDRESS = "mx.no-address" Error:
        "{host} is to take the domain's mail, and has no address in the DNS.",
        "{host} ha de recibir el correo del dominio, y no tiene dirección en el DNS.",
        "First publish an A record of {host} with the address at which this server is reached from \
         outside; if it is not to be reached, have somebody else take the mail.",
        "Publique antes un registro A de {host} con la dirección en la que se llega a este servidor \
         desde fuera; si no se ha de llegar a él, que otro reciba el correo.";
    MX_NOWHERE = "mx.nowhere" Error:
        "The MX record of {domain} leads to {host}, which has no address in the DNS: no answer and no \
         bounce arrives there.",
        "El registro MX de {domain} lleva a {host}, que no tiene dirección en el DNS: allí no llegan \
         ni respuestas ni rebotes.",
        "Publish an A record of {host}, or take this MX record out.",
        "Publique un registro A de {host}, o quite este registro MX.";
    MX_ELSEWHERE = "mx.elsewhere" Warning:
        "The configuration counts {domain} among the domains whose users live here, but its MX \
         names another server. Mail that this server itself has for {domain} stays here and never \
         reaches the other",
        "La configuración cuenta {domain} entre los dominios con usuarios en este servidor, pero \
         su MX nombra a otro. El correo que este mismo servidor tenga para {domain} se queda aquí \
         y nunca llega al otro",
        "take the domain out of `domains` if its mailboxes are there.",
        "quite el dominio de `domains` si los buzones están allí.";
    SPF_OPENING = "spf.opening" Error:
        "`{term}` in the SPF record would let the whole world send as this domain as soon as \
         receivers can read the record.",
        "`{term}`, en el registro SPF, permitiría a todo el mundo enviar como este dominio en \
         cuanto los receptores puedan leer el registro.",
        "The proposal is without it: name the senders instead.",
        "La propuesta no lo incluye: nombre en su lugar a los remitentes.";
    SPF_SURPLUS = "spf.surplus" Info:
        "Only one `exp=` may stand in an SPF record: `{term}` is left out. It is the text of a \
         refusal and lets nobody pass.",
        "En un registro SPF solo puede haber un `exp=`: se quita `{term}`. Es el texto de un \
         rechazo y no deja pasar a nadie.";
    SPF_UNREAD = "spf.unread" Warning:
        "Receivers do not read `{term}` in the SPF record, since `all` ends it",
        "Los receptores no leen `{term}` en el registro SPF, porque `all` lo termina",
        "put it before `all` if it stands for a sender, and delete it if not.",
        "póngalo antes de `all` si representa a un remitente y, si no, bórrelo.";
    SPF_BESIDE = "spf.beside" Error:
        "Beside the SPF record stands `{term}`, which is damaged: receivers do not read it, and \
         whoever is named in it alone does not pass.",
        "Junto al registro SPF está `{term}`, que está dañado: los receptores no lo leen, y quien \
         solo figure en él no pasa.",
        "Add those who still send for the domain to the record, and delete this text.",
        "Añada al registro a quienes todavía envíen en nombre del dominio, y elimine este texto.";
    SPF_LEADS_NOWHERE = "spf.leads-nowhere" Error:
        "The SPF record leads to {whose}, which has no SPF record: receivers take the whole record \
         for an error.",
        "El registro SPF lleva a {whose}, que no tiene registro SPF: los receptores dan por \
         erróneo el registro entero.",
        "Take include:{whose} (or redirect={whose}) out, if that service no longer sends for the \
         domain, or ask it for the right name.",
        "Quite include:{whose} (o redirect={whose}) si ese servicio ya no envía en nombre del \
         dominio, o pregúntele cuál es el nombre correcto.";
    SPF_LEADS_TO_FAULT = "spf.leads-to-fault" Error:
        "The SPF record leads to {whose}, whose record is wrong: receivers take the whole for an \
         error.",
        "El registro SPF lleva a {whose}, cuyo registro es incorrecto: los receptores dan por \
         erróneo el conjunto.",
        "Tell whoever runs {whose}, or take it out.",
        "Avise a quien lleve {whose}, o quítelo.";
    SPF_LEADS_BACK = "spf.leads-back" Error:
        "The SPF record leads in a circle back to {whose}: receivers take the whole for an error.",
        "El registro SPF vuelve en círculo a {whose}: los receptores dan por erróneo el conjunto.",
        "Take out the include that closes the circle.",
        "Quite el include que cierra el círculo.";
    SPF_NEUTRAL = "spf.neutral" Warning:
        "The SPF record does not end in `-all` or `~all`, so that it says nothing about strangers.",
        "El registro SPF no termina en `-all` ni en `~all`, de modo que no dice nada de los \
         extraños.",
        "Once you are sure that it names every sender, publish: {record}",
        "Cuando esté seguro de que nombra a todos los remitentes, publique: {record}";
    SPF_PLUS_ALL = "spf.plus-all" Error:
        "The SPF record ends in `+all`: it lets the whole world send as this domain, and receivers \
         distrust it.",
        "El registro SPF termina en `+all`: permite que todo el mundo envíe como este dominio, y \
         los receptores desconfían.",
        "Write `~all` instead.",
        "Escriba `~all` en su lugar.";
    RELAY_MAY_DIFFER = "relay.may-differ" Info:
        "A relay may send from other addresses than those of {relay}.",
        "Un relay puede enviar desde direcciones distintas de las de {relay}.",
        "Ask its operator what the SPF record is to include.",
        "Pregunte a quien lo opera qué debe incluir el registro SPF.";
    RELAY_PRIVATE = "relay.private" Error:
        "The relayhost {relay} has a private address.",
        "El relayhost {relay} tiene una dirección privada.",
        "Ask its operator which public addresses it sends from: the SPF record must let those \
         pass.",
        "Pregunte a quien lo opera desde qué direcciones públicas envía: el registro SPF debe \
         dejarlas pasar.";
    RELAY_NOWHERE = "relay.nowhere" Error:
        "The relayhost {relay} has no address in the DNS, so that it is not known what the SPF \
         record must let pass.",
        "El relayhost {relay} no tiene dirección en el DNS, así que no se sabe qué debe dejar \
         pasar el registro SPF.";
    NO_KEYS = "dkim.no-key" Error:
        "There is no key for {domain}, so that its mail is not signed.",
        "No hay ninguna clave para {domain}, así que su correo no va firmado.",
        "Make one with `puerto dkim new {domain}`, and run this again.",
        "Cree una con `puerto dkim new {domain}` y vuelva a ejecutar esto.";
    ONLY_ED25519 = "dkim.only-ed25519" Error:
        "There are only Ed25519 keys, which large receivers do not verify.",
        "Solo hay claves Ed25519, que los grandes receptores no comprueban.",
        "Make an RSA key too: `puerto dkim new --type rsa`.",
        "Cree también una clave RSA: `puerto dkim new --type rsa`.";
    DMARC_ABOVE = "dmarc.above" Info:
        "{domain} has no DMARC record of its own and needs none: that of {above} holds for it.",
        "{domain} no tiene registro DMARC propio ni lo necesita: rige el de {above}.";
    REVERSE_OF_RELAY = "ptr.of-relay" Info:
        "The address, the greeting and the reverse record that receivers see are those of the \
         relayhost: they are its operator's business.",
        "La dirección, el saludo y el registro inverso que ven los receptores son los del \
         relayhost: son cosa de quien lo opera.";
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_languages_put_in_the_same_values() {
        let (source, _) = include_str!("words.rs").split_once("#[cfg(test)]").unwrap();
        let texts = source.split("\n        \"").skip(1);
        let texts: Vec<&str> = texts.map(|text| text.split('"').next().unwrap()).collect();
        assert_eq!(texts.len() % 2, 0);
        for pair in texts.chunks(2) {
            let values = |text: &str| {
                let names =
                    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
                names.map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
            };
            assert_eq!(values(pair[0]), values(pair[1]), "{pair:?}");
        }
    }
}
