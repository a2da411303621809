//! `user`: what an operator does to accounts.

use std::fmt::Display;
use std::process::ExitCode;
use std::str::FromStr;

use alipayplus::{Amount, Currency};
use anyhow::{Context as _, bail};
use clap::Subcommand;
use mpp_server::accounts::{Accounts, Limits, NewUser, TopUp, User, UserStatus};
use mpp_server::app::passwords::Passwords;
use mpp_server::clock::SystemClock;
use mpp_server::default_limits;
use zeroize::Zeroizing;

use super::{ConfigFlags, block_on, is_there, open_store};

/// What `user` does.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user with an account in one currency
    Add {
        /// The customer id, 1 to 64 characters: what the app logs in with and the gateway pays from
        #[arg(value_parser = new_user)]
        user: String,
        /// The account's currency, three letters
        #[arg(long, value_name = "CODE", value_parser = currency)]
        currency: Currency,
        /// What is on the account, in whole units: 100.00
        #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
        balance: Option<Decimal>,
        /// Read the user's password from standard input, one line
        #[arg(long)]
        password_stdin: bool,
    },
    /// Show a user's account
    Show {
        /// The customer id
        user: String,
    },
    /// Put money on an account
    TopUp {
        /// The customer id
        user: String,
        /// In the account's currency, in whole units: 12.50
        #[arg(allow_hyphen_values = true)]
        amount: Decimal,
        /// A name for this top-up: done once, however often it is repeated
        #[arg(long)]
        id: Option<String>,
    },
    /// Set what a user may pay; a limit that is not named stays. [limits] of the configuration are for users to come
    Limits {
        /// The customer id
        user: String,
        /// By one payment, in whole units of the account's currency, or none
        #[arg(long, value_name = "AMOUNT|none", allow_hyphen_values = true)]
        payment: Option<Limit<Decimal>>,
        /// In a business day (UTC+8), in whole units, or none
        #[arg(long, value_name = "AMOUNT|none", allow_hyphen_values = true)]
        day: Option<Limit<Decimal>>,
        /// How many payments in a business day, or none
        #[arg(long, value_name = "COUNT|none")]
        day_count: Option<Limit<u32>>,
    },
    /// Set a user's password, read from standard input, one line
    Password {
        /// The customer id
        user: String,
    },
    /// Let an account pay nothing more; refunds still come in
    Freeze {
        /// The customer id
        user: String,
    },
    /// Let a frozen account pay again
    Unfreeze {
        /// The customer id
        user: String,
    },
}

/// Does it.
pub(crate) fn user(flags: &ConfigFlags, command: UserCommand) -> anyhow::Result<ExitCode> {
    let config = flags.load()?;
    if !matches!(command, UserCommand::Add { .. }) {
        is_there(&config)?;
    }
    let store = open_store(&config)?;
    let accounts = Accounts::new(store.clone(), std::sync::Arc::new(SystemClock));
    let passwords = Passwords::new(store);
    block_on(async {
        let user = match command {
            UserCommand::Add { user, currency, balance, password_stdin } => {
                let balance = balance.map(|balance| balance.amount(currency)).transpose()?;
                let password = password_stdin.then(read_password).transpose()?;
                let limits = default_limits(&config, currency.code());
                accounts.create(NewUser { customer_id: user.clone(), currency, kyc: true, limits }).await?;
                if let Some(amount) = balance.filter(|amount| amount.value > 0) {
                    accounts.top_up(TopUp { id: new_id()?, customer_id: user.clone(), amount }).await?;
                }
                match password {
                    Some(password) => passwords.set(&user, password).await?,
                    None => println!("no password yet: mpp-server user password {user}"),
                }
                user
            }
            UserCommand::Show { user } => user,
            UserCommand::TopUp { user, amount, id } => {
                let amount = amount.amount(found(&accounts, &user).await?.currency)?;
                let id = id.map_or_else(new_id, Ok)?;
                accounts.top_up(TopUp { id, customer_id: user.clone(), amount }).await?;
                user
            }
            UserCommand::Limits { user, payment, day, day_count } => {
                let currency = found(&accounts, &user).await?.currency;
                let minor = |limit: Limit<Decimal>| limit.map(|limit| Ok(limit.amount(currency)?.value));
                let payment = payment.map(minor).transpose()?;
                let day = day.map(minor).transpose()?;
                let day_count = day_count.map(|Limit(count)| count.map(u64::from));
                let change = move |limits: Limits| Limits {
                    payment: payment.unwrap_or(limits.payment),
                    day: day.unwrap_or(limits.day),
                    day_count: day_count.unwrap_or(limits.day_count),
                };
                accounts.change_limits(&user, change).await?;
                user
            }
            UserCommand::Password { user } => {
                found(&accounts, &user).await?;
                passwords.set(&user, read_password()?).await?;
                println!("the password is set, and earlier logins have ended");
                user
            }
            UserCommand::Freeze { user } => {
                accounts.set_status(&user, UserStatus::Frozen).await?;
                user
            }
            UserCommand::Unfreeze { user } => {
                accounts.set_status(&user, UserStatus::Active).await?;
                user
            }
        };
        show(&found(&accounts, &user).await?);
        Ok(ExitCode::SUCCESS)
    })?
}

async fn found(accounts: &Accounts, user: &str) -> anyhow::Result<User> {
    accounts.user(user).await?.context("no user has this customer id: mpp-server user add makes one")
}

fn show(user: &User) {
    println!("{} {} {}", user.customer_id, user.status.as_str(), user.balance());
    for (name, limit) in [("payment", user.limits.payment), ("day", user.limits.day)] {
        if let Some(limit) = limit {
            println!("limit of a {name}: {}", Amount::new(user.currency, limit));
        }
    }
    if let Some(count) = user.limits.day_count {
        println!("limit of a day: {count} payments");
    }
}

/// A slip of the hand would make a user whom nobody finds again.
fn new_user(id: &str) -> Result<String, &'static str> {
    let is_plain = !id.chars().any(|letter| letter.is_whitespace() || letter.is_control());
    let is_id = is_plain && (1..=64).contains(&id.chars().count());
    is_id.then(|| id.to_owned()).ok_or("no customer id; write 1 to 64 characters without white space")
}

fn currency(code: &str) -> Result<Currency, String> {
    Currency::from_code(code).ok_or_else(|| "no currency of ISO 4217; write three capitals, such as EUR".to_owned())
}

/// A limit, or the word `none`.
#[derive(Debug, Clone)]
pub(crate) struct Limit<T>(Option<T>);

impl<T> Limit<T> {
    fn map<U>(self, value: impl FnOnce(T) -> anyhow::Result<U>) -> anyhow::Result<Option<U>> {
        self.0.map(value).transpose()
    }
}

impl<T: FromStr<Err: Display>> FromStr for Limit<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        text.parse().map(|limit| Self(Some(limit))).map_err(|error| format!("{error}; or write none"))
    }
}

/// A number as people write amounts, before it is known of what currency.
#[derive(Debug, Clone)]
pub(crate) struct Decimal {
    whole: String,
    part: String,
}

impl FromStr for Decimal {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(part) || text.ends_with('.') {
            return Err("no amount; write whole units and a point, such as 12.50");
        }
        Ok(Self { whole: whole.to_owned(), part: part.to_owned() })
    }
}

impl Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { whole, part } = self;
        if part.is_empty() { write!(f, "{whole}") } else { write!(f, "{whole}.{part}") }
    }
}

impl Decimal {
    /// `12.50` of a currency with two digits is 1250.
    fn amount(&self, currency: Currency) -> anyhow::Result<Amount> {
        let Self { whole, part } = self;
        let digits = currency.exponent() as usize;
        if part.len() > digits {
            bail!("{self} is no amount of {}: it has at most {digits} digits after the point", currency.code());
        }
        let value = format!("{whole}{part:0<digits$}").parse().ok().filter(|value| *value <= Amount::MAX);
        Ok(Amount::new(currency, value.with_context(|| format!("{self} is more than an account can hold"))?))
    }
}

fn read_password() -> anyhow::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().read_line(&mut line).context("cannot read the password")?;
    let password = Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned());
    if password.is_empty() {
        bail!("the password is empty: write it to standard input, one line");
    }
    Ok(password)
}

fn new_id() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("the machine has no randomness")?;
    Ok(format!("cli-{}", hex::encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_units_become_the_currencys_smallest() {
        let minor = |text: &str, code: &str| {
            let number = text.parse::<Decimal>().map_err(anyhow::Error::msg)?;
            anyhow::Ok(number.amount(Currency::from_code(code).unwrap())?.value)
        };
        assert_eq!(minor("12.5", "EUR").unwrap(), 1250);
        assert_eq!(minor("12", "EUR").unwrap(), 1200);
        assert_eq!(minor("0", "EUR").unwrap(), 0);
        assert_eq!(minor("100", "JPY").unwrap(), 100);
        assert_eq!(minor("1.234", "BHD").unwrap(), 1234);
        for text in ["", ".5", "1.", "1.234", "-1", "1e3", "92233720368547758.08"] {
            assert!(minor(text, "EUR").is_err(), "{text}");
        }
        assert!(minor("1.0", "JPY").is_err());
    }
}
