//! Users and their money.

use alipayplus::{Amount, ResultCode};

use super::world::{amount, eur, on_each};
use crate::accounts::{AccountError, Limits, NewUser, TopUp, UserStatus};

fn top_up(id: &str, amount: Amount) -> TopUp {
    TopUp { id: id.to_owned(), customer_id: "alice".to_owned(), amount }
}

#[test]
fn a_top_up_moves_money_once() {
    on_each(async |world| {
        assert_eq!(world.accounts.top_up(top_up("T1", eur(5))).await, Ok(eur(10_005)));
        assert_eq!(world.accounts.top_up(top_up("T1", eur(5))).await, Ok(eur(10_005)));
        assert_eq!(world.accounts.top_up(top_up("T1", eur(6))).await, Err(AccountError::TopUpDiffers));
    });
}

#[test]
fn what_an_account_cannot_take_is_refused() {
    on_each(async |world| {
        let top_up = async |amount| world.accounts.top_up(top_up("T1", amount)).await;
        assert_eq!(top_up(eur(0)).await, Err(AccountError::Amount));
        assert_eq!(top_up(eur(Amount::MAX)).await, Err(AccountError::Amount));
        let yen = amount(1, "JPY");
        assert_eq!(top_up(yen).await, Err(AccountError::Currency(yen.currency)));
        let of_nobody = TopUp { id: "T1".to_owned(), customer_id: "nobody".to_owned(), amount: eur(1) };
        assert_eq!(world.accounts.top_up(of_nobody).await, Err(AccountError::NoUser));
    });
}

#[test]
fn a_customer_id_is_taken_once() {
    on_each(async |world| {
        let user = |id: &str| NewUser {
            customer_id: id.to_owned(),
            currency: eur(0).currency,
            kyc: true,
            limits: Limits::default(),
        };
        assert_eq!(world.accounts.create(user("alice")).await, Err(AccountError::Taken));
        assert_eq!(world.accounts.create(user("")).await, Err(AccountError::Id));
        assert_eq!(world.accounts.create(user("a\0")).await, Err(AccountError::Id));
    });
}

#[test]
fn availability_says_why_not() {
    on_each(async |world| {
        let reason = async |id: &str| world.accounts.availability(id).await.unwrap().reason;
        assert_eq!(reason("alice").await, None);
        assert_eq!(reason("nobody").await, Some(ResultCode::UserNotExist));
        world.accounts.set_kyc("alice", false).await.unwrap();
        assert_eq!(reason("alice").await, Some(ResultCode::UserKycNotQualified));
        world.accounts.set_status("alice", UserStatus::Frozen).await.unwrap();
        assert_eq!(reason("alice").await, Some(ResultCode::UserStatusAbnormal));
        assert_eq!(world.accounts.set_status("nobody", UserStatus::Active).await, Err(AccountError::NoUser));
    });
}
