//! `tap`: one payment with a phone of its own, against a running `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use nfcwallet_sandbox::checkout::{Amount, Checkout, HttpAcquirer, PhonePayment};
use nfcwallet_sandbox::issuer::ProviderAnswer;
use nfcwallet_sandbox::phone::{Call, Phone};
use nfcwallet_sandbox::pos::{Mode, Purchase};
use nfcwallet_sandbox::relay::HttpProxy;
use nfcwallet_sandbox::with_causes;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::activation;
use super::advice::{self, Tapped};
use super::handset::{self, Holder, Stock};
use super::screen::{self, Screen, Target};
use super::serve::{DEFAULT_DATA, Served};

/// Tag 9C of a purchase with cash back.
const PURCHASE_WITH_CASHBACK: u8 = 0x09;

const EXIT_CODES: &str = "Exit codes: 0 approved, 1 not paid, 2 wrong arguments.";

/// Options of `tap`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct TapOptions {
    /// What to pay, in the currency's own decimals: 12.50 EUR, 1250 JPY. The card has limits for EUR,
    /// GBP, USD, CHF and HKD and asks for the user in all other currencies. The reader asks for the user
    /// above 50.00
    #[arg(long, allow_hyphen_values = true)]
    amount: String,
    /// Three letters of ISO 4217
    #[arg(long, default_value = "EUR")]
    currency: String,
    /// Who pays. Each user has a phone in DIR/phone-USER
    #[arg(long, default_value = "alice")]
    user: String,
    /// The folder of `serve`
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
    /// The user proves presence on the phone before the tap, as a payment above the limit needs it
    #[arg(long)]
    authenticate: bool,
    /// The phone pays at transit gates: amount 0 at merchant category 4111, 4131, 4784 or 7523
    #[arg(long)]
    transit: bool,
    /// Merchant category of ISO 18245
    #[arg(long, value_name = "N", default_value_t = 5411, value_parser = clap::value_parser!(u16).range(0..=9999))]
    merchant_category: u16,
    /// How much of the amount is cash back
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    cash_back: Option<String>,
    /// What the reader speaks with the card. Mag-stripe mode wants a card that has it: `serve --card
    /// mag-stripe`
    #[arg(long, value_enum, default_value_t = ReaderMode::Emv)]
    mode: ReaderMode,
    /// The reader asks for relay resistance data, where the card has them: `serve --card
    /// relay-resistance`
    #[arg(long)]
    relay_resistance: bool,
    /// Print every command and answer
    #[arg(long)]
    verbose: bool,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

/// A reader as the command line names it.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ReaderMode {
    /// Cryptogram and signature
    Emv,
    /// Checksums in tracks
    #[value(alias = "mag_stripe")]
    MagStripe,
}

impl From<ReaderMode> for Mode {
    fn from(mode: ReaderMode) -> Self {
        match mode {
            ReaderMode::Emv => Self::Emv,
            ReaderMode::MagStripe => Self::MagStripe,
        }
    }
}

pub(crate) fn run(options: &TapOptions) -> Result<ExitCode> {
    match Sum::checked(options) {
        Ok(sum) => pay(options, sum).map_err(|error| advice::of_network(error, &options.data)),
        Err(error) => Ok(screen::wrong_usage(&error)),
    }
}

/// What is paid, by arguments that can be used.
#[derive(Debug, Clone, Copy)]
struct Sum {
    amount: Amount,
    cash_back: Option<Amount>,
}

impl Sum {
    fn checked(options: &TapOptions) -> Result<Self> {
        let amount = Amount::parse("amount", &options.amount, &options.currency)?;
        let cash_back = options.cash_back.as_ref();
        let cash_back = cash_back.map(|text| Amount::parse("cash-back", text, &options.currency)).transpose()?;
        if let Some(cash) = cash_back {
            ensure!(cash.minor() <= amount.minor(), "cash-back: {cash} is more than the amount, limit {amount}");
        }
        check_user(&options.user)?;
        Ok(Self { amount, cash_back })
    }
}

fn pay(options: &TapOptions, sum: Sum) -> Result<ExitCode> {
    let purchase = purchase(options, sum)?;
    let screen = Screen::new(Target::beside_report(options.json, options.verbose), options.verbose);
    let runtime = Runtime::new().context("no threads")?;
    let served = Served::running(&options.data, &runtime)?;
    let acquirer = HttpAcquirer::new(served.control, runtime.handle().clone())?;
    let checkout = Checkout::new(served.ca_keys.clone(), Arc::new(acquirer));
    let holder = Holder {
        directory: options.data.join(format!("phone-{}", options.user)),
        mpp: served.mpp,
        trust_key: served.trust_key,
    };
    let transit = if options.transit { vec!["--transit".into()] } else { Vec::new() };
    let phone = holder.start([vec!["--user".into(), (&options.user).into()], transit].concat())?;
    make_ready(&phone, &options.user, &screen)?;
    if options.authenticate {
        phone.call(Call::Authenticate)?;
        screen.fact("the user proved presence on the phone");
    }
    let stock_before = handset::stock(&phone).ok();
    let paid = checkout.pay_with(&phone, &purchase)?;
    screen.trace(&paid.payment.trace);
    let stock = stock_afterwards(&phone, &screen);
    // The phone finishes what it has begun before its process ends.
    phone.call(Call::Shutdown)?;
    // Of a tap that its server never heard of, the app has nothing to ask.
    let account = match &paid.payment.provider {
        Some(provider) => Some(Account::ask(served.mpp, &options.user, provider, &runtime)?),
        None => None,
    };
    tell(
        &screen,
        sum.amount,
        &Tapped { purchase: &purchase, paid: &paid, transit: options.transit, stock_before, stock },
        account,
    );
    if options.json {
        screen::report(&as_json(sum.amount, &paid, stock, account))?;
    }
    Ok(if paid.payment.outcome.is_approved() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn purchase(options: &TapOptions, sum: Sum) -> Result<Purchase> {
    let Sum { amount, cash_back } = sum;
    let mut unpredictable_number = [0; 4];
    getrandom::fill(&mut unpredictable_number).map_err(|_| anyhow::anyhow!("the machine has no randomness"))?;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
    let mut purchase = Purchase::new(amount.minor(), amount.currency(), now_ms, unpredictable_number);
    purchase.merchant_category = options.merchant_category;
    purchase.mode = options.mode.into();
    purchase.relay_resistance = options.relay_resistance;
    if let Some(cash) = cash_back {
        purchase.other_amount_minor = cash.minor();
        purchase.kind = PURCHASE_WITH_CASHBACK;
    }
    Ok(purchase)
}

/// The name is part of a folder's name.
pub(crate) fn check_user(user: &str) -> Result<()> {
    let allowed = |letter: char| letter.is_alphanumeric() || "._-@+".contains(letter);
    ensure!(
        (1..=64).contains(&user.chars().count()) && user.chars().all(allowed),
        "user: `{user}` cannot be used; take 1 to 64 letters, digits, or . _ - @ +"
    );
    Ok(())
}

/// Does what the status asks for, until the phone can pay or only its user can help.
pub(crate) fn make_ready(phone: &Phone, user: &str, screen: &Screen) -> Result<()> {
    let before = handset::status(phone)?;
    if before.status < 0 {
        screen.line(&format!("{before}: connecting {user}"));
    }
    // At each start, as an app does: the service may have something to say.
    phone.call(Call::Connect { user: user.to_owned() })?;
    let status = handset::status(phone)?;
    match status.status {
        0 => {
            screen.line(&format!("{status}: activating"));
            activation::run(phone, Call::Activate { silent: false }, screen)?;
        }
        11 => {
            screen.line(&format!("{status}: going on with the activation"));
            activation::run(phone, Call::Confirm, screen)?;
        }
        21 => {
            screen.line(&format!("{status}: confirming"));
            activation::run(phone, Call::Confirm, screen)?;
        }
        1 => {
            screen.line(&format!("{status}: replenishing"));
            phone.call(Call::Replenish)?;
        }
        _ => {}
    }
    let status = handset::status(phone)?;
    screen.line(&format!("{status}"));
    if status.status < 0 {
        bail!("the wallet is not usable: {status}; set NFCWALLET_LOG=info and try again to see why");
    }
    Ok(())
}

/// A stock that fell below the threshold is refilled before the phone's process ends.
fn stock_afterwards(phone: &Phone, screen: &Screen) -> Option<Stock> {
    let stock = handset::stock(phone).ok()?;
    if stock.usable >= stock.threshold || !handset::status(phone).is_ok_and(|status| status.status == 2) {
        return Some(stock);
    }
    match handset::wait_for_refill(phone) {
        Ok(refilled) => {
            screen.line(&format!("the stock fell to {} and was refilled", stock.usable));
            Some(refilled)
        }
        Err(error) => {
            screen.line(&format!("{}; the next tap tries again", with_causes(error.as_ref())));
            handset::stock(phone).ok()
        }
    }
}

/// The user's account after the tap, as the app asks its server.
#[derive(Debug, Clone, Copy)]
struct Account {
    /// What the tap took from it, in its own currency; `None` if it was not paid.
    charged: Option<Amount>,
    balance: Amount,
}

impl Account {
    fn ask(mpp: SocketAddr, user: &str, tap: &ProviderAnswer, runtime: &Runtime) -> Result<Self> {
        let handle = runtime.handle().clone();
        runtime.block_on(async {
            let app = HttpProxy::log_in(mpp, user, handle).await?;
            let charged = match &tap.payment_id {
                Some(id) => Some(amount_in(&app.ask(&format!("/payments/{id}")).await?, "charged")?),
                None => None,
            };
            Ok(Self { charged, balance: amount_in(&app.ask("/balance").await?, "balance")? })
        })
    }
}

fn amount_in(answer: &Value, name: &str) -> Result<Amount> {
    let text = |part| answer.get(name).and_then(|amount| amount.get(part)?.as_str()).unwrap_or_default();
    let minor = text("value").parse().with_context(|| format!("the app's server tells no {name}"))?;
    Ok(Amount::of_minor(minor, text("currency"))?)
}

fn tell(screen: &Screen, amount: Amount, tapped: &Tapped<'_>, account: Option<Account>) {
    let payment = &tapped.paid.payment;
    screen.line(&format!("{amount}: {}", payment.outcome));
    if let Some(verified) = payment.cda_verified {
        screen.fact(&format!("the card's signature (CDA) is {}, says the terminal", right_or_wrong(verified)));
    }
    if let Some(resisted) = payment.relay_resisted {
        screen.fact(&format!("the relay resistance data are {}, says the terminal", right_or_wrong(resisted)));
    }
    if tapped.has_missed_relay_exchange() {
        screen.fact("no relay exchange took place: the card does not offer it (`serve --card relay-resistance`)");
    }
    if let Some(verified) = payment.cryptogram_verified {
        let by_track = payment.trace.last().is_some_and(|exchange| exchange.name == "COMPUTE CRYPTOGRAPHIC CHECKSUM");
        let what = if by_track { "checksum" } else { "cryptogram" };
        screen.fact(&format!("the {what} is {}, says the issuer", right_or_wrong(verified)));
    }
    if let Some(reference) = payment.reference {
        screen.fact(&format!("reference {}", handset::reference_in_words(reference)));
    }
    if let Some(id) = payment.provider.as_ref().and_then(|provider| provider.payment_id.as_ref()) {
        screen.fact(&format!("paid by the payment provider as {id}"));
    }
    if let Some(charged) = account.and_then(|account| account.charged).filter(|charged| charged.code() != amount.code())
    {
        screen.fact(&format!("charged {charged}, by the gateway's rate"));
    }
    if let Some(authorisation) = payment.provider.as_ref().and_then(|provider| provider.authorisation.as_ref()) {
        screen.fact(&match payment.outcome.is_approved() {
            true => format!("authorisation {authorisation}, for reversals and refunds"),
            false => format!("nothing was paid; the gateway lists the attempt as {authorisation}"),
        });
    }
    if let Some(Account { balance, .. }) = account {
        screen.fact(&format!("balance {balance}"));
    }
    if let Some(code) = tapped.code_in_words() {
        screen.fact(&code);
    }
    if let Some(stock) = tapped.stock {
        screen.fact(&format!("{} credentials left", stock.usable));
    }
    if let Some(step) = tapped.next_step() {
        screen.fact(&step);
    }
}

fn right_or_wrong(verified: bool) -> &'static str {
    if verified { "right" } else { "wrong" }
}

fn as_json(amount: Amount, paid: &PhonePayment, stock: Option<Stock>, account: Option<Account>) -> Value {
    let payment = &paid.payment;
    let provider = payment.provider.as_ref();
    json!({
        "amount": amount.decimal(),
        "currency": amount.code(),
        "outcome": payment.outcome.name(),
        "code": paid.code,
        "cda_verified": payment.cda_verified,
        "relay_resisted": payment.relay_resisted,
        "cryptogram_verified": payment.cryptogram_verified,
        "reference": payment.reference.map(hex::encode_upper),
        "authorisation": provider.and_then(|provider| provider.authorisation.as_ref()),
        "payment_id": provider.and_then(|provider| provider.payment_id.as_ref()),
        "result_code": provider.map(|provider| provider.code.as_str()),
        "charged": account.and_then(|account| account.charged).map(Amount::decimal),
        "balance": account.map(|account| account.balance.decimal()),
        "account_currency": account.map(|account| account.balance.code()),
        "credentials_left": stock.map(|stock| stock.usable),
    })
}
