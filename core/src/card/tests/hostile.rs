//! Any bytes in any order: a status word comes back, and no tap decides twice (the recorder checks).

use proptest::prelude::*;

use super::*;

/// Commands of a tap, damaged ones, and noise.
fn command() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<Vec<u8>> = [
        PPSE,
        SELECT,
        GPO,
        READ,
        ARQC,
        GET_ATC,
        "80A80000 02 8300 00",
        "00A40402 05 A000000004",
        "00A40400 0E 315041592E5359532E4444463031",
        CHECKSUM,
        EXCHANGE,
        "80CA 9F7D 00",
        "80AE1000 00",
    ]
    .into_iter()
    .map(hex)
    .collect();
    let cut = (prop::sample::select(known.clone()), any::<prop::sample::Index>())
        .prop_map(|(apdu, at)| apdu[..at.index(apdu.len() + 1)].to_vec());
    let flipped = (prop::sample::select(known.clone()), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(mut apdu, at, bits)| {
            let at = at.index(apdu.len());
            apdu[at] ^= bits;
            apdu
        },
    );
    prop_oneof![
        6 => prop::sample::select(known),
        1 => cut,
        2 => flipped,
        1 => prop::collection::vec(any::<u8>(), 0..300),
    ]
}

/// Single commands, and runs that reach a cryptogram, in any mixture.
fn conversation() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let run = prop::sample::select(vec![ARQC, CHECKSUM]);
    let run = run.prop_map(|last| [SELECT, GPO, EXCHANGE, last].map(hex).to_vec());
    let step = prop_oneof![3 => command().prop_map(|apdu| vec![apdu]), 1 => run];
    prop::collection::vec(step, 0..16).prop_map(|steps| steps.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_commands_is_answered_and_no_tap_decides_twice(
        commands in conversation(),
        approve in any::<bool>(),
        lost_at in prop::option::of(0usize..24),
    ) {
        let plan = if approve { Plan::Approve } else { Plan::Decline { see_phone: true } };
        let mut talk = Conversation::full(plan);
        for (index, apdu) in commands.iter().enumerate() {
            if lost_at == Some(index) {
                talk.card.reset();
            }
            let answer = talk.send_bytes(apdu);
            let status = status_of(&answer);
            prop_assert!(status == 0x9000 || answer.len() == 2);
            prop_assert!(matches!(status, 0x9000 | 0x6700 | 0x6985 | 0x6A80..=0x6A88 | 0x6D00 | 0x6E00), "{:04X}", status);
            prop_assert!(answer.len() <= 256);
        }
        prop_assert!(talk.hooks.requests.len() + talk.hooks.errors.len() <= talk.hooks.begun);
    }

    #[test]
    fn any_bytes_in_any_state_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for stage in [Stage::Idle, Stage::Ppse, Stage::Selected, Stage::Initiated] {
            let mut talk = Conversation::full(Plan::Approve);
            talk.advance(stage);
            status_of(&talk.send_bytes(&bytes));
        }
    }

    #[test]
    fn any_data_of_the_right_length_is_answered(data in prop::collection::vec(any::<u8>(), 45), p1 in any::<u8>()) {
        let mut talk = Conversation::new(Plan::Approve);
        talk.advance(Stage::Initiated);
        let status = status_of(&talk.send_bytes(&generate_ac(p1, &data)));
        prop_assert!(matches!(status, 0x9000 | 0x6A80 | 0x6A86));
    }
}

proptest! {
    #[test]
    fn any_checksum_data_of_the_right_length_are_answered(data in prop::collection::vec(any::<u8>(), 15)) {
        let mut talk = Conversation::full(Plan::Approve);
        talk.advance(Stage::Initiated);
        let status = status_of(&talk.send_bytes(&[&hex("802A8E80 0F")[..], &data].concat()));
        prop_assert!(matches!(status, 0x9000 | 0x6A80));
    }
}

#[test]
fn a_generator_that_repeats_itself_cannot_hang_the_signature() {
    struct Stuck(Recorder, u8);
    impl TapHooks for Stuck {
        fn begin(&mut self) -> Option<Arc<Card>> {
            self.0.begin()
        }
        fn decide(&mut self, request: &CryptogramRequest) -> CryptogramDecision {
            self.0.decide(request)
        }
        fn is_burnt(&mut self) -> bool {
            self.0.is_burnt()
        }
        fn protocol_error(&mut self, status_word: u16) {
            self.0.protocol_error(status_word);
        }
        fn fill_random(&mut self, bytes: &mut [u8]) {
            bytes.fill(self.1);
        }
    }
    for byte in [0x00, 0xFF] {
        let mut card = CardApplication::new();
        let mut hooks = Stuck(Recorder::new(Plan::Approve), byte);
        let answers = [SELECT, GPO, ARQC].map(|apdu| status_of(&card.process(&hex(apdu), &mut hooks)));
        assert_eq!(answers, [0x9000; 3]);
    }
}
