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
    decisions: usize,
}

impl Conversation {
    /// `plans`: what becomes of the taps, in turn. `random`: the first random byte and the step to the
    /// next.
    pub(crate) fn new(card: TestCard, plans: Vec<Plan>, random: (u8, u8)) -> Self {
        Self {
            card: CardApplication::new(),
            script: Script::new(card.card, plans, random),
            model: Model::new(card.facts),
            decisions: 0,
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
        let expected = self.model.expect(apdu, self.script.next_plan(), self.script.plan());
        let answer = self.card.process(apdu, &mut self.script);
        assert!(answer.len() <= MAX_ANSWER, "an answer of {} bytes", answer.len());
        let (data, status) = answer.split_last_chunk::<2>().expect("an answer ends with a status word");
        let status = u16::from_be_bytes(*status);
        assert_eq!(status, expected.status, "{status:04X} instead of {:04X}", expected.status);
        self.check_events(&expected);
        answer::check(&self.model.facts, &expected.content, expected.decides.as_ref(), data, &self.script);
        if let Content::Relay(_) = expected.content {
            // Without tag and length: 80 0A.
            self.model.exchanged(apdu, &data[2..]);
        }
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
                    expected.decides.as_ref().expect("a decision out of order").check(&request);
                }
            }
        }
        assert_eq!(began, usize::from(expected.begins));
        assert_eq!(decided, usize::from(expected.decides.is_some()));
        assert!(errors.iter().eq(expected.ends_with.iter()), "{errors:04X?} instead of {:04X?}", expected.ends_with);
        self.decisions = if began > 0 { 0 } else { self.decisions + decided };
        assert!(self.decisions <= 1, "a second decision in one tap");
    }
}
