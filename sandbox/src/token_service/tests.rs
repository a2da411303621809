//! The promises of the service at the level of operations.

use nfcwallet_core::host::RequestType;
use nfcwallet_core::token::Suspender;
use nfcwallet_core::token_service::operations::{
    Answer, Decision, MessageContent, Operation, Refusal, ServiceToken, UsageEntry, UsageOutcome,
};
use nfcwallet_core::wallet::RemoteConfig;
use serde_json::json;

use super::testing::{Phone, refusal, service};
use super::{AdminError, DecisionPolicy, Policy, ScheduledRefusal};

fn decision(phone: &Phone, application_id: &str) -> Decision {
    match phone.ask(&Operation::ApplicationStatus { application_id: application_id.to_owned() }) {
        Answer::Application { decision } => decision,
        other => panic!("{other:?}"),
    }
}

fn state(phone: &Phone) -> ServiceToken {
    match phone.ask(&Operation::TokenState {}) {
        Answer::State { token, .. } => token,
        other => panic!("{other:?}"),
    }
}

fn inbox(phone: &Phone) -> Vec<(String, MessageContent)> {
    match phone.ask(&Operation::FetchInbox {}) {
        Answer::Inbox { messages } => messages.into_iter().map(|message| (message.id, message.content)).collect(),
        other => panic!("{other:?}"),
    }
}

fn declined(code: &str) -> Refusal {
    Refusal::Declined { code: code.to_owned() }
}

#[test]
fn each_policy_decides_as_it_says() {
    let phone = Phone::new(&service(), 1, "ann");
    let cases = [
        (DecisionPolicy::Automatic, Decision::Approved {}),
        (DecisionPolicy::StepUp, Decision::StepUpRequired {}),
        (DecisionPolicy::Declined { code: "risk".into() }, Decision::Declined { code: "risk".into() }),
        (DecisionPolicy::Expired, Decision::Expired {}),
    ];
    for (policy, expected) in cases {
        phone.service.set_policy(Policy { decision: policy, ..Policy::default() });
        assert_eq!(decision(&phone, &phone.apply()), expected);
    }
}

#[test]
fn a_delayed_application_is_approved_after_its_polls() {
    let phone = Phone::new(&service(), 1, "ann");
    phone.service.set_policy(Policy { decision: DecisionPolicy::Delayed { polls: 2 }, ..Policy::default() });
    let application = phone.apply();
    let polls: Vec<_> = (0..4).map(|_| decision(&phone, &application)).collect();
    assert_eq!(polls, [Decision::Pending {}, Decision::Pending {}, Decision::Approved {}, Decision::Approved {}]);
}

#[test]
fn a_step_up_waits_until_it_is_decided() {
    let phone = Phone::new(&service(), 1, "ann");
    phone.service.set_policy(Policy { decision: DecisionPolicy::StepUp, ..Policy::default() });
    let application_id = phone.apply();
    let session_id = phone.session();
    let provision = Operation::Provision { application_id: application_id.clone(), session_id, count: 5 };
    assert_eq!(refusal(phone.ask(&provision)), declined("not_approved"));
    assert_eq!(phone.service.decide("bob", &Decision::Approved {}), Err(AdminError::NoApplication));
    phone.service.decide("ann", &Decision::Approved {}).unwrap();
    assert_eq!(decision(&phone, &application_id), Decision::Approved {});
}

#[test]
fn a_newer_application_replaces_the_one_that_waits() {
    let phone = Phone::new(&service(), 1, "ann");
    phone.service.set_policy(Policy { decision: DecisionPolicy::StepUp, ..Policy::default() });
    let (old, new) = (phone.apply(), phone.apply());
    assert_eq!(decision(&phone, &old), Decision::Expired {});
    assert_eq!(decision(&phone, &new), Decision::StepUpRequired {});
}

#[test]
fn an_unsafe_device_is_refused() {
    let phone = Phone::new(&service(), 1, "ann");
    let apply = Operation::Apply { fingerprint: "phone".into(), device_safe: false, silent: true };
    assert_eq!(refusal(phone.ask(&apply)), Refusal::DeviceUnsafe {});
    assert!(phone.service.state().unwrap().applications.is_empty());
}

#[test]
fn activation_leads_to_an_active_token_with_a_stock() {
    let phone = Phone::new(&service(), 1, "ann");
    assert_eq!(state(&phone), ServiceToken::None {});
    let (token_reference, credentials) = phone.provision();
    assert_eq!(credentials.iter().map(|credential| credential.atc).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let thirty_days = phone.service.clock().now_ms() + 30 * 86_400_000;
    assert!((thirty_days - credentials[0].expires_at_ms).abs() < 60_000);
    assert_eq!(state(&phone), ServiceToken::Inactive { token_reference: token_reference.clone() });
    let activate = Operation::Activate { token_reference: token_reference.clone() };
    assert_eq!(refusal(phone.ask(&activate)), declined("not_reported"));
    let report = Operation::ReportProvisioned { token_reference: token_reference.clone(), stored: true, refusal: None };
    phone.ask(&report);
    assert!(matches!(phone.ask(&activate), Answer::Activated {}));
    assert_eq!(state(&phone), ServiceToken::Active { token_reference, suspended_by: vec![] });
}

#[test]
fn session_and_activation_poll_as_often_as_the_policy_says() {
    let phone = Phone::new(&service(), 1, "ann");
    phone.service.set_policy(Policy { session_polls: 2, activation_polls: 1, ..Policy::default() });
    let application_id = phone.apply();
    for _ in 0..2 {
        assert!(matches!(phone.ask(&Operation::OpenSession {}), Answer::SessionPending {}));
    }
    let session_id = phone.session();
    let Answer::Provisioned { token_reference, .. } =
        phone.ask(&Operation::Provision { application_id, session_id, count: 1 })
    else {
        panic!("not provisioned")
    };
    phone.ask(&Operation::ReportProvisioned { token_reference: token_reference.clone(), stored: true, refusal: None });
    let activate = Operation::Activate { token_reference };
    assert!(matches!(phone.ask(&activate), Answer::ActivationPending {}));
    assert!(matches!(phone.ask(&activate), Answer::Activated {}));
}

#[test]
fn a_repeated_request_gets_the_same_answer_and_acts_once() {
    let phone = Phone::new(&service(), 1, "ann");
    let token_reference = phone.activate();
    let session_id = phone.session();
    let request = phone.request(&Operation::Replenish { token_reference, session_id, count: 5 });
    let first = serde_json::to_value(phone.service.answer(&request)).unwrap();
    let again = serde_json::to_value(phone.service.answer(&request)).unwrap();
    assert_eq!(first, again);
    assert_eq!(phone.service.state().unwrap().tokens[0].issued, 10);
    let mut other = phone.request(&Operation::TokenState {});
    other.request_id = request.request_id;
    assert_eq!(refusal(phone.service.answer(&other)), declined("request_id_reused"));
}

#[test]
fn a_refusal_is_judged_anew_when_the_request_is_repeated() {
    let phone = Phone::new(&service(), 1, "ann");
    let mut request = phone.request(&Operation::Apply { fingerprint: "f".into(), device_safe: true, silent: false });
    request.issued_at_ms -= 5 * 60 * 1_000 + 1_000;
    assert_eq!(refusal(phone.service.answer(&request)), Refusal::ClockSkew {});
    request.issued_at_ms += 2_000;
    assert!(matches!(phone.service.answer(&request), Answer::Applied { .. }));
}

#[test]
fn the_users_of_relay_and_wallet_must_agree() {
    let phone = Phone::new(&service(), 1, "ann");
    let mut request = phone.request(&Operation::TokenState {});
    request.relay_user = "bob".to_owned();
    assert_eq!(refusal(phone.service.answer(&request)), Refusal::WrongUser {});
}

#[test]
fn only_the_bound_key_speaks_for_an_instance() {
    let mut phone = Phone::new(&service(), 1, "ann");
    let first_apply = phone.request(&Operation::Apply { fingerprint: "f".into(), device_safe: true, silent: false });
    assert!(matches!(phone.service.answer(&first_apply), Answer::Applied { .. }));
    let old_key = std::mem::replace(&mut phone.key, vec![9; 65]);
    assert_eq!(refusal(phone.ask(&Operation::TokenState {})), Refusal::BadSignature {});
    phone.apply();
    assert_eq!(state(&phone), ServiceToken::None {});
    // The old key is out, also with its recorded application.
    assert_eq!(refusal(phone.service.answer(&first_apply)), Refusal::BadSignature {});
    phone.key = old_key;
    assert_eq!(refusal(phone.ask(&Operation::OpenSession {})), Refusal::BadSignature {});
}

#[test]
fn another_user_on_the_same_phone_neither_sees_nor_unbinds_the_first() {
    let service = service();
    let ann = Phone::new(&service, 1, "ann");
    let mut bob = Phone::new(&service, 1, "bob");
    let token_reference = ann.activate();
    bob.key = vec![8; 65];
    bob.apply();
    assert_eq!(state(&bob), ServiceToken::None {});
    assert_eq!(
        refusal(bob.ask(&Operation::Delete { token_reference: token_reference.clone() })),
        Refusal::UnknownToken {}
    );
    assert_eq!(state(&ann), ServiceToken::Active { token_reference, suspended_by: vec![] });
}

#[test]
fn an_unknown_or_misplaced_operation_is_refused() {
    let phone = Phone::new(&service(), 1, "ann");
    let mut request = phone.request(&Operation::TokenState {});
    request.payload = json!({"operation": "teleport"});
    assert_eq!(refusal(phone.service.answer(&request)), Refusal::UnknownOperation {});
    let mut misplaced = phone.request(&Operation::TokenState {});
    misplaced.kind = RequestType::Notify;
    assert_eq!(refusal(phone.service.answer(&misplaced)), Refusal::UnknownOperation {});
}

#[test]
fn activation_on_another_device_retires_the_old_token() {
    let service = service();
    let (old, new) = (Phone::new(&service, 1, "ann"), Phone::new(&service, 2, "ann"));
    let first = old.activate();
    let second = new.activate();
    assert_eq!(state(&old), ServiceToken::Deleted { token_reference: first.clone() });
    let messages = inbox(&old);
    assert_eq!(messages[0].1, MessageContent::Delete { token_reference: first.clone() });
    assert_eq!(state(&new), ServiceToken::Active { token_reference: second, suspended_by: vec![] });
    assert_eq!(inbox(&new), []);
    assert_eq!(refusal(old.replenish(&first, &old.session())), Refusal::UnknownToken {});
}

#[test]
fn a_suspended_token_gets_no_credentials() {
    let phone = Phone::new(&service(), 1, "ann");
    let token = phone.activate();
    let session = phone.session();
    phone.service.suspend(&token, Suspender::Scheme).unwrap();
    assert_eq!(refusal(phone.replenish(&token, &session)), Refusal::Suspended {});
    phone.service.resume(&token, Suspender::Scheme).unwrap();
    assert!(matches!(phone.replenish(&token, &session), Answer::Replenished { .. }));
}

#[test]
fn unlock_lifts_only_the_users_own_suspension() {
    let phone = Phone::new(&service(), 1, "ann");
    let token_reference = phone.activate();
    phone.service.suspend(&token_reference, Suspender::Issuer).unwrap();
    phone.ask(&Operation::Lock { token_reference: token_reference.clone() });
    let both = vec![Suspender::User, Suspender::Issuer];
    assert_eq!(state(&phone), ServiceToken::Active { token_reference: token_reference.clone(), suspended_by: both });
    let Answer::State { token, .. } = phone.ask(&Operation::Unlock { token_reference: token_reference.clone() }) else {
        panic!("no state")
    };
    assert_eq!(token, ServiceToken::Active { token_reference, suspended_by: vec![Suspender::Issuer] });
}

#[test]
fn a_session_expires_by_the_services_clock() {
    let phone = Phone::new(&service(), 1, "ann");
    let token = phone.activate();
    let session = phone.session();
    phone.service.clock().advance_ms(599_000);
    assert!(matches!(phone.replenish(&token, &session), Answer::Replenished { .. }));
    phone.service.clock().advance_ms(2_000);
    assert_eq!(refusal(phone.replenish(&token, &session)), Refusal::SessionRequired {});
    let stranger = Phone::new(&phone.service, 2, "ann");
    let elsewhere = stranger.activate();
    assert_eq!(refusal(stranger.replenish(&elsewhere, &phone.session())), Refusal::SessionRequired {});
}

#[test]
fn counters_never_repeat_and_end_at_65535() {
    let phone = Phone::new(&service(), 1, "ann");
    let token_reference = phone.activate();
    let session_id = phone.session();
    let replenish = |count| {
        phone.ask(&Operation::Replenish {
            token_reference: token_reference.clone(),
            session_id: session_id.clone(),
            count,
        })
    };
    assert_eq!(refusal(replenish(0)), declined("count_out_of_range"));
    assert_eq!(refusal(replenish(101)), declined("count_out_of_range"));
    let work = super::service::locked(&phone.service.store).begin().map(|work| {
        work.execute("UPDATE tokens SET next_atc=65534", []).unwrap();
        work.commit().unwrap();
    });
    work.unwrap();
    assert_eq!(refusal(replenish(3)), declined("atc_exhausted"));
    let Answer::Replenished { credentials } = replenish(2) else { panic!("refused") };
    assert_eq!(credentials.iter().map(|credential| credential.atc).collect::<Vec<_>>(), [65534, 65535]);
    assert_eq!(refusal(replenish(1)), declined("atc_exhausted"));
}

#[test]
fn usage_is_counted_and_used_wins() {
    let phone = Phone::new(&service(), 1, "ann");
    let token_reference = phone.activate();
    let report = |entries: &[(u16, UsageOutcome)]| {
        let entries = entries.iter().map(|(atc, outcome)| UsageEntry { atc: *atc, outcome: *outcome }).collect();
        phone.ask(&Operation::ReportUsage { token_reference: token_reference.clone(), entries })
    };
    report(&[(1, UsageOutcome::Used), (2, UsageOutcome::Discarded), (99, UsageOutcome::Used)]);
    report(&[(1, UsageOutcome::Discarded)]);
    let token = &phone.service.state().unwrap().tokens[0];
    assert_eq!((token.issued, token.used, token.discarded), (5, 1, 1));
    let outcomes: Vec<_> =
        phone.service.credentials(&token_reference).unwrap().into_iter().filter_map(|one| one.outcome).collect();
    assert_eq!(outcomes, ["used", "discarded"]);
}

#[test]
fn messages_stay_until_their_owner_acknowledges_them() {
    let service = service();
    let (ann, bob) = (Phone::new(&service, 1, "ann"), Phone::new(&service, 2, "bob"));
    let token_reference = ann.activate();
    bob.activate();
    service.push_replenish(&token_reference).unwrap();
    service.push_config(RemoteConfig::default()).unwrap();
    service.push_profile(&token_reference, None).unwrap();
    let ids: Vec<_> = inbox(&ann).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 3);
    bob.ask(&Operation::AcknowledgeInbox { ids: ids.clone() });
    assert_eq!(inbox(&ann).len(), 3);
    ann.ask(&Operation::AcknowledgeInbox { ids });
    assert_eq!(inbox(&ann), []);
    assert_eq!(inbox(&bob).len(), 1);
}

#[test]
fn a_deleted_token_stays_deleted() {
    let phone = Phone::new(&service(), 1, "ann");
    let token_reference = phone.activate();
    let delete = Operation::Delete { token_reference: token_reference.clone() };
    for _ in 0..2 {
        let Answer::State { token, .. } = phone.ask(&delete) else { panic!("no state") };
        assert_eq!(token, ServiceToken::Deleted { token_reference: token_reference.clone() });
    }
    assert_eq!(
        refusal(phone.ask(&Operation::Activate { token_reference: token_reference.clone() })),
        Refusal::UnknownToken {}
    );
    assert_eq!(phone.service.suspend(&token_reference, Suspender::Issuer), Err(AdminError::UnknownToken));
}

#[test]
fn a_refused_profile_ends_its_application() {
    let phone = Phone::new(&service(), 1, "ann");
    let (token_reference, _) = phone.provision();
    let refusal = Some("records: sfi 1".to_owned());
    phone.ask(&Operation::ReportProvisioned { token_reference: token_reference.clone(), stored: false, refusal });
    assert_eq!(state(&phone), ServiceToken::Deleted { token_reference });
    assert_eq!(phone.service.state().unwrap().applications[0].state, "declined");
}

#[test]
fn a_scheduled_refusal_strikes_as_often_as_it_says() {
    let phone = Phone::new(&service(), 1, "ann");
    let limited = Refusal::RateLimited { retry_after_ms: 250 };
    let scheduled = ScheduledRefusal { operation: "token_state".into(), times: 2, refusal: limited.clone() };
    phone.service.schedule_refusal(scheduled);
    assert_eq!(inbox(&phone), []);
    assert_eq!(refusal(phone.ask(&Operation::TokenState {})), limited);
    assert_eq!(refusal(phone.ask(&Operation::TokenState {})), limited);
    assert_eq!(state(&phone), ServiceToken::None {});
    assert_eq!(phone.service.operations_seen().get("token_state"), Some(&3));
}

#[test]
fn a_provision_asked_under_a_new_id_gives_the_same_token_and_fresh_counters() {
    let phone = Phone::new(&service(), 1, "ann");
    let application_id = phone.apply();
    let session_id = phone.session();
    let provision = Operation::Provision { application_id, session_id, count: 2 };
    let given: Vec<_> = (0..2)
        .map(|_| match phone.ask(&provision) {
            Answer::Provisioned { token_reference, credentials, .. } => {
                (token_reference, credentials.iter().map(|credential| credential.atc).collect::<Vec<_>>())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(given[0].0, given[1].0);
    assert_eq!((&given[0].1, &given[1].1), (&vec![1, 2], &vec![3, 4]));
}

#[test]
fn the_state_survives_a_restart_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("service.db");
    let open = || {
        let issuer = std::sync::Arc::new(super::testing::PlainIssuer);
        std::sync::Arc::new(super::TokenService::open(issuer, Some(&file)).unwrap())
    };
    let token_reference = Phone::new(&open(), 1, "ann").activate();
    let state = open().state().unwrap();
    assert_eq!(state.tokens[0].token_reference, token_reference);
    assert_eq!(state.tokens[0].state, "active");
}
