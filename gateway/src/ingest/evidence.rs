//! Whether evidence is what the device signed.
//!
//! Promise: a chunk of evidence is `ok` only if every record is signed by a key certified for the device and names
//! the record before it. The judgement is kept next to the evidence and never a reason to refuse it: broken evidence
//! is still what somebody handed over.

use milepost_proto::seal::{chain_start, digest_of};
use milepost_proto::{Lane, Record, SequenceRange, Sha256, SpoolId};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use crate::store::accept::SealState;

/// The state of the records' seals, and the first `prev_hash` and last digest when all are sealed.
#[must_use]
pub fn judge(
    lane: Lane,
    spool_id: SpoolId,
    range: SequenceRange,
    records: &[(u64, Record)],
    keys: &[&[u8]],
) -> (SealState, Option<[Sha256; 2]>) {
    if lane != Lane::Evidence {
        return (SealState::None, None);
    }
    let verifies = |digest: Sha256, signature: &[u8]| {
        let verifies = |key| UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(&digest.0, signature).is_ok();
        keys.iter().any(verifies)
    };
    let mut expected_prev = (range.first() == 1).then(|| chain_start(spool_id));
    let mut ends = None;
    let mut state = SealState::Ok;
    for (sequence, record) in records {
        let (Some(seal), Some(digest)) = (&record.seal, digest_of(record, *sequence)) else {
            return (SealState::Absent, None);
        };
        let linked = expected_prev.is_none_or(|expected| expected == seal.prev_hash);
        if !linked || !verifies(digest, &seal.signature) {
            state = SealState::Broken;
        }
        let [begin, _] = ends.unwrap_or([seal.prev_hash, digest]);
        ends = Some([begin, digest]);
        expected_prev = Some(digest);
    }
    (state, ends)
}

#[cfg(test)]
mod tests {
    use milepost_proto::seal::{EvidenceSeal, evidence_digest};
    use milepost_proto::{Reading, TimeQuality, Timestamp};
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

    use super::*;

    const SPOOL: SpoolId = SpoolId([3; 16]);

    struct Device {
        key: EcdsaKeyPair,
        random: SystemRandom,
    }

    impl Device {
        fn new() -> Self {
            let random = SystemRandom::new();
            let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
            let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
            let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).expect("a key");
            Self { key, random }
        }

        fn records(&self, count: u64) -> Vec<Record> {
            let mut prev_hash = chain_start(SPOOL);
            (1..=count).map(|sequence| self.record(sequence, &mut prev_hash)).collect()
        }

        fn record(&self, sequence: u64, prev_hash: &mut Sha256) -> Record {
            let reading = Reading::Switch(milepost_proto::reading::Switch { name: "door".to_owned(), on: true });
            let (event_time, time_quality) = (Timestamp::from_millis(5), TimeQuality::UNKNOWN);
            let digest =
                evidence_digest(*prev_hash, sequence, event_time, 7, time_quality, &reading).expect("a digest");
            let signature = self.key.sign(&self.random, &digest.0).expect("signed").as_ref().to_vec();
            let seal = Some(EvidenceSeal { prev_hash: *prev_hash, signature });
            *prev_hash = digest;
            Record { event_time, monotonic_ms: 7, time_quality, reading, seal }
        }
    }

    #[test]
    fn only_an_unbroken_signed_chain_is_ok() {
        let device = Device::new();
        let check = |change: &dyn Fn(&mut Vec<Record>), first: u64, expected: SealState| {
            let mut records = device.records(3);
            change(&mut records);
            let range = SequenceRange::starting_at(first, records.len() as u64).expect("a range");
            let records: Vec<_> = (first..).zip(records).collect();
            let keys = [device.key.public_key().as_ref()];
            assert_eq!(judge(Lane::Evidence, SPOOL, range, &records, &keys).0, expected);
        };
        check(&|_| (), 1, SealState::Ok);
        check(&|records| records[1].monotonic_ms += 1, 1, SealState::Broken);
        check(&|records| drop(records.remove(1)), 1, SealState::Broken);
        check(&|records| records[2].seal = None, 1, SealState::Absent);
        check(&|_| (), 2, SealState::Broken);
    }

    #[test]
    fn another_devices_key_does_not_verify() {
        let (device, other) = (Device::new(), Device::new());
        let range = SequenceRange::starting_at(1, 2).expect("a range");
        let keys = [other.key.public_key().as_ref()];
        let records: Vec<_> = (1..).zip(device.records(2)).collect();
        let (state, chain) = judge(Lane::Evidence, SPOOL, range, &records, &keys);
        assert_eq!((state, chain.map(|[begin, _]| begin)), (SealState::Broken, Some(chain_start(SPOOL))));
    }
}
