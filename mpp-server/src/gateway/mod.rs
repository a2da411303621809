//! The gateway's side: its calls to us, and ours to it. Signatures and JSON are `alipayplus`'s; what a
//! payment becomes is `payments`'s; this room puts one into the other and decides nothing.

mod inbound;
mod notifier;
mod outbound;

pub(crate) use inbound::router;
pub(crate) use notifier::Notifier;
pub(crate) use outbound::{Outbound, OutboundParts, Relayed};
