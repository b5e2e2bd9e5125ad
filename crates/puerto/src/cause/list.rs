//! Every cause: its fields, its id, its English and its Spanish.
//!
//! They stand in lists by what they are about, below `list`. One value has all of them, so that
//! each list adds its own to those before and hands them on; the last is [`causes`], which
//! declares them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::field::{
    AddressKind, BareSystemError, Command, DescribedAddress, Field, Spoken, SystemError, Words,
};
use crate::lang::Language;
use puerto_mail::dns::DnsError;
use puerto_smtp::address::AddressError;
use puerto_smtp::client::{AuthUnavailable, Stage};
use puerto_smtp::reply::ReplyError;
use puerto_spool::SpoolError;

#[macro_use]
mod local;
#[macro_use]
mod mailboxes;
#[macro_use]
mod queue;
#[macro_use]
mod sending;
#[macro_use]
mod tls;

/// Declares the causes. The words name the fields; one that they do not name, or name
/// and have not, does not compile.
macro_rules! causes {
    ([] $($name:ident { $($field:ident: $type:ty),* } = $id:literal [$english:literal, $spanish:literal] $(=> $rule:literal)?;)*) => {
        /// What went wrong, or brought something about.
        ///
        /// In JSON it is an object with its id for its one key.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "the words of a cause say what its fields are")]
        pub enum Cause {
            $(
                #[doc = $english]
                #[serde(rename = $id)]
                $name { $($field: $type),* },
            )*
        }

        impl Cause {
            /// Its name, the same in every version.
            pub fn id(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $id,)*
                }
            }

            /// The rule that explains it, whatever its fields.
            pub(super) fn rule(&self) -> Option<&'static str> {
                match self {
                    $(Self::$name { .. } => {
                        const RULE: &[&str] = &[$($rule)?];
                        RULE.first().copied()
                    })*
                }
            }

            /// The English of those that have a rule, each with its rule.
            pub const EXPLAINED: &[(&str, &str)] = &[$($(($english, $rule),)?)*];

            /// One of each.
            #[cfg(test)]
            pub(crate) fn samples() -> Vec<Self> {
                use super::tests::Sample;
                vec![$(Self::$name { $($field: <$type>::sample()),* }),*]
            }

            pub(super) fn in_language(&self, language: Language) -> String {
                match self {
                    $(Self::$name { $($field),* } => {
                        $(let $field = $field.said_in(language);)*
                        match language {
                            Language::English => format!($english $(, $field = $field)*),
                            Language::Spanish => format!($spanish $(, $field = $field)*),
                        }
                    })*
                }
            }
        }
    };
}

sending! {
    [tls queue local mailboxes causes]
    Quoted { words: Words } = "quoted" ["{words}", "{words}"];

    Restored { created: String } = "backup.restored"
        ["it comes from the backup of {created}, and may have gone out since",
         "viene de la copia de seguridad del {created}, y puede haber salido desde entonces"];

    // Caps.
    OverMessagesInHour { who: String, most: u64 } = "caps.messages-hour"
        ["{who} has sent more than {most} messages in an hour",
         "{who} ha enviado más de {most} mensajes en una hora"];
    OverMessagesInDay { who: String, most: u64 } = "caps.messages-day"
        ["{who} has sent more than {most} messages in a day",
         "{who} ha enviado más de {most} mensajes en un día"];
    OverRecipientsInHour { who: String, most: u64 } = "caps.recipients-hour"
        ["{who} has sent to more than {most} new recipients in an hour",
         "{who} ha enviado a más de {most} destinatarios nuevos en una hora"];
    OverRecipientsInDay { who: String, most: u64 } = "caps.recipients-day"
        ["{who} has sent to more than {most} new recipients in a day",
         "{who} ha enviado a más de {most} destinatarios nuevos en un día"];
}
