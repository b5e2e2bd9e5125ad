//! AUTH (RFC 4954): what SMTP has around the messages of a mechanism.

use super::Action;
use super::commands::Commands;
use super::common::{Answer, Common, NoResponse};
use super::session::{Next, State};
use crate::base64;
use crate::command::{AuthCommand, Verb, not_base64};
use crate::reply::Reply;
use crate::sasl::Mechanism;

pub(super) fn begin(auth: AuthCommand, common: &mut Common) -> Next {
    let offered = &common.settings.extensions.auth;
    let is_offered = |mechanism: &Mechanism| offered.iter().any(|name| name == mechanism.name());
    let refusal = match auth.mechanism.filter(is_offered) {
        _ if offered.is_empty() => {
            Reply::enhanced(503, (5, 5, 1), "Error: authentication not enabled")
        }
        _ if common.authenticated => {
            Reply::enhanced(503, (5, 5, 1), "Error: already authenticated")
        }
        // Nothing that is secret is asked for, and what was said all the same is not looked at.
        _ if !common.tls => {
            let text = "Encryption required for requested authentication mechanism: \
                        issue a STARTTLS command first";
            Reply::enhanced(538, (5, 7, 11), text)
        }
        None => Reply::enhanced(504, (5, 5, 4), "Error: authentication mechanism not supported"),
        Some(mechanism) => {
            let question = Question::Begin(mechanism, auth.initial);
            return (State::AskingAuth(AskingAuth(question)), None);
        }
    };
    common.reject(Verb::Auth, refusal, None);
    Commands::default().go_on(common)
}

/// What the client said waits for its answer.
#[derive(Debug)]
pub(super) struct AskingAuth(Question);

enum Question {
    Begin(Mechanism, Option<Vec<u8>>),
    Response(Vec<u8>),
}

/// What is in it is secret.
impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Question")
    }
}

impl AskingAuth {
    pub(super) fn question(&self) -> Action<'_> {
        match &self.0 {
            Question::Begin(mechanism, initial) => {
                Action::BeginAuth { mechanism: *mechanism, initial: initial.as_deref() }
            }
            Question::Response(response) => Action::ContinueAuth(response),
        }
    }

    pub(super) fn answered(answer: Answer<'_>, common: &mut Common) -> State {
        common.conclude_with(Verb::Auth, answer, "235 2.7.0 Authentication successful\r\n");
        common.authenticated = answer.is_positive();
        State::Commands(Commands::default())
    }

    pub(super) fn challenge(octets: &[u8], common: &mut Common) -> State {
        // The blank belongs there also where nothing follows: clients count on it.
        common.write(&format!("334 {}\r\n", base64::encode(octets)));
        State::AwaitingResponse(AwaitingResponse)
    }
}

/// The client is to say more.
#[derive(Debug)]
pub(super) struct AwaitingResponse;

impl AwaitingResponse {
    pub(super) fn read(self, common: &mut Common) -> Next {
        let refusal = match common.next_response() {
            None => return (State::AwaitingResponse(self), Some(super::session::Event::Read)),
            Some(Ok(response)) => {
                return (State::AskingAuth(AskingAuth(Question::Response(response))), None);
            }
            Some(Err(NoResponse::Cancelled)) => {
                Reply::enhanced(501, (5, 7, 0), "Authentication cancelled")
            }
            Some(Err(NoResponse::NotBase64)) => not_base64(),
            Some(Err(NoResponse::TooLong)) => {
                Reply::enhanced(500, (5, 5, 6), "Authentication exchange line is too long")
            }
            Some(Err(NoResponse::Hopeless)) => {
                let text = "Error: lines must end with <CR><LF>, and end";
                common.reject(Verb::Auth, Reply::enhanced(500, (5, 5, 2), text), None);
                return (State::Closing, None);
            }
        };
        common.conclude(Verb::Auth, &refusal);
        Commands::default().go_on(common)
    }
}
