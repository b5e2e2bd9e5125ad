//! SPF of the sender's domain: does its record let this server send, and can every
//! receiver evaluate it?

mod manners;
mod remedy;
mod terms;

use std::net::IpAddr;

use puerto_mail::dns::{DnsError, RecordType};
use puerto_mail::spf::count::{Count, CountFault, CountFaultKind, count};
use puerto_mail::spf::mend;
use puerto_mail::spf::{self, Answer, Evaluation, MAX_LOOKUPS, Question, SpfResult, Trace};

use super::context::Context;
use super::outcome::{Check, Definition, Draft, Judged, after, family, told};
use super::world::World;
use crate::finding::Severity;
use crate::lang::Text;
use remedy::Remedy;
use terms::{Terms, malformed};

family! {
    FAMILY = "spf" ["SPF"] is_of_machine: false;

    // Of those alone who have one: it stands before what the others skip behind EXISTS.
    COVERS_RESCUE = "spf.covers-rescue" Warning "RFC 7208 §4" [
        "SPF lets the rescue route's relay pass",
        "SPF deja pasar al relay de la ruta de rescate",
        "What receivers refuse for this server's address leaves by the relay of `[rescue]`. Without \
         it in the record, SPF fails just for the mail that is in trouble already.",
        "Lo que los receptores rechazan por la dirección de este servidor sale por el relay de \
         `[rescue]`. Si no está en el registro, SPF falla justo para el correo que ya tiene \
         problemas.",
        right: "{relay}";
        wrong: "not {relay}, for which {term} would stand: {record}",
            "{relay} no, que sería {term}: {record}";
        expected: "pass";
        remedy: "{edited}";
    ];
    EXISTS = "spf.exists" Error "RFC 7208 §3, §4.5" [
        "The domain has an SPF record",
        "El dominio tiene un registro SPF",
        "It says which addresses may send for the domain. Gmail, Yahoo, Microsoft and Apple ask \
         for it. `puerto dns` prints the record to publish.",
        "Dice qué direcciones pueden enviar por el dominio. Gmail, Yahoo, Microsoft y Apple lo \
         piden. `puerto dns` escribe el registro que hay que publicar.",
        right: "{record}";
        expected: "an SPF record", "un registro SPF";
        remedy: "{edited}";
    ];
    SINGLE = "spf.single" Error "RFC 7208 §3.2, §4.5" [
        "There is one SPF record only",
        "Hay un solo registro SPF",
        "With two records receivers use neither: the result is a permanent error. Put the terms \
         of both into one.",
        "Con dos registros los receptores no usan ninguno: el resultado es un error permanente. \
         Reúna los términos de ambos en uno solo.",
        right: "one record", "un solo registro";
        wrong: "{count} records: {records}", "{count} registros: {records}";
        remedy: "Replace all of them by: {edited}", "Sustitúyalos todos por: {edited}";
    ];
    STRING_255 = "spf.string-255" Error "RFC 7208 §3.3; RFC 1035 §3.3" [
        "The record came through the DNS panel unharmed",
        "El registro pasó por el panel de DNS sin daños",
        "Quotation marks inside the value, or terms that grew together, come from a panel that \
         splits long values by itself. Publish the value without quotation marks, or split it \
         with the space inside one of the strings.",
        "Las comillas dentro del valor, o los términos pegados, vienen de un panel que parte por \
         su cuenta los valores largos. Publique el valor sin comillas, o pártalo dejando el \
         espacio dentro de una de las cadenas.",
        right: "whole", "entero";
        remedy: "{edited}";
    ];
    SYNTAX = "spf.syntax" Error "RFC 7208 §4.6, §7, §12" [
        "The record can be read",
        "El registro se puede leer",
        "One wrong term anywhere makes the whole record a permanent error.",
        "Un solo término incorrecto convierte todo el registro en un error permanente.",
        right: "every term is right", "todos los términos son correctos";
        expected: "a record that can be read", "un registro que se pueda leer";
        remedy: "{edited}";
    ];
    INCLUDE_MISSING = "spf.include-missing" Error "RFC 7208 §5.2, §6.1" [
        "Every include and redirect leads to a record",
        "Cada include y cada redirect llevan a un registro",
        "An include of a domain without an SPF record, such as a service that was left, is a \
         permanent error. Remove it.",
        "Un include de un dominio sin registro SPF, como el de un servicio que se dejó, es un \
         error permanente. Quítelo.",
        right: "all there", "están todos";
        wrong: "{whose} has no SPF record", "{whose} no tiene registro SPF";
        expected: "a record at {whose}, or no include of it",
            "un registro en {whose}, o ningún include";
        remedy: "Remove include:{whose} (or redirect={whose}) from the record of {domain}",
            "Quite include:{whose} (o redirect={whose}) del registro de {domain}";
    ];
    LOOP = "spf.loop" Error "RFC 7208 §4.6.4" [
        "The record does not include itself",
        "El registro no se incluye a sí mismo",
        "A circle of includes never ends, and receivers give up with a permanent error.",
        "Un círculo de include no acaba nunca, y los receptores abandonan con un error permanente.",
        right: "no circle", "ningún círculo";
        wrong: "{whose} is reached from itself", "se llega a {whose} desde sí mismo";
        remedy: "Break the circle: {whose}", "Rompa el círculo: {whose}";
    ];
    LOOKUPS = "spf.lookups" Error "RFC 7208 §4.6.4" [
        "The whole record asks the DNS at most ten times",
        "El registro entero consulta el DNS diez veces como mucho",
        "`include`, `a`, `mx`, `ptr`, `exists` and `redirect` count, those inside of includes too. \
         The eleventh is a permanent error. Replace includes by the addresses that you need, or \
         give other senders a subdomain of their own.",
        "Cuentan `include`, `a`, `mx`, `ptr`, `exists` y `redirect`, también los que hay dentro de \
         los include. El undécimo es un error permanente. Cambie include por las direcciones que \
         necesite, o dé a otros remitentes un subdominio propio.",
        right: "{count} of {limit} look-ups", "{count} de {limit} consultas";
        wrong: "{count} look-ups: {terms}", "{count} consultas: {terms}";
        expected: "at most {limit}", "{limit} como mucho";
        remedy: "Remove includes that are not needed, replace others by ip4: and ip6: (`puerto dns` \
                 shows the record with its count), or give other senders a subdomain",
            "Quite los include que no hagan falta, cambie otros por ip4: e ip6: (`puerto dns` \
             muestra el registro con su cuenta), o dé un subdominio a otros remitentes";
    ];
    VOID = "spf.void" Warning "RFC 7208 §4.6.4" [
        "At most two of these questions lead nowhere",
        "Como mucho dos de esas consultas no llevan a nada",
        "Names that no longer exist are allowed twice; the third is a permanent error.",
        "Se admiten dos nombres que ya no existan; el tercero es un error permanente.",
        right: "{count} of 2", "{count} de 2";
        wrong: "{count} lead nowhere: {names}", "{count} no llevan a nada: {names}";
        expected: "at most 2", "2 como mucho";
        remedy: "Delete the terms of names that no longer exist",
            "Borre los términos de nombres que ya no existen";
    ];
    MX_LIMIT = "spf.mx-limit" Warning "RFC 7208 §4.6.4" [
        "`mx` leads to at most ten hosts",
        "`mx` lleva a diez máquinas como mucho",
        "More than ten are a permanent error. List the addresses instead.",
        "Más de diez son un error permanente. Enumere las direcciones.",
        right: "at most 10", "10 como mucho";
        wrong: "{target} has {count} MX hosts", "{target} tiene {count} máquinas MX";
        remedy: "Replace mx by ip4: and ip6:", "Cambie mx por ip4: e ip6:";
    ];
    COVERS_IP = "spf.covers-ip" Error "RFC 7208 §4, §2.4" [
        "SPF passes for each address that mail leaves from",
        "SPF da «pass» para cada dirección desde la que sale correo",
        "The record must name this server's addresses, or those of the relayhost where mail goes \
         through one.",
        "El registro debe incluir las direcciones de este servidor, o las del relayhost si el \
         correo sale por uno.",
        right: "{result}";
        wrong: "{result} for {address}: {record}", "{result} para {address}: {record}";
        expected: "pass";
        remedy: "{edited}";
    ];
    PLUS_ALL = "spf.plus-all" Error "RFC 7208 §5.1" [
        "The record does not let the whole world send",
        "El registro no permite enviar a todo el mundo",
        "`+all` or `ip4:0.0.0.0/0` lets everyone send in your name; Gmail answers 5.7.24. End the \
         record with `-all` or `~all`.",
        "`+all` o `ip4:0.0.0.0/0` permite a cualquiera enviar en su nombre; Gmail responde 5.7.24. \
         Termine el registro con `-all` o `~all`.",
        right: "closed", "cerrado";
        wrong: "the whole world may send: {record}", "cualquiera puede enviar: {record}";
        expected: "-all or ~all at the end", "-all o ~all al final";
        remedy: "{closed}";
    ];
    BROAD = "spf.broad" Warning "RFC 7208 §11.4" [
        "The record does not name huge networks",
        "El registro no incluye redes enormes",
        "Whoever has an address in a network that you name may send in your name.",
        "Quien tenga una dirección en una red que usted incluya puede enviar en su nombre.",
        right: "{addresses} IPv4 addresses by itself", "{addresses} direcciones IPv4 propias";
        wrong: "{addresses} IPv4 addresses: {record}", "{addresses} direcciones IPv4: {record}";
        expected: "at most 65536", "65536 como mucho";
        remedy: "Name only the addresses that send for you",
            "Incluya solo las direcciones que envían por usted";
    ];
    NO_ALL = "spf.no-all" Warning "RFC 7208 §4.7, §5.1" like PLUS_ALL [
        "The record ends in `-all` or `~all`",
        "El registro acaba en `-all` o `~all`",
        "Without an end, or with `?all`, the record says nothing about others who send in your \
         name.",
        "Sin final, o con `?all`, el registro no dice nada de quienes envían en su nombre sin serlo.",
        right: "it has an end", "tiene final";
        wrong: "no `-all` or `~all`: {record}", "sin `-all` ni `~all`: {record}";
    ];
    AFTER_ALL = "spf.after-all" Warning "RFC 7208 §5.1" [
        "Nothing follows `all`",
        "No hay nada detrás de `all`",
        "Terms behind `all` are ignored. Move them in front of it.",
        "Los términos detrás de `all` se ignoran. Póngalos delante.",
        right: "nothing", "nada";
        wrong: "terms behind {all}: {record}", "términos detrás de {all}: {record}";
        expected: "{all} at the end", "{all} al final";
        remedy: "Move {all} to the end of the record", "Ponga {all} al final del registro";
    ];
    REDIRECT_WITH_ALL = "spf.redirect-with-all" Warning "RFC 7208 §6.1" [
        "`redirect` and `all` do not stand together",
        "`redirect` y `all` no están juntos",
        "`redirect` is ignored where there is an `all`. Keep one of the two.",
        "`redirect` se ignora donde hay un `all`. Deje uno de los dos.",
        right: "not both", "no los dos";
        wrong: "both: {record}", "los dos: {record}";
        expected: "one of the two", "uno de los dos";
        remedy: "Delete redirect=, which is ignored", "Borre redirect=, que se ignora";
    ];
    PTR_MECHANISM = "spf.ptr-mechanism" Warning "RFC 7208 §5.5" [
        "The record does not use `ptr`",
        "El registro no usa `ptr`",
        "It is slow, and receivers may ignore it. Name the addresses with ip4 and ip6.",
        "Es lento, y los receptores pueden ignorarlo. Ponga las direcciones con ip4 e ip6.",
        right: "no ptr", "sin ptr";
        wrong: "ptr: {record}", "ptr: {record}";
        expected: "ip4: and ip6: instead", "ip4: e ip6: en su lugar";
        remedy: "Replace ptr by the addresses", "Cambie ptr por las direcciones";
    ];
    SIZE = "spf.size" Warning "RFC 7208 §3.4" [
        "The TXT records of the domain fit into one DNS message",
        "Los registros TXT del dominio caben en un mensaje de DNS",
        "Answers above 512 octets need EDNS, and those above 1,232 are repeated over TCP, which \
         some firewalls stop. Move other TXT records to names of their own.",
        "Las respuestas de más de 512 octetos necesitan EDNS, y las de más de 1232 se repiten por \
         TCP, que algunos cortafuegos impiden. Lleve otros registros TXT a nombres propios.",
        right: "about {octets} octets", "unos {octets} octetos";
        expected: "at most {limit}", "{limit} como mucho";
        remedy: "Delete TXT records that are no longer needed, such as old ownership proofs",
            "Borre los registros TXT que ya no hagan falta, como pruebas de propiedad antiguas";
    ];
    MACROS = "spf.macros" Info "RFC 7208 §7.2" [
        "The record does not use the macro p",
        "El registro no usa la macro p",
        "`%{p}` asks for the reverse DNS of every client, and receivers may answer `unknown`.",
        "`%{p}` consulta el DNS inverso de cada cliente, y los receptores pueden dar `unknown`.",
        right: "no %{p}", "sin %{p}";
        wrong: "%{p}: {record}", "%{p}: {record}";
        remedy: "Replace the term by addresses", "Cambie el término por direcciones";
    ];
}

/// Octets of an answer that come through everywhere (RFC 7208 §3.4), and through UDP
/// as DNS servers set it up today.
const SMALL_ANSWER: usize = 512;
const MAX_ANSWER: usize = 1232;
/// Addresses that the record's own networks may hold together.
const MAX_ADDRESSES: u64 = 1 << 16;
/// Look-ups from which it is worth to say how few are left.
const MANY_LOOKUPS: u32 = 8;
/// An address that nobody has, for which every term is tried.
const NOBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(240, 0, 0, 1));

pub(super) async fn run<W: World>(context: &Context<'_, W>) -> Vec<Check> {
    let domain = context.domain.as_str();
    let draft = |definition| about(context, definition);
    let (texts, ()) = tokio::join!(
        context.texts(domain),
        spf::ahead::ask(context.world, [(domain.to_owned(), RecordType::Txt)])
    );
    let texts = match draft(&EXISTS).answered(texts) {
        Ok(texts) => texts,
        Err(silent) => return silent.skipping(after(FAMILY.checks, &EXISTS), draft),
    };
    let remedy = Remedy::find(context, &texts).await;
    let is_record = |text: &&String| spf::is_record(text.as_bytes());
    let records: Vec<&str> = texts.iter().filter(is_record).map(String::as_str).collect();
    match records.as_slice() {
        [] => missing(remedy.put_in(draft(&EXISTS)), &texts)
            .skipping(after(FAMILY.checks, &EXISTS), draft),
        [record] => {
            let exists = draft(&EXISTS).with("record", record).right();
            let checks = vec![exists, draft(&SINGLE).right(), size(context, &texts)];
            [checks, of_record(context, record, &remedy).await].concat()
        }
        several => {
            let count = |check| draft(check).with("count", several.len());
            let exists = count(&EXISTS).pass(("{count} records", "{count} registros"));
            let single = remedy.put_in(count(&SINGLE)).with("records", several.join(" | "));
            let single = single.wrong().skipping(after(FAMILY.checks, &SINGLE), draft);
            [vec![exists], single].concat()
        }
    }
}

fn missing(draft: Draft, texts: &[String]) -> Check {
    let near = texts.iter().find(|text| mend::is_meant(text));
    let near = near.or(texts.iter().find(|text| text.to_ascii_lowercase().contains("spf1")));
    match near {
        Some(near) => draft.with("near", near).finding((
            "no record begins with `v=spf1 `; this one does not count: {near}",
            "ningún registro empieza por `v=spf1 `; este no cuenta: {near}",
        )),
        None => draft.finding(("no SPF record", "no hay registro SPF")),
    }
}

// The record is the domain's, and is asked for at its own name.
fn about<W: World>(context: &Context<'_, W>, definition: &'static Definition) -> Draft {
    context.asking(definition, &context.domain, (&context.domain, RecordType::Txt))
}

async fn of_record<W: World>(
    context: &Context<'_, W>,
    record: &str,
    remedy: &Remedy,
) -> Vec<Check> {
    let domain = context.domain.as_str();
    let terms = Terms::read(record);
    let senders = context.senders();
    let addresses = [&[NOBODY], senders.as_slice()].concat();
    let (count, whole, mx) = tokio::join!(
        count(context.world, domain),
        context.spf_of(&addresses),
        mx_limit(context, &terms),
    );
    let of_nobody = whole.first().map(|evaluation| evaluation.result);
    let of_senders: Vec<_> = senders.iter().zip(whole.iter().skip(1)).collect();
    let mut checks = well_formed(context, record, &count, remedy);
    let readable = !checks.iter().any(Check::is_wrong);
    let lookups = lookups(context, &count, readable);
    // A record with too many is cut down first, and what led nowhere may go with it.
    checks.push(match lookups.is_wrong() {
        true => context.about(&VOID, domain).skipped(&LOOKUPS),
        false => void(context, &whole),
    });
    checks.extend([lookups, told(mx)]);
    let broken = checks.iter().find(|check| check.is_wrong()).map(|check| check.definition);
    checks.extend(coverage(context, &of_senders, (record, broken), remedy));
    checks.extend(rescue(context, (record, broken), remedy));
    // What cannot be read as it was meant is not judged by its words.
    let is_damage = |check: &&Check| [STRING_255.id, SYNTAX.id].contains(&check.id());
    let damage = checks.iter().filter(|check| check.is_wrong()).find(is_damage);
    let damage = damage.filter(|_| !mend::is_sound(record)).map(|check| check.definition);
    let anybody_passes = of_nobody == Some(SpfResult::Pass);
    checks.extend(manners::judge(context, (&terms, remedy), anybody_passes, damage));
    checks
}

// What makes a record, or one that it includes, unreadable: one finding for one fault.
fn well_formed<W: World>(
    context: &Context<'_, W>,
    record: &str,
    count: &Count,
    remedy: &Remedy,
) -> Vec<Check> {
    let domain = context.domain.as_str();
    let first = |is: &dyn Fn(&CountFault) -> bool| count.faults.iter().find(|fault| is(fault));
    // That the domain itself has no record is told elsewhere.
    let missing = first(&|f| f.kind == CountFaultKind::NoRecord && f.domain != domain);
    let looping = first(&|fault| fault.kind == CountFaultKind::Loop);
    let draft = |definition| about(context, definition);
    let mended = |definition| remedy.put_in(draft(definition)).with("record", record);
    let whole = if record.contains(['"', '\\']) {
        let expected = ("no quotation marks in the value", "el valor sin comillas");
        mended(&STRING_255).expected(expected).finding((
            "quotation marks in the value: {record}",
            "comillas dentro del valor: {record}",
        ))
    } else if mend::has_grown_together(record) {
        let expected = ("a space between all terms", "un espacio entre todos los términos");
        mended(&STRING_255)
            .expected(expected)
            .finding(("terms grown together: {record}", "términos pegados: {record}"))
    } else {
        draft(&STRING_255).right()
    };
    let syntax = match malformed(count) {
        _ if whole.is_wrong() => draft(&SYNTAX).skipped(&STRING_255),
        Some((whose, problem)) => {
            let draft = mended(&SYNTAX).with("whose", whose).with_said("problem", problem);
            let draft = if whose == domain { draft } else { draft.remedy(ANOTHERS) };
            draft.finding((
                "in the record of {whose}: {problem}",
                "en el registro de {whose}: {problem}",
            ))
        }
        None if !mend::is_sound(record) => {
            mended(&SYNTAX).with("terms", mend::mistaken(record).join(" ")).finding((
                "receivers do not read `{terms}` as it was meant: {record}",
                "los receptores no leen `{terms}` como se quería: {record}",
            ))
        }
        None => draft(&SYNTAX).right(),
    };
    let elsewhere = [(&INCLUDE_MISSING, missing), (&LOOP, looping)];
    let elsewhere = elsewhere.map(|(check, fault)| match fault {
        Some(fault) => draft(check).with("whose", &fault.domain).wrong(),
        None => draft(check).right(),
    });
    [vec![whole, syntax], elsewhere.to_vec()].concat()
}

const ANOTHERS: Text = Text::new(
    "Tell whoever runs {whose}, or take it out of: {record}",
    "Avise a quien lleve {whose}, o quítelo de: {record}",
);

fn lookups<W: World>(context: &Context<'_, W>, count: &Count, readable: bool) -> Check {
    let terms: Vec<_> = count.terms.iter().map(|term| term.term.as_str()).collect();
    let draft = about(context, &LOOKUPS)
        .with("count", count.lookups)
        .with("limit", MAX_LOOKUPS)
        .with("terms", terms.join(" "));
    if count.lookups > MAX_LOOKUPS {
        return draft.wrong();
    }
    let dns = count.faults.iter().find_map(|fault| match &fault.kind {
        CountFaultKind::Dns(error) => Some((fault.domain.as_str(), error)),
        _ => None,
    });
    if let Some((whose, error)) = dns {
        let draft = draft.with("whose", whose).with_said("error", error);
        return draft.unknown((
            "{count} so far; {whose}: {error}",
            "{count} hasta ahora; {whose}: {error}",
        ));
    }
    if !readable {
        return draft.not_applicable((
            "{count} so far; the record cannot be read to its end",
            "{count} hasta ahora; el registro no se puede leer hasta el final",
        ));
    }
    if count.lookups < MANY_LOOKUPS {
        return draft.right();
    }
    draft
        .severity(Severity::Info)
        .expected(("room for more", "margen para más"))
        .remedy(("Replace an include before you add one", "Cambie un include antes de añadir otro"))
        .finding(LOOKUPS.right)
}

// The first is of an address that nobody has, the others are of ours.
fn void<W: World>(context: &Context<'_, W>, whole: &[Evaluation]) -> Check {
    let names = whole.iter().enumerate().map(|(number, evaluation)| {
        let mut names = Vec::new();
        void_names(&evaluation.trace, number > 0, &mut names);
        names
    });
    let names: Vec<&Question> = names.max_by_key(Vec::len).unwrap_or_default();
    let nowhere = Answer::Nothing(DnsError::NoSuchDomain);
    let only_records = names.iter().all(|question| question.answer != nowhere);
    let draft = about(context, &VOID).with("count", names.len());
    let draft = draft.list("names", names.iter().map(|question| &question.asked));
    if whole.iter().any(|evaluation| evaluation.result == SpfResult::TempError) {
        return draft.dns_silent();
    }
    match names.len() {
        ..=2 => draft.right(),
        _ if only_records => draft
            .remedy((
                "Give these names such records, or replace their terms by ip4: and ip6:",
                "Dé esos registros a esos nombres, o cambie sus términos por ip4: e ip6:",
            ))
            .wrong(),
        _ => draft.wrong(),
    }
}

// As an evaluation counts them (RFC 7208 §4.6.4); `exists` is made to lead nowhere for
// most addresses, and counts for those alone that we send from.
fn void_names<'a>(trace: &'a Trace, is_ours: bool, names: &mut Vec<&'a Question>) {
    for step in &trace.steps {
        let term = step.term.trim_start_matches(['+', '-', '~', '?']).to_ascii_lowercase();
        let counts = |asked: &&Question| {
            let is_counted = !term.starts_with("ptr") || asked.kind == RecordType::Ptr;
            is_counted && matches!(&asked.answer, Answer::Nothing(error) if error.is_absence())
        };
        if is_ours || !term.starts_with("exists:") {
            names.extend(step.questions.iter().filter(counts));
        }
        if let Some(nested) = &step.nested {
            void_names(nested, is_ours, names);
        }
    }
}

async fn mx_limit<W: World>(context: &Context<'_, W>, terms: &Terms) -> Judged {
    let domain = context.domain.as_str();
    for target in terms.mx_targets(domain) {
        let draft = context.asking(&MX_LIMIT, domain, (&target, RecordType::Mx));
        let hosts = draft.answered(context.world.exchangers(&target).await)?.len();
        if hosts > 10 {
            return Ok(draft.with("count", hosts).with("target", &target).wrong());
        }
    }
    Ok(context.about(&MX_LIMIT, domain).right())
}

fn coverage<W: World>(
    context: &Context<'_, W>,
    senders: &[(&IpAddr, &Evaluation)],
    (record, broken): (&str, Option<&'static Definition>),
    remedy: &Remedy,
) -> Vec<Check> {
    let domain = context.domain.as_str();
    if senders.is_empty() {
        return vec![context.about(&COVERS_IP, domain).unknown((
            "it is not known by which public address our mail reaches the world",
            "no se sabe con qué dirección pública llega nuestro correo al mundo",
        ))];
    }
    let passes = senders.iter().any(|(_, evaluation)| evaluation.result == SpfResult::Pass);
    // A relay may well send from other addresses than it takes mail at.
    let is_anothers = context.relay.is_some() && (passes || Terms::read(record).delegates());
    let each = senders.iter().map(|(address, evaluation)| {
        let subject = context.subject(address);
        let draft = context.asking(&COVERS_IP, subject, (domain, RecordType::Txt));
        let draft = remedy
            .put_in(draft)
            .with("address", address)
            .with("result", evaluation.result)
            .with("record", record);
        match (evaluation.result, broken) {
            (SpfResult::Pass, _) => draft.right(),
            (SpfResult::TempError, _) => draft.dns_silent(),
            (_, Some(broken)) => draft.skipped(broken),
            _ if is_anothers => draft.unknown((
                "{result} for {address}, where the relay takes mail; whether it sends from there \
                 cannot be seen from here",
                "{result} para {address}, donde el relay recibe el correo; desde aquí no se puede \
                 saber si también envía desde ahí",
            )),
            _ => draft.wrong(),
        }
    });
    each.collect()
}

// By what the record would be that `puerto dns` proposes.
fn rescue<W: World>(
    context: &Context<'_, W>,
    (record, broken): (&str, Option<&'static Definition>),
    remedy: &Remedy,
) -> Option<Check> {
    let relay = context.config.rescuer()?;
    let draft = about(context, &COVERS_RESCUE).with("relay", relay);
    Some(match (&remedy.for_rescue, broken) {
        (None, _) => draft.right(),
        (_, Some(broken)) => draft.skipped(broken),
        (Some(term), None) => {
            remedy.put_in(draft).with("term", term).with("record", record).wrong()
        }
    })
}

fn size<W: World>(context: &Context<'_, W>, texts: &[String]) -> Check {
    // Name, type, class, lifetime and lengths take some 20 octets for each record.
    let octets: usize = 60 + texts.iter().map(|text| text.len() + 20).sum::<usize>();
    // Between the two it is the usual thing, and hardly anybody fails.
    let severity = if octets > MAX_ANSWER { Severity::Warning } else { Severity::Info };
    let draft = about(context, &SIZE).with("octets", octets).with("limit", SMALL_ANSWER);
    match octets {
        ..=SMALL_ANSWER => draft.right(),
        _ => draft.severity(severity).wrong(),
    }
}
