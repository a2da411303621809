//! What went over the air, for people.

use std::time::Duration;

use crate::explain::name_of;

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

impl Exchange {
    /// `command`, with its name, its answer (empty if the link was lost) and the time between them.
    #[must_use]
    pub fn new(command: Vec<u8>, response: Vec<u8>, took: Duration) -> Self {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        Self { name: name_of(&command), command, response, micros }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(command: &[u8], response: &[u8]) -> Exchange {
        Exchange::new(command.to_vec(), response.to_vec(), Duration::from_micros(7))
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
}
