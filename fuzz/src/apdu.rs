//! One command of any bytes, in each state: the header and the body are read as ISO 7816-4, 5.1, says,
//! and there is an answer.

use nfcwallet_core::card::apdu::{Command, StatusWord};

use crate::cards;
use crate::command::{self, Values};
use crate::conversation::Conversation;

const VALUES: Values = Values {
    amount: 1_234,
    other_amount: 0,
    currency: 978,
    country: 276,
    kind: 0,
    merchant_category: 5_411,
    risk: [0x44, 0, 0, 0],
    unpredictable_number: [1, 2, 3, 4],
    filler: 0,
};

pub(crate) fn run(input: &[u8]) {
    parse(input);
    // Nothing is signed, so that many commands can be tried.
    for commands in 0..=4 {
        let mut talk = Conversation::new(cards::unsigned(), Vec::new(), (1, 1));
        for apdu in whole_tap(&talk).iter().take(commands) {
            assert_eq!(talk.send(apdu), 0x9000);
        }
        talk.send(input);
    }
}

fn parse(input: &[u8]) {
    let command = match (Command::parse(input), input) {
        (Err(status), [] | [_] | [_, _] | [_, _, _]) => return assert_eq!(status, StatusWord::WRONG_LENGTH),
        (Ok(command), [cla, ins, p1, p2, ..]) => {
            assert_eq!([command.cla, command.ins, command.p1, command.p2], [*cla, *ins, *p1, *p2]);
            command
        }
        (command, _) => panic!("{:?} of {} bytes", command.err(), input.len()),
    };
    let body = &input[4..];
    let lc = body.first().copied().map_or(0, usize::from);
    let expected: Option<&[u8]> = match body.len() {
        0 | 1 => Some(&[]),
        length if lc > 0 && (length == lc + 1 || length == lc + 2) => Some(&body[1..=lc]),
        _ => None,
    };
    assert_eq!(command.data().ok(), expected);
    assert_eq!(command.expect_no_data().is_ok(), expected.is_some_and(<[u8]>::is_empty));
}

/// The commands of a tap, in their order.
fn whole_tap(talk: &Conversation) -> [Vec<u8>; 4] {
    let application = &talk.applications()[0];
    [
        command::select(command::PPSE, false),
        command::select(&application.aid, false),
        command::processing_options(&VALUES.fill(&application.pdol)),
        command::generate_ac(0x80, &VALUES.fill(application.cdol1.as_ref().unwrap())),
    ]
}
