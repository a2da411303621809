//! A terminal's conversation with the card application, judged command by command.

use nfcwallet_core::card::CardApplication;

use crate::answer;
use crate::cards::TestCard;
use crate::facts::ApplicationFacts;
use crate::model::{Content, Expected, Model};
use crate::script::{Event, Plan, Script};

/// The largest answer: 254 bytes and the status word.
const MAX_ANSWER: usize = 256;

pub(crate) struct Conversation {
    card: CardApplication,
    script: Script,
    model: Model,
    /// In the tap that began last.
    cryptograms: usize,
}

impl Conversation {
    /// `plans`: what becomes of the taps, in turn. `random`: the first random byte and the step to the
    /// next.
    pub(crate) fn new(card: TestCard, plans: Vec<Plan>, random: (u8, u8)) -> Self {
        Self {
            card: CardApplication::new(),
            script: Script::new(card.card, plans, random),
            model: Model::new(card.facts),
            cryptograms: 0,
        }
    }

    /// The application that is selected, or the first.
    pub(crate) fn application(&self) -> &ApplicationFacts {
        self.model.selected().unwrap_or(&self.model.facts.applications[0])
    }

    pub(crate) fn applications(&self) -> &[ApplicationFacts] {
        &self.model.facts.applications
    }

    pub(crate) fn field_lost(&mut self) {
        self.card.reset();
        self.model.field_lost();
    }

    /// Sends a command and judges all that happens; answers the status word.
    pub(crate) fn send(&mut self, apdu: &[u8]) -> u16 {
        let taps = self.script.taps();
        let expected = self.model.expect(apdu, self.script.next_plan());
        let answer = self.card.process(apdu, &mut self.script);
        assert!(answer.len() <= MAX_ANSWER, "an answer of {} bytes", answer.len());
        let (data, status) = answer.split_last_chunk::<2>().expect("an answer ends with a status word");
        let status = u16::from_be_bytes(*status);
        assert_eq!(status, expected.status, "{status:04X} instead of {:04X}", expected.status);
        self.check_events(&expected);
        answer::check(&self.model.facts, &expected.content, data, &self.script);
        if self.script.taps() != taps {
            self.cryptograms = 0;
        }
        self.cryptograms += usize::from(matches!(expected.content, Content::Cryptogram(_)));
        assert!(self.cryptograms <= 1, "a second cryptogram in one tap");
        status
    }

    /// The wallet was asked what it must be asked, and nothing else.
    fn check_events(&mut self, expected: &Expected) {
        let (mut began, mut decided, mut errors) = (0, 0, Vec::new());
        for event in self.script.events.drain(..) {
            match event {
                Event::Began => began += 1,
                Event::ProtocolError(status) => errors.push(status),
                Event::Decided(request) => {
                    decided += 1;
                    let Content::Cryptogram(purchase) = &expected.content else {
                        panic!("a decision without a cryptogram");
                    };
                    answer::check_request(&self.model.facts, purchase, &request);
                }
            }
        }
        assert_eq!(began, usize::from(expected.begins));
        assert_eq!(decided, usize::from(matches!(expected.content, Content::Cryptogram(_))));
        assert!(errors.iter().eq(expected.ends_with.iter()), "{errors:04X?} instead of {:04X?}", expected.ends_with);
    }
}
