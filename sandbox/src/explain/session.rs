//! Commands and answers in their order: each is explained with what the tap has shown so far.

use nfcwallet_core::card::apdu::Command;
use nfcwallet_core::card::tlv::Tlv;

use super::apdu::{self, Body, Kind};
use super::dictionary::Format;
use super::fields::Fields;
use super::node::{Node, Tone, count};
use super::tap::Tap;
use super::values::{self, Context};
use super::{Options, signature, summary, tlv};

/// The state of a conversation.
pub(super) struct Session<'a> {
    options: &'a Options,
    pub(super) tap: Tap,
    /// The command that waits for its answer.
    sent: Option<Vec<u8>>,
}

/// What is said of a tap when it is over.
pub(super) struct Finished {
    pub(super) signatures: Vec<Node>,
    pub(super) summary: summary::Summary,
}

impl<'a> Session<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        Self { options, tap: Tap::default(), sent: None }
    }

    fn context(&self) -> Context {
        let currency = self.tap.sent(0x5F2A).and_then(values::decimal).and_then(|code| u16::try_from(code).ok());
        Context { show_pan: self.options.show_pan, currency }
    }

    /// This command begins another tap: the directory again, or a selection after the first
    /// cryptogram or options.
    pub(super) fn begins_another_tap(&self, command: &[u8]) -> bool {
        let name = apdu::name_of(command);
        let has_begun = self.tap.exchanges > 0;
        has_begun
            && Kind::of_command(command) == Kind::Select
            && (name == "SELECT PPSE" || self.tap.pdol_data.is_some() || self.tap.cryptogram_answer.is_some())
    }

    /// Ends the tap; `None` if it was no conversation.
    pub(super) fn finish_tap(&mut self) -> Option<Finished> {
        self.link_lost();
        let tap = std::mem::take(&mut self.tap);
        // Commands that nobody answered are no conversation.
        if tap.exchanges < 2 || tap.bytes_in == 0 {
            return None;
        }
        let verdict = signature::check(&tap, self.options);
        let summary = summary::of(&tap, &verdict.cda);
        Some(Finished { signatures: verdict.nodes, summary })
    }

    /// Objects that stand alone, learnt for what follows.
    pub(super) fn objects(&mut self, bytes: &[u8]) -> Vec<Node> {
        self.tap.learn(bytes);
        tlv::tree(bytes, 0, self.context())
    }

    /// A command; it waits for its answer.
    pub(super) fn command(&mut self, bytes: &[u8]) -> Node {
        self.link_lost();
        let mut node = Node::new(">", apdu::name_of(bytes)).means(counted(bytes.len()));
        match Command::parse(bytes) {
            Err(_) => node = node.with([Node::malformed(bytes.len(), "a command has at least 4 bytes").raw(bytes)]),
            Ok(command) => {
                let Body { before, data, after } = apdu::body(bytes, &command);
                let kind = Kind::of(command.cla, command.ins);
                let explained = if data.is_empty() { Vec::new() } else { self.command_data(kind, &command, &data) };
                node = node.with(apdu::header(&command)).with(before).with(explained).with(after);
            }
        }
        self.sent = Some(bytes.to_vec());
        node
    }

    /// Data of a command start at byte 5.
    fn command_data(&mut self, kind: Kind, command: &Command<'_>, data: &[u8]) -> Vec<Node> {
        match kind {
            Kind::Select => {
                self.tap.aid = None;
                vec![apdu::selected(data, 5)]
            }
            Kind::GetProcessingOptions => vec![self.processing_options(data)],
            Kind::GenerateAc => {
                self.tap.asked_for = Some(command.p1);
                self.tap.cdol1_data = Some(data.to_vec());
                match self.tap.cdol1(data.len()) {
                    Some((list, true)) => vec![self.data_of("CDOL1", &list, data, 5)],
                    Some((list, false)) => vec![self.data_of("usual CDOL1 of this length", &list, data, 5)],
                    None => vec![unlisted("CDOL1", data, 5)],
                }
            }
            Kind::ComputeCryptographicChecksum => {
                self.tap.udol_data = Some(data.to_vec());
                vec![self.data_of("UDOL", self.tap.udol(), data, 5)]
            }
            Kind::ExchangeRelayResistanceData => {
                self.tap.entropy = data.to_vec();
                vec![Node::new("data", "").at(5).raw(data).means("Terminal Relay Resistance Entropy")]
            }
            Kind::InternalAuthenticate => match self.tap.object(0x9F49).map(<[u8]>::to_vec) {
                Some(list) => vec![self.data_of("DDOL", &list, data, 5)],
                None => vec![unlisted("DDOL", data, 5)],
            },
            Kind::Verify => vec![Node::new("data", "").at(5).means(format!("PIN, {}, hidden", counted(data.len())))],
            _ => vec![Node::new("data", "").at(5).raw(data)],
        }
    }

    /// `83`, length, and what the PDOL asked for.
    fn processing_options(&mut self, data: &[u8]) -> Node {
        let node = Node::new("83", "").at(5).means("Command Template");
        match Tlv::read_only(data) {
            Ok(object) if object.tag.number() == 0x83 => {
                let at = 5 + data.len() - object.value.len();
                self.tap.pdol_data = Some(object.value.to_vec());
                match self.tap.pdol().map(<[u8]>::to_vec) {
                    _ if object.value.is_empty() => node.means("Command Template, no PDOL data"),
                    Some(list) => node.with([self.data_of("PDOL", &list, object.value, at)]),
                    None => node.with([unlisted("PDOL", object.value, at)]),
                }
            }
            Ok(_) => Node::malformed(5, "the data do not start with 83").raw(data),
            Err(error) => Node::malformed(5, format!("83 Command Template: {error}")).raw(data),
        }
    }

    fn data_of(&self, list_name: &str, list: &[u8], data: &[u8], at: usize) -> Node {
        let meaning = format!("{}, as the {list_name} asks", counted(data.len()));
        let node = Node::new("data", "").at(at).means(meaning);
        node.with(tlv::data(list, data, at, self.context()))
    }

    /// Nothing came back.
    pub(super) fn link_lost(&mut self) {
        if let Some(command) = self.sent.take() {
            self.tap.count(command.len(), 0, None);
            self.tap.last = Some((apdu::name_of(&command), None));
        }
    }

    /// An answer with its status word, to the command before it if there is one.
    pub(super) fn response(&mut self, bytes: &[u8], micros: Option<u64>) -> Node {
        let command = self.sent.take();
        let Some((data, word)) = bytes.split_last_chunk::<2>() else {
            let fault = Node::malformed(bytes.len(), "an answer ends in a status word of 2 bytes").raw(bytes);
            return Node::new("<", "").means(counted(bytes.len())).with([fault]);
        };
        let kind = command.as_deref().map_or(Kind::Unknown, Kind::of_command);
        if let Some(command) = &command {
            self.tap.count(command.len(), bytes.len(), micros);
            self.tap.last = Some((apdu::name_of(command), Some(u16::from_be_bytes(*word))));
        }
        let explained = self.response_data(kind, command.as_deref().unwrap_or_default(), data);
        let time = micros.map(|micros| format!(", {micros} µs")).unwrap_or_default();
        let node = Node::new("<", "").means(format!("{}{time}", counted(bytes.len())));
        node.with(explained).with([apdu::status(*word, data.len())])
    }

    fn response_data(&mut self, kind: Kind, command: &[u8], data: &[u8]) -> Vec<Node> {
        let format_1 = Tlv::read_only(data).ok().filter(|object| object.tag.number() == 0x80);
        match (kind, format_1) {
            (_, _) if data.is_empty() => return Vec::new(),
            (Kind::GetChallenge, _) => {
                return vec![Node::new("data", "").at(0).raw(data).means("Unpredictable Number")];
            }
            (
                Kind::GetProcessingOptions
                | Kind::GenerateAc
                | Kind::ExchangeRelayResistanceData
                | Kind::InternalAuthenticate,
                Some(object),
            ) => return vec![self.format_1(kind, object.value, data.len() - object.value.len())],
            _ => {}
        }
        if kind == Kind::Select {
            self.tap.forget_application();
        }
        self.tap.learn(data);
        match (kind, command) {
            (Kind::Select, _) => self.tap.aid = self.tap.object(0x84).map(<[u8]>::to_vec),
            (Kind::ReadRecord, [_, _, number, file, ..]) => self.tap.keep_record(file >> 3, *number, data),
            (Kind::GenerateAc | Kind::ComputeCryptographicChecksum, _) => {
                self.tap.cryptogram_answer = Some(data.to_vec());
            }
            _ => {}
        }
        tlv::tree(data, 0, self.context())
    }

    /// An answer whose parts are known by their place (EMV Book 3, 6.5.5.4 and 6.5.8.4).
    fn format_1(&mut self, kind: Kind, value: &[u8], at: usize) -> Node {
        let context = self.context();
        let mut fields = Fields::new(value, at);
        let parts: &[(u32, &str, usize, Format)] = match kind {
            Kind::GetProcessingOptions => &[
                (0x82, "Application Interchange Profile (AIP)", 2, Format::Bits),
                (0x94, "Application File Locator (AFL)", usize::MAX, Format::Afl),
            ],
            Kind::GenerateAc => &[
                (0x9F27, "Cryptogram Information Data (CID)", 1, Format::Cid),
                (0x9F36, "Application Transaction Counter (ATC)", 2, Format::Number),
                (0x9F26, "Application Cryptogram", 8, Format::Bytes),
                (0x9F10, "Issuer Application Data (IAD)", usize::MAX, Format::Iad),
            ],
            Kind::ExchangeRelayResistanceData => &[
                (0xDF_8302, "Device Relay Resistance Entropy", 4, Format::Bytes),
                (0xDF_8303, "Min Time For Processing", 2, Format::RelayTime),
                (0xDF_8304, "Max Time For Processing", 2, Format::RelayTime),
                (0xDF_8305, "Device Estimated Transmission Time", 2, Format::RelayTime),
            ],
            _ => &[(0x9F4B, "Signed Dynamic Application Data (SDAD)", usize::MAX, Format::Bytes)],
        };
        for (tag, name, length, format) in parts {
            let left = fields.rest();
            let taken = left.get(..*length).unwrap_or(left);
            if taken.len() < *length && *length != usize::MAX {
                let end = at.saturating_add(value.len());
                fields.nodes.push(Node::malformed(end, format!("{name}: {length} bytes wanted, {} left", taken.len())));
                break;
            }
            self.tap.objects.insert(*tag, taken.to_vec());
            let tag = super::dictionary::shown(*tag);
            fields.of_format(name, taken.len(), *format, &tag, context);
            if let Some(node) = fields.nodes.last_mut().filter(|_| !taken.is_empty()) {
                node.label = tag;
            }
        }
        let extra = fields.rest();
        if !extra.is_empty() {
            let place = at.saturating_add(value.len() - extra.len());
            fields.nodes.push(Node::malformed(place, format!("{} bytes too many", extra.len())).raw(extra));
        }
        match kind {
            Kind::ExchangeRelayResistanceData => self.tap.relay = Some([&self.tap.entropy, value].concat()),
            Kind::GenerateAc => self.tap.cryptogram_answer = Some(value.to_vec()),
            _ => {}
        }
        Node::new("80", "Response Message Template Format 1").at(0).means(counted(value.len())).with(fields.nodes)
    }
}

/// Data whose list was not seen.
fn unlisted(list: &str, data: &[u8], at: usize) -> Node {
    let meaning = format!("{}; the {list} was not seen, so they have no names", counted(data.len()));
    Node::new("data", "").at(at).raw(data).means(meaning).toned(Tone::Warning)
}

fn counted(bytes: usize) -> String {
    count(bytes, "byte")
}
