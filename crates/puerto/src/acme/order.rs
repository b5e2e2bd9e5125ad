//! From names to a certificate: one order, from its beginning to its end.

use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, Error, Identifier,
    NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::folder::Folder;
use super::http::Client;
use super::proof::Prover;
use super::trouble::{cause, kind_of, of_problem};
use crate::cause::Cause;
use crate::cause::field::Words;
use crate::config::Acme;

/// How the authority is asked whether it has looked: from two seconds on, ever more rarely.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_secs(1))
    .backoff(1.5)
    .timeout(Duration::from_secs(150));

/// What a certificate is to be like.
pub(super) struct Wanted<'a> {
    /// The names in it.
    pub(super) names: &'a [String],
    /// The key, in PEM.
    pub(super) key: &'a str,
    /// The certificate in whose place it comes, if the authority is to be told.
    pub(super) replaces: Option<CertificateIdentifier<'static>>,
}

/// A new key, in PEM.
pub(super) fn new_key() -> Result<String, Cause> {
    KeyPair::generate().map(|key| key.serialize_pem()).map_err(odd)
}

/// The account with the authority that is configured: the one that is kept, or a new one.
pub(super) async fn account(
    folder: &Folder,
    acme: &Acme,
    client: &Client,
) -> Result<Account, Cause> {
    let directory = acme.directory.clone().unwrap_or_default();
    let builder = Account::builder_with_http(Box::new(client.clone()));
    let unkept = |error: std::io::Error| Cause::AcmeUnkept { error: error.into() };
    let kept = folder.account(&directory).map_err(unkept)?;
    let failed = |error| cause(error, "");
    if let Some(kept) = kept.and_then(|kept| serde_json::from_str::<AccountCredentials>(&kept).ok())
    {
        return builder.from_credentials(kept).await.map_err(failed);
    }
    let contact = acme.contact.as_ref().map(|contact| format!("mailto:{contact}"));
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: acme.accept_terms,
        only_return_existing: false,
    };
    let (account, credentials) =
        builder.create(&new, directory.clone(), None).await.map_err(failed)?;
    let text = serde_json::to_string(&credentials).map_err(|error| failed(error.into()))?;
    folder.keep_account(&directory, &text).map_err(unkept)?;
    Ok(account)
}

/// Whether a refusal says that the authority does not know the account any more.
pub(super) fn is_unknown_account(error: &Error) -> bool {
    matches!(error, Error::Api(problem) if kind_of(problem) == "accountDoesNotExist")
}

/// Orders a certificate, proves that the names are ours, and fetches it: the chain, in PEM.
pub(super) async fn obtain(
    account: &Account,
    wanted: &Wanted<'_>,
    prover: &Prover,
) -> Result<Result<String, Cause>, Error> {
    let mut order = begin(account, wanted).await?;
    let chain = finish(&mut order, wanted, prover).await;
    prover.withdraw().await;
    Ok(chain)
}

async fn begin(account: &Account, wanted: &Wanted<'_>) -> Result<Order, Error> {
    let names: Vec<_> = wanted.names.iter().map(|name| Identifier::Dns(name.clone())).collect();
    if let Some(old) = &wanted.replaces {
        let new = NewOrder::new(&names).replaces(old.clone());
        match account.new_order(&new).await {
            // It was replaced already, is another's, or the authority has no such thing.
            Err(Error::Api(problem)) if kind_of(&problem) != "rateLimited" => {}
            Err(Error::Unsupported(_) | Error::Other(_)) => {}
            begun => return begun,
        }
    }
    account.new_order(&NewOrder::new(&names)).await
}

async fn finish(order: &mut Order, wanted: &Wanted<'_>, prover: &Prover) -> Result<String, Cause> {
    let names = wanted.names.join(", ");
    prove(order, prover).await?;
    let failed = |error| cause(error, &names);
    match order.poll_ready(&PATIENCE).await {
        Ok(OrderStatus::Ready | OrderStatus::Valid | OrderStatus::Processing) => {}
        // The order says that it failed, and the name's own entry why.
        Ok(_) | Err(Error::Api(_)) => {
            return Err(refusal(order).await.unwrap_or(Cause::AcmeSlow {}));
        }
        Err(error) => return Err(refusal(order).await.unwrap_or_else(|| failed(error))),
    }
    let mut asked = CertificateParams::new(wanted.names.to_vec()).map_err(odd)?;
    asked.distinguished_name = DistinguishedName::new();
    let key = KeyPair::from_pem(wanted.key).map_err(odd)?;
    let request = asked.serialize_request(&key).map_err(odd)?;
    order.finalize_csr(request.der()).await.map_err(failed)?;
    order.poll_certificate(&PATIENCE).await.map_err(|error| cause(error, &names))
}

async fn prove(order: &mut Order, prover: &Prover) -> Result<(), Cause> {
    let mut all = order.authorizations();
    while let Some(one) = all.next().await {
        let mut one = one.map_err(|error| cause(error, ""))?;
        let name = one.identifier().to_string();
        match one.status {
            AuthorizationStatus::Pending => {}
            // Seen not long ago; authorities remember that.
            AuthorizationStatus::Valid => continue,
            _ => {
                let problem = one.challenges.iter().find_map(|one| one.error.as_ref());
                return Err(problem.map_or(Cause::AcmeSlow {}, |it| of_problem(it, &name)));
            }
        }
        let offered = one.challenge(prover.kind());
        let Some(mut challenge) = offered else { return Err(Cause::AcmeNotOffered { name }) };
        let token = challenge.token.clone();
        prover.show(&name, &token, &challenge.key_authorization()).await?;
        challenge.set_ready().await.map_err(|error| cause(error, &name))?;
    }
    Ok(())
}

// What the authority has against one of the names.
async fn refusal(order: &mut Order) -> Option<Cause> {
    let mut all = order.authorizations();
    while let Some(Ok(mut one)) = all.next().await {
        let Ok(state) = one.refresh().await else { continue };
        let problem = state.challenges.iter().find_map(|one| one.error.as_ref());
        if let Some(problem) = problem {
            return Some(of_problem(problem, &state.identifier().to_string()));
        }
    }
    None
}

fn odd(error: rcgen::Error) -> Cause {
    Cause::AcmeMisunderstood { why: Words(error.to_string()) }
}
