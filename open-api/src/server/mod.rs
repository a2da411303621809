//! The server's half: verifies, reads, calls a handler, signs its answer.
//!
//! An [`ApiRouter`] takes one handler for each API and becomes an ordinary [`axum::Router`]. A handler sees
//! a request only after its signature was verified over the bytes and the path that were received, its time
//! was found fresh, and its fields were checked. Whatever happens, the answer has HTTP status 200, the three
//! headers in lower case, and a signature of ours: also the refusal of a stranger, and that of a path that
//! does not exist. Only without a key to sign with the answer is an empty HTTP 500, which every client takes
//! for an unknown outcome.
//!
//! | what is wrong | `resultCode` |
//! |---|---|
//! | another method than `POST` | `METHOD_NOT_SUPPORTED` |
//! | no API at this path | `NO_INTERFACE_DEF` |
//! | a content type other than JSON; none is fine | `MEDIA_TYPE_NOT_ACCEPTABLE` |
//! | a body that is too long; a field that breaks a rule, named in the message | `PARAM_ILLEGAL` |
//! | a body that breaks off or does not arrive in time | `UNKNOWN_EXCEPTION` (`U`) |
//! | no client id, a malformed one, one that nobody has | `INVALID_CLIENT` |
//! | no key of this version for the client, or not now | `KEY_NOT_FOUND` |
//! | no signature, a malformed or wrong one; a time outside the window | `INVALID_SIGNATURE` |
//! | a handler that panics, or takes longer than its deadline | `UNKNOWN_EXCEPTION` (`U`) |
//!
//! **A handler runs to its end.** It has a task of its own: a caller that hangs up, and a deadline that
//! passes, end the waiting and not the handler. Halfway through a payment is no place to stop.
//!
//! **Repeats.** The same signed bytes may arrive twice: networks and gateways repeat, and a caller that got
//! no answer may send what it has, signature and all. Every handler is idempotent anyway, by the id in the
//! request, so a repeat inside the window of freshness is handled like any other request, and gets the
//! answer that the first one got. Outside the window it is refused, since it is then more likely somebody's
//! recording. [`Repeats::Refuse`] is stricter: it asks a [`ReplayGuard`] and refuses the second.
//!
//! **Where the RSA is done.** In the task of the request, not on a thread of its own. A signature of 2048
//! bits takes well under a millisecond, see the README for measurements; that is the order of what handing
//! it to another thread and back costs in delay once all cores are busy, and more threads than cores sign
//! no faster.
//!
//! **What is signed for strangers.** Requests and answers are signed in the same form with the same key, so a
//! refusal that we sign for a path and a client id of a stranger's choice is, to the other side, also a
//! request of ours with that body. It can do nothing there, for the body is ours alone: `result` and nothing
//! else, with a text of ours that repeats nothing of what was sent but the names of fields.
//!
//! A layer that changes a request's path or body must not be put before this router: the signature covers
//! both. Nesting is fine, for axum keeps the path that was received.

mod caller;
mod endpoint;
mod gate;
mod options;
mod replay;
mod reply;
mod router;

pub use caller::Caller;
pub use options::{Identity, Repeats, ServerOptions};
pub use replay::{MemoryReplayGuard, Replay, ReplayGuard};
pub use reply::Outcome;
pub use router::{ApiRoute, ApiRouter, RouterError};
