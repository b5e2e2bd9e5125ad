//! Addresses of `[[source]]`, each judged by the name that mail from it says in EHLO.

use puerto_mail::dns::{RecordType, block_on, reverse_name};

use super::world::{Made, V4, V6, with_status};
use crate::check::{Asked, Context, Status};
use crate::config::Config;
use crate::dnsplan::{self, Plan, State, Subject};
use crate::intake::KeyRing;

const NEWS: &str = "192.0.2.11";
const POST: &str = "192.0.2.12";

// The second source shares the server's own name.
fn world() -> Made {
    let mut world = Made::healthy();
    let text = format!(
        "hostname = \"mail.example.com\"\n[[source]]\nname = \"news\"\nipv4 = \"{NEWS}\"\n\
         helo = \"News1.example.com\"\nfrom = [\"@news.example.com\"]\n\
         [[source]]\nname = \"post\"\nipv4 = \"{POST}\"\nfrom = [\"@post.example.com\"]\n"
    );
    world.config.sources = Config::parse(&text, "puerto.toml").unwrap().sources;
    world.egress = [V4, V6, NEWS, POST].map(|address| address.parse().unwrap()).to_vec();
    world.set_pointer(NEWS, "news1.example.com").set_pointer(POST, "mail.example.com");
    world.table.txt("news1.example.com", "v=spf1 a -all");
    let all = format!("v=spf1 ip4:{V4} ip6:{V6} ip4:{NEWS} ip4:{POST} -all");
    world.set_txt("example.com", &all);
    world
}

async fn plan(world: &Made) -> Plan {
    let ring = KeyRing::load(&world.config.dkim_directory);
    let egress = world.egress.clone();
    let subject = Subject::new(&world.config, &ring, Some("example.com"), egress).unwrap();
    dnsplan::plan(world, &subject).await.unwrap()
}

fn changes(plan: &Plan) -> Vec<String> {
    plan.changes()
        .map(|record| format!("{} {} {}", record.name, record.kind, record.value))
        .collect()
}

#[tokio::test]
async fn a_source_with_a_name_of_its_own_that_is_right_is_found_right() {
    let world = world();
    let checks = world.check().await;
    assert_eq!(with_status(&checks, Status::Finding), [""; 0]);
    let plan = plan(&world).await;
    assert_eq!(changes(&plan), [""; 0]);
    let names: Vec<&str> = plan.reverse.iter().map(|reverse| reverse.value.as_str()).collect();
    let own = "mail.example.com";
    assert_eq!(names, [own, own, "news1.example.com", own]);
    assert!(plan.reverse.iter().all(|reverse| reverse.state == Some(State::Keep)));
}

#[tokio::test]
async fn what_a_source_lacks_is_wanted_of_its_own_name() {
    let mut world = world();
    world.absent("news1.example.com", RecordType::A).absent("news1.example.com", RecordType::Txt);
    world.absent(&reverse_name(NEWS.parse().unwrap()), RecordType::Ptr);
    world.set_txt("example.com", &format!("v=spf1 ip4:{V4} ip6:{V6} -all"));
    let checks = world.check().await;
    let remedy = |id: &str| {
        let of_id = checks.iter().filter(|check| check.id() == id && check.is_wrong());
        of_id.map(|check| format!("{}: {}", check.subject, check.remedy)).collect::<Vec<_>>()
    };
    assert_eq!(remedy("helo.resolves"), [format!("{NEWS}: news1.example.com. IN A {NEWS}")]);
    let [pointer] = &remedy("ptr.exists")[..] else { panic!("{checks:?}") };
    assert!(pointer.contains("news1.example.com") && !pointer.contains("mail."), "{pointer}");
    let plan = plan(&world).await;
    assert_eq!(
        changes(&plan),
        [
            format!("news1.example.com A {NEWS}"),
            format!("example.com TXT v=spf1 ip4:{V4} ip6:{V6} ip4:{NEWS} ip4:{POST} -all"),
            "news1.example.com TXT v=spf1 a -all".to_owned(),
        ]
    );
    assert_eq!(plan.reverse[2].value, "news1.example.com");
    assert_eq!(plan.reverse[2].state, Some(State::New));
}

#[tokio::test]
async fn a_name_of_a_source_that_no_host_can_have_is_found() {
    let mut world = world();
    "news".clone_into(&mut world.config.sources[0].helo);
    let checks = world.check().await;
    let fqdn = checks.iter().find(|check| check.id() == "helo.fqdn" && check.is_wrong()).unwrap();
    assert_eq!(fqdn.subject, "news");
    assert!(fqdn.remedy.to_string().contains("[[source]] helo"), "{}", fqdn.remedy);
    assert!(!changes(&plan(&world).await).iter().any(|change| change.contains(NEWS)));
}

/// Behind address translation each name leads to the address that the world sees.
#[test]
fn a_translated_source_is_the_address_of_its_own_name() {
    let mut world = world();
    world.config.delivery.bind_ipv4 = Some("10.0.0.1".parse().unwrap());
    world.config.delivery.bind_ipv6 = Some(V6.parse().unwrap());
    for (source, inside) in world.config.sources.iter_mut().zip(["10.0.0.2", "10.0.0.1"]) {
        source.ipv4 = Some(inside.parse().unwrap());
    }
    let gathered = Context::gather(&world, &world.config, Asked::default(), 0);
    let context = block_on(gathered).unwrap();
    let hosts: Vec<String> = context
        .hosts()
        .into_iter()
        .map(|host| format!("{} {:?}", host.name, host.addresses))
        .collect();
    assert_eq!(
        hosts,
        [format!("mail.example.com [{V4}, {POST}, {V6}]"), format!("news1.example.com [{NEWS}]")]
    );
}
