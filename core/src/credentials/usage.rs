//! Telling the service what became of credentials.

use crate::Result;
use crate::context::{Context, User, unexpected_answer};
use crate::error::{ServiceProblem, WalletError};
use crate::token_service::RequestId;
use crate::token_service::operations::{Answer, Operation, UsageEntry};

/// Reports every credential that was spent or discarded since the last report. A report that is
/// repeated after a lost answer carries the same request id, so the service counts it once.
pub(crate) async fn report_usage(context: &Context, user: &User) -> Result<()> {
    for (token_reference, entries) in context.store.read(|tx| tx.unreported_usage(user.key))? {
        let spent: Vec<u16> = entries.iter().map(|entry| entry.atc).collect();
        let request_id = request_id(&token_reference, &entries, &context.store.identity());
        let operation = Operation::ReportUsage { token_reference: token_reference.clone(), entries };
        match context.ask(user, &operation, request_id).await {
            Ok(Answer::Acknowledged {}) => {}
            // The token is gone at the service: nobody wants the report any more.
            Err(WalletError::Service { reason: ServiceProblem::UnknownToken }) => {}
            Ok(_) => return Err(unexpected_answer()),
            Err(error) => return Err(error),
        }
        context.store.write(|tx| tx.usage_reported(&token_reference, &spent))?;
    }
    Ok(())
}

fn request_id(token_reference: &str, entries: &[UsageEntry], instance_id: &[u8; 16]) -> RequestId {
    let atcs: Vec<String> = entries.iter().map(|entry| entry.atc.to_string()).collect();
    RequestId::derive(instance_id, &format!("usage {token_reference} {}", atcs.join(",")))
}
