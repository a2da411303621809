//! `user`: what an operator does to accounts.

use std::process::ExitCode;

use alipayplus::{Amount, Currency};
use anyhow::{Context as _, bail};
use clap::Subcommand;
use mpp_server::accounts::{Accounts, NewUser, TopUp, User, UserStatus};
use mpp_server::app::passwords::Passwords;
use mpp_server::clock::SystemClock;
use mpp_server::default_limits;
use zeroize::Zeroizing;

use super::{ConfigFlags, block_on, open_store};

/// What `user` does.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user with an account in one currency
    Add {
        /// The customer id, 1 to 64 characters: what the app logs in with and the gateway pays from
        user: String,
        /// The account's currency, three letters
        #[arg(long, value_name = "CODE")]
        currency: String,
        /// What is on the account, in whole units: 100.00
        #[arg(long, value_name = "AMOUNT")]
        balance: Option<String>,
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
        amount: String,
        /// A name for this top-up: done once, however often it is repeated
        #[arg(long)]
        id: Option<String>,
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
    let store = open_store(&config)?;
    let accounts = Accounts::new(store.clone(), std::sync::Arc::new(SystemClock));
    let passwords = Passwords::new(store);
    block_on(async {
        match command {
            UserCommand::Add { user, currency, balance, password_stdin } => {
                let code = currency;
                let currency =
                    Currency::from_code(&code).with_context(|| format!("{code} is no currency of ISO 4217"))?;
                let balance = balance.map(|text| amount(&text, currency)).transpose()?;
                let password = password_stdin.then(read_password).transpose()?;
                let limits = default_limits(&config, currency.code());
                accounts.create(NewUser { customer_id: user.clone(), currency, kyc: true, limits }).await?;
                if let Some(amount) = balance {
                    accounts.top_up(TopUp { id: new_id()?, customer_id: user.clone(), amount }).await?;
                }
                match password {
                    Some(password) => passwords.set(&user, password).await?,
                    None => println!("no password yet: mpp-server user password {user}"),
                }
                show(&found(&accounts, &user).await?);
            }
            UserCommand::Show { user } => show(&found(&accounts, &user).await?),
            UserCommand::TopUp { user, amount: text, id } => {
                let account = found(&accounts, &user).await?;
                let amount = amount(&text, account.currency)?;
                let id = id.map_or_else(new_id, Ok)?;
                let balance = accounts.top_up(TopUp { id, customer_id: user, amount }).await?;
                println!("{balance}");
            }
            UserCommand::Password { user } => {
                found(&accounts, &user).await?;
                passwords.set(&user, read_password()?).await?;
                println!("set");
            }
            UserCommand::Freeze { user } => accounts.set_status(&user, UserStatus::Frozen).await?,
            UserCommand::Unfreeze { user } => accounts.set_status(&user, UserStatus::Active).await?,
        }
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

/// `12.50` of a currency with two digits.
fn amount(text: &str, currency: Currency) -> anyhow::Result<Amount> {
    let digits = currency.exponent() as usize;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(part) || part.len() > digits || text.ends_with('.') {
        bail!("{text} is no amount: write whole units with at most {digits} digits after the point");
    }
    let minor = format!("{whole}{part:0<digits$}");
    let value = minor.parse().ok().filter(|value| (1..=Amount::MAX).contains(value));
    Ok(Amount::new(currency, value.with_context(|| format!("{text} is 0, or more than an account can hold"))?))
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
        let minor =
            |text: &str, code: &str| amount(text, Currency::from_code(code).unwrap()).map(|amount| amount.value);
        assert_eq!(minor("12.5", "EUR").unwrap(), 1250);
        assert_eq!(minor("12", "EUR").unwrap(), 1200);
        assert_eq!(minor("100", "JPY").unwrap(), 100);
        assert_eq!(minor("1.234", "BHD").unwrap(), 1234);
        for text in ["", ".5", "1.", "1.234", "-1", "1e3", "0", "0.00", "92233720368547758.08"] {
            assert!(minor(text, "EUR").is_err(), "{text}");
        }
        assert!(minor("1.0", "JPY").is_err());
    }
}
