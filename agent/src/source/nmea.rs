//! NMEA 0183: bytes of a receiver into fix epochs.
//!
//! Promise: pure and bounded. Bytes may come in any pieces and with anything between the sentences; what cannot be used
//! is counted by kind and spoils nothing after it. No position is given that the receiver does not stand by. After
//! start nothing is allocated.
//!
//! `framer` finds sentences, `sentence` reads them with `field` and `day`, `epoch` merges those of one time of day and
//! `cycle` knows when the receiver has said all it has to say about it.

use super::fault::Faults;

mod cycle;
mod day;
mod epoch;
mod field;
mod framer;
mod sentence;

pub use epoch::Epoch;
pub use framer::{Checksum, SENTENCE_BYTES_MAX};

/// Decodes one receiver's bytes.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    framer: framer::Framer,
    assembler: epoch::Assembler,
    faults: Faults,
    sentences: u64,
}

impl Decoder {
    /// A decoder for a receiver that may leave checksums out, or must not.
    #[must_use]
    pub fn new(checksum: Checksum) -> Self {
        Self { framer: framer::Framer::new(checksum), ..Self::default() }
    }

    /// Takes bytes; calls `ended` with each epoch they end, in order.
    pub fn push(&mut self, bytes: &[u8], mut ended: impl FnMut(Epoch)) {
        let Self { framer, assembler, faults, sentences } = self;
        framer.push(bytes, faults, |body, faults| {
            *sentences += 1;
            match sentence::parse(body, faults).and_then(|sentence| assembler.push(sentence)) {
                Ok(epochs) => epochs.into_iter().flatten().for_each(&mut ended),
                Err(fault) => faults.count(fault),
            }
        });
    }

    /// The receiver fell silent, or its recording ended: the epoch under way is complete.
    pub fn flush(&mut self) -> Option<Epoch> {
        self.assembler.flush()
    }

    /// How many sentences were whole, of any kind.
    #[must_use]
    pub const fn sentences(&self) -> u64 {
        self.sentences
    }

    /// What could not be used.
    pub const fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// The latest sentence, from after its `$` to before its checksum, or what was heard of it so far.
    #[must_use]
    pub fn latest(&self) -> &[u8] {
        self.framer.latest()
    }
}

/// The time of day a fix sentence bears, in milliseconds; none for other sentences and for damaged ones.
#[must_use]
pub fn time_of_day_ms(line: &[u8]) -> Option<u32> {
    let mut found = None;
    framer::Framer::default().push(line, &mut Faults::default(), |body, faults| {
        if let Ok(sentence::Sentence::Fix(fix)) = sentence::parse(body, faults) {
            found = found.or(fix.time_of_day_ms);
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sentence(body: &str) -> Vec<u8> {
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        format!("${body}*{sum:02X}\r\n").into_bytes()
    }

    /// A minute of one fix per second.
    fn drive() -> Vec<Vec<u8>> {
        (0..60).map(|s| sentence(&format!("GPRMC,1200{s:02},A,52{s:02}.5,N,00454.0,E,10.0,90.0,010621,,,A"))).collect()
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic_and_memory_is_bounded(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes, |_| {});
            decoder.flush();
            prop_assert!(decoder.latest().len() <= SENTENCE_BYTES_MAX);
        }

        #[test]
        fn damaged_text_never_invents_a_position_outside_the_world(
            at in 0_usize..70, byte in any::<u8>(), second in 0_usize..60,
        ) {
            let mut bytes = drive().swap_remove(second);
            let end = bytes.len() - 1;
            bytes[at.min(end)] = byte;
            let mut decoder = Decoder::default();
            decoder.push(&bytes, |_| {});
            if let Some(position) = decoder.flush().and_then(|epoch| epoch.position) {
                prop_assert!((position.lat_deg() - 52.0).abs() <= 1.0 && (position.lon_deg() - 4.9).abs() < 1e-6);
            }
        }

        #[test]
        fn garbage_between_sentences_loses_nothing(
            garbage in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 60)
        ) {
            let (mut decoder, mut epochs) = (Decoder::default(), Vec::new());
            for (sentence, garbage) in drive().iter().zip(&garbage) {
                decoder.push(garbage, |epoch| epochs.push(epoch));
                decoder.push(sentence, |epoch| epochs.push(epoch));
            }
            epochs.extend(decoder.flush());
            prop_assert_eq!(epochs.iter().filter(|epoch| epoch.position.is_some()).count(), 60);
        }
    }
}
