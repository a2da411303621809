//! What went over the air, for people.

/// One command and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What the command is called, for example `READ RECORD 2.1`.
    pub name: String,
    /// As sent.
    pub command: Vec<u8>,
    /// As received, status word included; empty if the link was lost.
    pub response: Vec<u8>,
    /// From sending to receiving.
    pub micros: u64,
}

/// Two lines an exchange: `> command  NAME` and `< data SW`. With `{:#}` the time as well.
#[must_use]
pub fn pretty(exchanges: &[Exchange]) -> impl std::fmt::Display + '_ {
    Pretty(exchanges)
}

struct Pretty<'a>(&'a [Exchange]);

impl std::fmt::Display for Pretty<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for exchange in self.0 {
            writeln!(f, "> {}  {}", hex::encode_upper(&exchange.command), exchange.name)?;
            match exchange.response.split_last_chunk::<2>() {
                Some(([], word)) => write!(f, "< {}", hex::encode_upper(word))?,
                Some((data, word)) => write!(f, "< {} {}", hex::encode_upper(data), hex::encode_upper(word))?,
                None if exchange.response.is_empty() => write!(f, "< (link lost)")?,
                None => write!(f, "< {} (no status word)", hex::encode_upper(&exchange.response))?,
            }
            if f.alternate() {
                write!(f, "  {} µs", exchange.micros)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// What a command is called (ISO/IEC 7816-4 and EMV Book 3, 6.5).
pub(crate) fn name_of(command: &[u8]) -> String {
    match command {
        [0x00, 0xA4, 0x04, _, 0x0E, name @ ..] if name.starts_with(super::select::PPSE) => "SELECT PPSE".to_owned(),
        [0x00, 0xA4, 0x04, _, length, data @ ..] => {
            let aid = data.get(..usize::from(*length)).unwrap_or(data);
            format!("SELECT {}", hex::encode_upper(aid))
        }
        [0x80, 0xA8, ..] => "GET PROCESSING OPTIONS".to_owned(),
        [0x00, 0xB2, record, file, ..] => format!("READ RECORD {}.{record}", file >> 3),
        [0x80, 0xAE, kind, ..] => {
            let asked = match kind & 0xC0 {
                0x00 => "AAC",
                0x40 => "TC",
                _ => "ARQC",
            };
            format!("GENERATE AC {asked}{}", if kind & 0x10 != 0 { " + CDA" } else { "" })
        }
        [0x80, 0x2A, 0x8E, 0x80, ..] => "COMPUTE CRYPTOGRAPHIC CHECKSUM".to_owned(),
        [0x80, 0xEA, ..] => "EXCHANGE RELAY RESISTANCE DATA".to_owned(),
        [_, instruction, ..] => format!("INS {instruction:02X}"),
        _ => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(command: &[u8], response: &[u8]) -> Exchange {
        Exchange { name: name_of(command), command: command.to_vec(), response: response.to_vec(), micros: 7 }
    }

    #[test]
    fn a_trace_reads_as_commands_and_answers() {
        let trace = [
            exchange(b"\x00\xA4\x04\x00\x0E2PAY.SYS.DDF01\x00", &[0x6F, 0x00, 0x90, 0x00]),
            exchange(&[0x00, 0xB2, 0x01, 0x14, 0x00], &[0x6A, 0x83]),
            exchange(&[0x80, 0xAE, 0x90, 0x00, 0x00], &[]),
        ];
        let lines = concat!(
            "> 00A404000E325041592E5359532E444446303100  SELECT PPSE\n",
            "< 6F00 9000\n",
            "> 00B2011400  READ RECORD 2.1\n",
            "< 6A83\n",
            "> 80AE900000  GENERATE AC ARQC + CDA\n",
            "< (link lost)\n",
        );
        assert_eq!(pretty(&trace).to_string(), lines);
        assert!(format!("{:#}", pretty(&trace)).contains("< 6A83  7 µs\n"));
    }

    #[test]
    fn a_cut_command_has_a_name_too() {
        assert_eq!(name_of(&[]), "?");
        assert_eq!(name_of(&[0x00, 0xA4, 0x04, 0x00, 0x09, 0xA0]), "SELECT A0");
        assert_eq!(name_of(&[0x80, 0x2A, 0x8E, 0x80]), "COMPUTE CRYPTOGRAPHIC CHECKSUM");
        assert_eq!(name_of(&[0x80, 0xEA, 0x00]), "EXCHANGE RELAY RESISTANCE DATA");
    }
}
