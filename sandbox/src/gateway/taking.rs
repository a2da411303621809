//! Taking an event: the row that fits, the calls that it asks for, and the sums that it moves, in one step.

use alipayplus::model::Quote;
use alipayplus::{Amount, ResultCode};

use super::books::{Account, NewCall, Work};
use super::conversion::{Ask, Case, Plan, plan};
use super::events::{Authorisation, Expiry, SchemeEvent, SchemeId};
use super::requests::{self, GiveBack};
use super::{CallKind, Gateway, GatewayConfig, GatewayError, Payment, PaymentState, RowId, Standing, Trigger, fx};

impl Gateway {
    /// Takes an event of the scheme; the calls that it asks for are made by [`Gateway::work`]. The row of
    /// the table says what it came to. The same event again changes nothing; its time may differ, for
    /// whoever asks again asks later.
    ///
    /// # Errors
    /// [`GatewayError::Changed`] if the event, or its authorisation, was seen with another content;
    /// [`GatewayError::Amount`]; [`GatewayError::Conversion`]; [`GatewayError::Books`].
    pub fn take(&self, event: &SchemeEvent) -> Result<RowId, GatewayError> {
        event.check()?;
        let now_ms = self.clock.wall_ms();
        let row = self.books.write(|work| {
            let taking = Taking { work, config: &self.config, now_ms };
            // Time came first, whether or not anybody has looked at the clock since.
            if let Some(auth_id) = event.auth_id() {
                taking.lapse(Some(auth_id))?;
            }
            taking.take(event)
        })?;
        self.changed.notify_waiters();
        Ok(row)
    }
}

impl Gateway {
    /// Takes `event` as [`Gateway::take`] does, if `check` allows it for its payment as that then stands.
    /// An event that was seen is not checked again, and its time may differ: whoever asks again asks later.
    ///
    /// # Errors
    /// As [`Gateway::take`].
    pub(super) fn take_if<E>(
        &self,
        event: &SchemeEvent,
        check: impl FnOnce(Option<&Payment>) -> Result<(), E>,
    ) -> Result<Result<RowId, E>, GatewayError> {
        event.check()?;
        let now_ms = self.clock.wall_ms();
        let row = self.books.write(|work| {
            let taking = Taking { work, config: &self.config, now_ms };
            match work.event(event.id())? {
                Some((seen, row)) if seen.is_same_but_for_time(event) => return Ok(Ok(row)),
                Some(_) => return Err(GatewayError::Changed { id: event.id().clone() }),
                None => taking.lapse(event.auth_id())?,
            }
            let payment = event.auth_id().map(|auth_id| work.payment(auth_id)).transpose()?.flatten();
            match check(payment.as_ref()) {
                Ok(()) => taking.convert(event).map(Ok),
                Err(refused) => Ok(Err(refused)),
            }
        })?;
        self.changed.notify_waiters();
        Ok(row)
    }
}

/// One event, or one result, in one transaction.
pub(super) struct Taking<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) config: &'a GatewayConfig,
    pub(super) now_ms: i64,
}

/// What a plan is carried out for.
struct Cause<'a> {
    id: &'a SchemeId,
    row: RowId,
    user: Option<&'a str>,
    /// The event's own, or the payment's.
    currency: alipayplus::Currency,
}

impl Taking<'_> {
    pub(super) fn take(&self, event: &SchemeEvent) -> Result<RowId, GatewayError> {
        match self.work.event(event.id())? {
            Some((seen, row)) if seen.is_same_but_for_time(event) => Ok(row),
            Some(_) => Err(GatewayError::Changed { id: event.id().clone() }),
            None => self.convert(event),
        }
    }

    /// Lets authorisations expire that nobody cleared in time; with `auth_id` only this one.
    pub(super) fn lapse(&self, auth_id: Option<&SchemeId>) -> Result<(), GatewayError> {
        let lapsed = self.work.lapsed(self.now_ms)?;
        lapsed.iter().filter(|payment| auth_id.is_none_or(|auth_id| *auth_id == payment.auth_id)).try_for_each(
            |payment| {
                let id = SchemeId::own("expiry", &payment.auth_id);
                let expiry = Expiry { id, auth_id: payment.auth_id.clone(), time_ms: payment.lapses_at_ms };
                self.take(&SchemeEvent::Expiry(expiry)).map(drop)
            },
        )
    }

    /// Converts a new event, or one that was kept.
    fn convert(&self, event: &SchemeEvent) -> Result<RowId, GatewayError> {
        let payment = match event.auth_id() {
            Some(auth_id) => self.work.payment(auth_id)?,
            None => None,
        };
        if let SchemeEvent::Authorisation(asked) = event {
            self.check_same(asked)?;
        }
        let case = self.case(event, payment.as_ref())?;
        let plan = plan(&case).ok_or(GatewayError::NoRow)?;
        self.work.put_event(event, plan.row, plan.kept)?;
        match event {
            SchemeEvent::Authorisation(asked) => self.begin(asked, &plan)?,
            _ => self.carry_out(event, payment, &plan)?,
        }
        Ok(plan.row)
    }

    /// That an authorisation with a new event id asks for what it asked before.
    fn check_same(&self, asked: &Authorisation) -> Result<(), GatewayError> {
        let Some(before) = self.work.authorisation(&asked.auth_id)? else { return Ok(()) };
        match (Authorisation { id: asked.id.clone(), ..before }) == *asked {
            true => Ok(()),
            false => Err(GatewayError::Changed { id: asked.id.clone() }),
        }
    }

    fn case(&self, event: &SchemeEvent, payment: Option<&Payment>) -> Result<Case, GatewayError> {
        let overtaken = match event {
            SchemeEvent::Authorisation(asked) => self.is_overtaken(asked)?,
            _ => false,
        };
        let other_currency = match (event.amount(), payment) {
            (Some(amount), Some(payment)) => amount.currency != payment.currency,
            _ => false,
        };
        Ok(Case {
            trigger: trigger(event),
            time_ms: event.time_ms(),
            standing: payment.map(|payment| payment.standing),
            overtaken,
            other_currency,
            config: self.config.conversion,
        })
    }

    /// A whole reversal or an expiry of it was kept.
    fn is_overtaken(&self, asked: &Authorisation) -> Result<bool, GatewayError> {
        let whole = |part: Option<Amount>| {
            part.is_none_or(|part| part.currency == asked.amount.currency && part.value >= asked.amount.value)
        };
        Ok(self.work.kept_events(&asked.auth_id)?.iter().any(|event| match event {
            SchemeEvent::Expiry(_) => true,
            SchemeEvent::Reversal(reversal) => whole(reversal.part),
            _ => false,
        }))
    }

    /// A new authorisation: `pay`, or declined at once.
    fn begin(&self, asked: &Authorisation, plan: &Plan) -> Result<(), GatewayError> {
        let state = match plan.row {
            RowId::A1 => PaymentState::Pending,
            RowId::A2 => PaymentState::Declined,
            _ => return Ok(()),
        };
        let quote = self.config.rates.quote(asked.amount.currency);
        let mut payment = self.payment(&asked.auth_id, asked, asked.amount, quote.cloned())?;
        payment.standing.state = state;
        if state == PaymentState::Declined {
            payment.code = Some(ResultCode::OrderIsClosed.as_str().to_owned());
            self.work.put_payment(&payment)?;
            return self.take_kept(&asked.auth_id);
        }
        self.work.put_payment(&payment)?;
        self.call_pay(asked, &payment, plan.row)
    }

    fn payment(
        &self,
        auth_id: &SchemeId,
        asked: &Authorisation,
        amount: Amount,
        quote: Option<Quote>,
    ) -> Result<Payment, GatewayError> {
        let beyond = *auth_id != asked.auth_id;
        let authorised_at_ms = if beyond { self.now_ms } else { asked.time_ms };
        Ok(Payment {
            auth_id: auth_id.clone(),
            request_id: SchemeId::payment_request(auth_id.as_str()),
            user: asked.user.clone(),
            currency: amount.currency,
            pay_to: fx::pay_to(amount, quote.as_ref())?,
            quote,
            expires_at_ms: self.now_ms.saturating_add(self.config.payment_expiry_ms),
            lapses_at_ms: self.config.conversion.expires_at_ms(authorised_at_ms),
            standing: Standing {
                state: PaymentState::Pending,
                beyond,
                taken: false,
                amount: amount.value,
                held: 0,
                cleared: 0,
                refunded: 0,
                authorised_at_ms,
            },
            approved: false,
            refunded_to: 0,
            payment_id: None,
            code: None,
        })
    }

    fn call_pay(&self, asked: &Authorisation, payment: &Payment, row: RowId) -> Result<(), GatewayError> {
        let request = requests::pay(self.config, asked, payment)?;
        self.call(CallKind::Pay, &payment.request_id, Some(&payment.auth_id), row, payment.amount(), request)
    }

    /// Any other event of the scheme.
    fn carry_out(&self, event: &SchemeEvent, payment: Option<Payment>, plan: &Plan) -> Result<(), GatewayError> {
        let user = match event {
            SchemeEvent::Refund(refund) => Some(refund.user.as_str()),
            _ => None,
        };
        let named = event.amount().map(|amount| amount.currency);
        let Some(currency) = named.or(payment.as_ref().map(|payment| payment.currency)) else { return Ok(()) };
        let cause = Cause { id: event.id(), row: plan.row, user, currency };
        let (id, moved) = (event.id().as_str(), plan.moved);
        self.work.post(id, Account::Held, Account::Owed, currency, moved.released)?;
        self.work.post(id, Account::Held, Account::Scheme, currency, moved.cleared)?;
        self.work.post(id, Account::Shortfall, Account::Scheme, currency, moved.over)?;
        self.work.post(id, Account::Scheme, Account::Owed, currency, moved.given)?;
        self.follow(&cause, payment, plan)
    }

    /// What became known of a payment: the row that fits, and what follows from it.
    pub(super) fn learn(&self, auth_id: &SchemeId, trigger: Trigger) -> Result<(), GatewayError> {
        let Some(payment) = self.work.payment(auth_id)? else { return Ok(()) };
        let case = Case {
            trigger,
            time_ms: self.now_ms,
            standing: Some(payment.standing),
            overtaken: false,
            other_currency: false,
            config: self.config.conversion,
        };
        let plan = plan(&case).ok_or(GatewayError::NoRow)?;
        self.post_result(&payment, trigger)?;
        let id = SchemeId::own("late", auth_id);
        let cause = Cause { id: &id, row: plan.row, user: None, currency: payment.currency };
        self.follow(&cause, Some(payment), &plan)
    }

    /// What a result moves: money that the provider took or gave back.
    fn post_result(&self, payment: &Payment, trigger: Trigger) -> Result<(), GatewayError> {
        let (standing, id) = (&payment.standing, payment.request_id.as_str());
        let against = match standing.state {
            PaymentState::Pending if standing.beyond => Account::Shortfall,
            PaymentState::Pending => Account::Held,
            _ => Account::Owed,
        };
        let post = |debit, credit| self.work.post(id, debit, credit, payment.currency, standing.amount);
        match trigger {
            // After a cancel that succeeded, nothing is with the provider, whatever it took before.
            Trigger::PaySucceeded if standing.state == PaymentState::Cancelled => Ok(()),
            Trigger::PaySucceeded if !standing.taken => post(Account::Provider, against),
            Trigger::CancelSucceeded if standing.taken => post(Account::Owed, Account::Provider),
            _ => Ok(()),
        }
    }

    /// Writes down the calls and how the payment stands afterwards.
    fn follow(&self, cause: &Cause<'_>, payment: Option<Payment>, plan: &Plan) -> Result<(), GatewayError> {
        let Some(mut payment) = payment else {
            return plan.asks.iter().try_for_each(|ask| self.call_adjust(cause, None, *ask));
        };
        let before = payment.standing;
        if let Some(standing) = plan.standing {
            payment.standing = standing;
        }
        payment.approved |= plan.row == RowId::P1 && !before.beyond;
        for ask in &plan.asks {
            match ask.call {
                CallKind::Pay => self.call_beyond(cause, &payment, ask.minor)?,
                CallKind::Cancel | CallKind::Inquiry => self.call_reference(cause.row, &payment, ask.call)?,
                CallKind::Refund => self.call_refund(cause, &mut payment, ask.minor)?,
                CallKind::AdjustExceed | CallKind::AdjustUnlinked => self.call_adjust(cause, Some(&payment), *ask)?,
            }
        }
        self.work.put_payment(&payment)?;
        let settled = before.state != payment.standing.state;
        if settled && payment.standing.state != PaymentState::Reclaiming {
            self.work.stop_asking(&payment.auth_id)?;
        }
        if settled && before.state == PaymentState::Pending {
            self.take_kept(&payment.auth_id)?;
        }
        Ok(())
    }

    /// Converts what was kept for the authorisation.
    fn take_kept(&self, auth_id: &SchemeId) -> Result<(), GatewayError> {
        let kept = self.work.kept_events(auth_id)?;
        kept.iter().try_for_each(|event| self.convert(event).map(drop))
    }

    /// Asks for what was cleared beyond an authorisation: a payment of its own, by the same rate.
    fn call_beyond(&self, cause: &Cause<'_>, payment: &Payment, minor: u64) -> Result<(), GatewayError> {
        let asked = self.work.authorisation(&payment.auth_id)?;
        let asked = asked.ok_or(GatewayError::Damaged { what: "a payment without authorisation" })?;
        let auth_id = SchemeId::beyond(cause.id);
        let beyond = self.payment(&auth_id, &asked, Amount::new(payment.currency, minor), payment.quote.clone())?;
        self.work.put_payment(&beyond)?;
        self.call_pay(&asked, &beyond, cause.row)
    }

    /// Cancels, or inquires.
    pub(super) fn call_reference(&self, row: RowId, payment: &Payment, kind: CallKind) -> Result<(), GatewayError> {
        let request = match kind {
            CallKind::Inquiry => requests::inquiry(self.config, payment)?,
            _ => requests::cancel(self.config, payment)?,
        };
        let nothing = Amount::new(payment.currency, 0);
        self.call(kind, &payment.request_id, Some(&payment.auth_id), row, nothing, request)
    }

    fn call_refund(&self, cause: &Cause<'_>, payment: &mut Payment, minor: u64) -> Result<(), GatewayError> {
        let amount = Amount::new(payment.currency, minor);
        let from = fx::part_of(payment)?;
        if from.value == 0 {
            // By rounding the user has all of it back already; a refund of nothing cannot be asked for.
            return self.work.post(cause.id.as_str(), Account::Owed, Account::Provider, amount.currency, minor);
        }
        payment.refunded_to = payment.refunded_to.saturating_add(from.value);
        let back = GiveBack {
            kind: CallKind::Refund,
            request_id: &format!("refund-{}", cause.id),
            amount,
            from,
            quote: payment.quote.as_ref(),
            user: &payment.user,
        };
        let request = requests::refund(self.config, &back, payment)?;
        self.call(back.kind, back.request_id, Some(&payment.auth_id), cause.row, amount, request)
    }

    fn call_adjust(&self, cause: &Cause<'_>, payment: Option<&Payment>, ask: Ask) -> Result<(), GatewayError> {
        let amount = Amount::new(cause.currency, ask.minor);
        let kept = payment.filter(|payment| payment.currency == cause.currency);
        let quote = match kept {
            Some(payment) => payment.quote.as_ref(),
            None => self.config.rates.quote(cause.currency),
        };
        let user = payment.map(|payment| payment.user.as_str()).or(cause.user).unwrap_or_default();
        let back = GiveBack {
            kind: ask.call,
            request_id: &format!("adjust-{}", cause.id),
            amount,
            from: fx::pay_to(amount, quote)?,
            quote,
            user,
        };
        let request = requests::adjust(self.config, &back, payment)?;
        let auth_id = payment.map(|payment| &payment.auth_id);
        self.call(back.kind, back.request_id, auth_id, cause.row, amount, request)
    }

    fn call(
        &self,
        kind: CallKind,
        request_id: &str,
        auth_id: Option<&SchemeId>,
        row: RowId,
        amount: Amount,
        request: String,
    ) -> Result<(), GatewayError> {
        self.work.put_call(NewCall { kind, request_id, auth_id, row, amount, request, at_ms: self.now_ms })
    }
}

fn trigger(event: &SchemeEvent) -> Trigger {
    match event {
        SchemeEvent::Authorisation(_) => Trigger::Authorisation,
        SchemeEvent::Reversal(event) => Trigger::Reversal { part: event.part.map(|part| part.value) },
        SchemeEvent::Clearing(event) => Trigger::Clearing { minor: event.amount.value, last: event.last },
        SchemeEvent::Expiry(_) => Trigger::Expiry,
        SchemeEvent::Refund(event) => Trigger::Refund { minor: event.amount.value },
    }
}
