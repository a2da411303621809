//! What a phone does with each call.

use std::sync::Arc;

use nfcwallet_core::activation::ActivationMode;
use nfcwallet_core::host::{ActivationListener, TestClock};
use nfcwallet_core::payment::{CdcvmMethod, FieldLoss, TransactionOutcome, TransactionRecord};
use nfcwallet_core::token::TokenStatus;
use nfcwallet_core::wallet::Connection;
use nfcwallet_core::{Wallet, WalletError};
use serde_json::{Value, json};

use super::hooks::{Behaviour, PhoneProxy, name_of};
use super::protocol::{Call, ErrorLine};

/// Everything a call may touch.
pub(super) struct Commands {
    pub(super) wallet: Wallet,
    pub(super) behaviour: Arc<Behaviour>,
    pub(super) proxy: Arc<PhoneProxy>,
    pub(super) clock: Option<TestClock>,
}

impl Commands {
    pub(super) async fn run(&self, call: Call) -> Result<Value, ErrorLine> {
        match call {
            Call::Apdu { hex } => self.apdu(&hex),
            Call::Host(change) => {
                self.behaviour.change(change);
                Ok(json!({}))
            }
            Call::Hold(at) => {
                self.behaviour.hold(at);
                Ok(json!({}))
            }
            Call::Clock(change) => {
                let clock = self.clock.as_ref().ok_or_else(|| misuse("this phone has the real clock"))?;
                clock.advance(std::time::Duration::from_millis(change.advance_ms));
                if let Some(offset) = change.wall_offset_ms {
                    clock.set_wall_offset(offset);
                }
                Ok(json!({}))
            }
            Call::Reference { hex } => {
                let bytes = hex::decode(&hex).map_err(|_| misuse("reference is not hex"))?;
                self.wallet.set_transaction_reference(&bytes).map(|()| json!({})).map_err(|e| line(&e))
            }
            call => self.ask_wallet(call).await.map_err(|error| line(&error)),
        }
    }

    async fn ask_wallet(&self, call: Call) -> Result<Value, WalletError> {
        let wallet = &self.wallet;
        let listener = || Arc::clone(&self.behaviour) as Arc<dyn ActivationListener>;
        let suspenders = |parties: Vec<_>| json!({ "suspended_by": parties });
        Ok(match call {
            Call::Connect { user } => {
                // Being offline is no obstacle: the wallet connects locally and catches up later.
                if let Err(error) = self.proxy.log_in(&user).await {
                    tracing::info!(%error, "not logged in at the app's server");
                }
                connection(&wallet.connect(&user).await?)
            }
            Call::Disconnect => {
                wallet.disconnect().await?;
                self.proxy.log_out();
                json!({})
            }
            Call::Status => status(&wallet.token_status()),
            Call::Sync => status(&wallet.sync_token().await?),
            Call::Activate { silent } => {
                let mode = if silent { ActivationMode::Silent } else { ActivationMode::Manual };
                wallet.activate(mode, listener()).await?;
                status(&wallet.token_status())
            }
            Call::Confirm => {
                wallet.confirm_activation(listener()).await?;
                status(&wallet.token_status())
            }
            Call::Replenish => json!({ "count": wallet.replenish().await? }),
            Call::Credentials => {
                let stock = wallet.credentials()?;
                json!({
                    "usable": stock.usable,
                    "threshold": stock.threshold,
                    "target": stock.target,
                    "next_expiry_ms": stock.next_expiry_ms,
                    "retry_in_ms": stock.retry_in.map(|pause| pause.as_millis()),
                })
            }
            Call::Lock => suspenders(wallet.lock().await?),
            Call::Unlock => suspenders(wallet.unlock().await?),
            Call::Delete => {
                wallet.delete_token().await?;
                json!({})
            }
            Call::Authenticate => {
                json!({ "window_ms": wallet.authenticate(CdcvmMethod::Fingerprint)?.as_millis() })
            }
            Call::CancelAuthentication => {
                wallet.cancel_authentication();
                json!({})
            }
            Call::FieldLost => {
                wallet.field_lost(FieldLoss::LinkLost);
                json!({})
            }
            Call::Transactions { limit } => {
                let page = wallet.transactions(None, limit)?;
                json!({ "transactions": page.transactions.iter().map(transaction).collect::<Vec<_>>() })
            }
            Call::Readiness => {
                let report = wallet.readiness();
                let blocking: Vec<String> = report.blocking.iter().map(|condition| format!("{condition:?}")).collect();
                json!({ "ready": report.is_ready(), "blocking": blocking })
            }
            Call::NetworkAvailable => {
                wallet.network_available();
                json!({})
            }
            Call::Prewarm => {
                wallet.prewarm();
                json!({})
            }
            Call::Suspend => {
                wallet.suspend()?;
                json!({})
            }
            Call::Shutdown => {
                wallet.shutdown();
                json!({})
            }
            Call::Apdu { .. } | Call::Host(_) | Call::Hold(_) | Call::Clock(_) | Call::Reference { .. } => json!({}),
        })
    }

    fn apdu(&self, text: &str) -> Result<Value, ErrorLine> {
        let apdu = hex::decode(text).map_err(|_| misuse("apdu is not hex"))?;
        let started = std::time::Instant::now();
        let answer = self.wallet.process_apdu(&apdu);
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(json!({ "hex": hex::encode_upper(answer), "micros": micros }))
    }
}

fn status(status: &TokenStatus) -> Value {
    json!({ "status": status.code(), "page": format!("{:?}", status.page()) })
}

fn connection(connection: &Connection) -> Value {
    json!({
        "status": connection.status.code(),
        "page": format!("{:?}", connection.status.page()),
        "service": connection.service.as_ref().map(WalletError::code),
        "recovered_from": connection.recovered_from.as_ref().map(WalletError::code),
    })
}

fn transaction(record: &TransactionRecord) -> Value {
    let (outcome, code, atc) = match &record.outcome {
        TransactionOutcome::Complete { atc, .. } => ("complete", 10_000, Some(*atc)),
        TransactionOutcome::Failed { code } => ("failed", *code, None),
    };
    json!({
        "amount": record.transaction.amount(),
        "amount_minor": record.transaction.amount_minor,
        "currency": record.transaction.currency,
        "kind": name_of(&record.transaction.kind),
        "outcome": outcome,
        "code": code,
        "atc": atc,
    })
}

/// An error as a line.
pub(super) fn line(error: &WalletError) -> ErrorLine {
    ErrorLine { code: error.code(), text: error.to_string(), advice: format!("{:?}", error.advice()) }
}

/// The driver's own mistake.
pub(super) fn misuse(text: &str) -> ErrorLine {
    ErrorLine { code: 10_011, text: text.to_owned(), advice: "ReportBug".to_owned() }
}
