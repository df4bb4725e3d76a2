//! What the link costs: bytes a day by link class, and what waits for a cheaper link.
//!
//! Promise: evidence and events are counted and never held; telemetry beyond the day's budget waits for the next day or
//! another link, and photos for Wi-Fi where that is wanted, but never longer than was configured. A day is a UTC day. A clock
//! nobody vouches for begins no new day, so a dead clock battery gives no second budget.
//! Counted is what leaves: bodies as compressed, plus what HTTP/2, TLS and TCP/IP add to them by [`on_the_link`].

use milepost_proto::Timestamp;
use milepost_proto::uplink::BlobOffer;
use serde::{Deserialize, Serialize};

/// Milliseconds of a UTC day.
const DAY_MS: i64 = 86_400_000;
/// A blob up to this size, a signature, never waits for Wi-Fi.
pub const SIGNATURE_BYTES_MAX: u64 = 32 * 1024;
/// What a request adds: HTTP/2 header frames and the answer's acknowledgements, bytes.
const REQUEST_OVERHEAD_BYTES: u64 = 300;
/// What each packet adds: IP, TCP with timestamps, and its share of TLS and HTTP/2 frames, bytes.
const PACKET_OVERHEAD_BYTES: u64 = 66;
/// What a packet carries, bytes.
const PACKET_BYTES: u64 = 1_380;

/// What kind of link leads to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkClass {
    /// The yard's own network: costs nothing.
    Wifi,
    /// A mobile contract, paid by volume.
    Metered,
    /// A mobile contract abroad.
    Roaming,
}

/// A text that names no link class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a link is wifi, metered or roaming")]
pub struct UnknownLink;

impl LinkClass {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::Wifi, Self::Metered, Self::Roaming];

    /// Its name in configuration and link file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wifi => "wifi",
            Self::Metered => "metered",
            Self::Roaming => "roaming",
        }
    }
}

impl std::str::FromStr for LinkClass {
    type Err = UnknownLink;

    fn from_str(text: &str) -> Result<Self, UnknownLink> {
        Self::ALL.into_iter().find(|class| class.as_str() == text).ok_or(UnknownLink)
    }
}

/// What may be sent in a day over one class of link, bytes; no bound where absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkBudget {
    /// Telemetry.
    pub telemetry_bytes: Option<u64>,
    /// Photos and signatures.
    pub blobs_bytes: Option<u64>,
}

/// What was decided about links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetPolicy {
    /// By class, in the order of [`LinkClass::ALL`].
    pub links: [LinkBudget; 3],
    /// Whether photos wait for Wi-Fi.
    pub blobs_want_wifi: bool,
    /// How long they do at most, milliseconds; then they go over any link.
    pub blobs_wait_ms: i64,
    /// The class while nobody says otherwise.
    pub link: LinkClass,
}

impl Default for BudgetPolicy {
    fn default() -> Self {
        Self {
            links: [LinkBudget::default(); 3],
            blobs_want_wifi: false,
            blobs_wait_ms: DAY_MS,
            link: LinkClass::Metered,
        }
    }
}

impl BudgetPolicy {
    /// Whether anything is ever held: otherwise there is nothing to remember.
    #[must_use]
    pub fn holds_anything(&self) -> bool {
        self.blobs_want_wifi || self.links.iter().any(|link| *link != LinkBudget::default())
    }
}

/// What is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// Evidence, events and requests without records: never held.
    Urgent,
    /// Telemetry.
    Telemetry,
    /// Photos and signatures.
    Blobs,
}

/// What was sent today; survives a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Days since the Unix epoch; 0 before any time was known.
    pub day: i64,
    /// Bytes by link class, and by what they carried.
    pub bytes: [[u64; 3]; 3],
    /// Since when photos wait for Wi-Fi, milliseconds since the Unix epoch.
    pub blobs_wait_since_ms: Option<i64>,
}

/// The day's account.
#[derive(Debug, Clone)]
pub struct Budget {
    policy: BudgetPolicy,
    tally: Tally,
    link: LinkClass,
    /// Now, as far as anybody vouches for it, milliseconds since the Unix epoch.
    now_ms: Option<i64>,
}

impl Budget {
    /// The account, going on from `tally`.
    #[must_use]
    pub const fn new(policy: BudgetPolicy, tally: Tally) -> Self {
        Self { policy, tally, link: policy.link, now_ms: None }
    }

    /// What was sent today.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// The class of the link.
    #[must_use]
    pub const fn link(&self) -> LinkClass {
        self.link
    }

    /// Goes on from an earlier account.
    pub const fn restore(&mut self, tally: Tally) {
        self.tally = tally;
    }

    /// The link's class is known anew; absent means that nobody says.
    pub fn handle_link(&mut self, link: Option<LinkClass>) {
        self.link = link.unwrap_or(self.policy.link);
    }

    /// Time passes; `now` is absent while nobody vouches for the clock. `blobs` are those that wait.
    pub fn handle_time(&mut self, now: Option<Timestamp>, blobs: &[BlobOffer]) {
        self.now_ms = now.map(Timestamp::as_millis);
        let Some(now_ms) = self.now_ms else { return };
        let day = now_ms.div_euclid(DAY_MS);
        if day > self.tally.day {
            self.tally.bytes = [[0; 3]; 3];
        }
        // A clock that was put back goes on with what was spent: better held than paid twice.
        self.tally.day = day;
        let wait = self.policy.blobs_want_wifi && blobs.iter().any(|blob| blob.size > SIGNATURE_BYTES_MAX);
        self.tally.blobs_wait_since_ms =
            wait.then(|| self.tally.blobs_wait_since_ms.map_or(now_ms, |since_ms| since_ms.min(now_ms)));
    }

    /// Something of `bytes` was handed to the socket.
    pub fn handle_sent(&mut self, spent: Spent, bytes: usize) {
        let row = &mut self.tally.bytes[self.link as usize][spent as usize];
        *row = row.saturating_add(on_the_link(bytes as u64));
    }

    /// How many bytes of telemetry may still be sent today over this link.
    #[must_use]
    pub fn telemetry_bytes_left(&self) -> u64 {
        self.left(self.links().telemetry_bytes, Spent::Telemetry)
    }

    /// Whether a blob of this size may be sent now.
    #[must_use]
    pub fn allows_blob(&self, size: u64) -> bool {
        let is_cheap = self.link == LinkClass::Wifi || !self.policy.blobs_want_wifi || size <= SIGNATURE_BYTES_MAX;
        (is_cheap || self.has_waited()) && self.left(self.links().blobs_bytes, Spent::Blobs) > 0
    }

    /// What waits because of the link, and for what, in sentences.
    #[must_use]
    pub fn held(&self, telemetry_waits: bool, blobs: &[BlobOffer]) -> Vec<String> {
        let link = self.link.as_str();
        let mut held = Vec::new();
        if telemetry_waits && self.telemetry_bytes_left() == 0 {
            held.push(format!(
                "telemetry waits: today's bytes over {link} are used up; it goes on tomorrow or on Wi-Fi"
            ));
        }
        let waiting = blobs.iter().filter(|blob| !self.allows_blob(blob.size)).count();
        if waiting > 0 && self.left(self.links().blobs_bytes, Spent::Blobs) == 0 {
            held.push(format!("{waiting} photos wait: today's bytes for them over {link} are used up"));
        } else if waiting > 0 {
            let hours = self.policy.blobs_wait_ms / 3_600_000;
            held.push(format!("{waiting} photos wait for Wi-Fi, at most {hours} h; the link is {link}"));
        }
        held
    }

    /// Bytes spent over this link today.
    #[must_use]
    pub const fn spent(&self, spent: Spent) -> u64 {
        self.tally.bytes[self.link as usize][spent as usize]
    }

    /// The budget of this link.
    #[must_use]
    pub const fn links(&self) -> LinkBudget {
        self.policy.links[self.link as usize]
    }

    fn has_waited(&self) -> bool {
        let waited_ms = self.now_ms.zip(self.tally.blobs_wait_since_ms).map(|(now_ms, since_ms)| now_ms - since_ms);
        waited_ms.is_some_and(|waited_ms| waited_ms >= self.policy.blobs_wait_ms)
    }

    fn left(&self, most: Option<u64>, spent: Spent) -> u64 {
        most.map_or(u64::MAX, |most| most.saturating_sub(self.spent(spent)))
    }
}

/// About what a body of `bytes` takes on the link.
#[must_use]
pub const fn on_the_link(bytes: u64) -> u64 {
    REQUEST_OVERHEAD_BYTES + bytes + bytes.div_ceil(PACKET_BYTES) * PACKET_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use milepost_proto::Sha256;

    use super::*;

    const HOUR_MS: i64 = 3_600_000;
    const NOON_MS: i64 = 20_000 * DAY_MS + 12 * HOUR_MS;

    fn policy() -> BudgetPolicy {
        let metered = LinkBudget { telemetry_bytes: Some(10_000), blobs_bytes: Some(50_000) };
        let links = [LinkBudget::default(), metered, LinkBudget { telemetry_bytes: Some(0), blobs_bytes: Some(0) }];
        BudgetPolicy { links, blobs_want_wifi: true, blobs_wait_ms: 12 * HOUR_MS, link: LinkClass::Metered }
    }

    fn at(budget: &mut Budget, now_ms: i64) {
        let photo = BlobOffer { sha256: Sha256::of(b"photo"), size: 400_000 };
        budget.handle_time(Some(Timestamp::from_millis(now_ms)), &[photo]);
    }

    fn noon() -> Budget {
        let mut budget = Budget::new(policy(), Tally::default());
        at(&mut budget, NOON_MS);
        budget
    }

    #[test]
    fn telemetry_stops_at_its_bytes_and_goes_on_the_next_day_or_on_wifi() {
        let mut budget = noon();
        budget.handle_sent(Spent::Telemetry, 9_000);
        assert_eq!(budget.telemetry_bytes_left(), 10_000 - on_the_link(9_000));
        budget.handle_sent(Spent::Urgent, 90_000);
        assert!(budget.telemetry_bytes_left() > 0, "evidence does not use it up");
        budget.handle_sent(Spent::Telemetry, 9_000);
        assert_eq!(budget.telemetry_bytes_left(), 0);
        assert!(budget.held(true, &[])[0].contains("used up"));
        budget.handle_link(Some(LinkClass::Wifi));
        assert_eq!(budget.telemetry_bytes_left(), u64::MAX);
        budget.handle_link(None);
        assert_eq!(budget.telemetry_bytes_left(), 0);
        at(&mut budget, NOON_MS + 12 * HOUR_MS);
        assert_eq!(budget.telemetry_bytes_left(), 10_000);
    }

    #[test]
    fn a_restart_or_a_clock_nobody_vouches_for_gives_no_second_budget() {
        let mut budget = noon();
        budget.handle_sent(Spent::Telemetry, 9_900);
        let mut later = Budget::new(policy(), budget.tally());
        assert_eq!(later.telemetry_bytes_left(), 0);
        later.handle_time(None, &[]);
        assert_eq!(later.telemetry_bytes_left(), 0);
        at(&mut later, 0);
        assert_eq!(later.telemetry_bytes_left(), 0, "put back to 1970, it goes on with what was spent");
    }

    #[test]
    fn photos_wait_for_wifi_signatures_do_not_and_nothing_waits_for_ever() {
        let mut budget = noon();
        let photo = BlobOffer { sha256: Sha256::of(b"photo"), size: 400_000 };
        assert_eq!((budget.allows_blob(photo.size), budget.allows_blob(9_000)), (false, true));
        assert_eq!(budget.held(false, &[photo]), ["1 photos wait for Wi-Fi, at most 12 h; the link is metered"]);
        budget.handle_link(Some(LinkClass::Wifi));
        assert!(budget.allows_blob(photo.size));
        budget.handle_link(Some(LinkClass::Metered));
        let mut restarted = Budget::new(policy(), budget.tally());
        at(&mut restarted, NOON_MS + 12 * HOUR_MS - 1);
        assert!(!restarted.allows_blob(photo.size));
        at(&mut restarted, NOON_MS + 12 * HOUR_MS);
        assert!(restarted.allows_blob(photo.size), "it has waited long enough, also across a restart");
        restarted.handle_sent(Spent::Blobs, 60_000);
        assert!(!restarted.allows_blob(9_000), "the day's bytes for blobs are used up");
        restarted.handle_time(Some(Timestamp::from_millis(NOON_MS + 13 * HOUR_MS)), &[]);
        assert_eq!(restarted.tally().blobs_wait_since_ms, None, "none waits: the next one waits anew");
    }

    #[test]
    fn what_has_no_budget_is_never_held() {
        let mut budget = Budget::new(BudgetPolicy::default(), Tally::default());
        budget.handle_sent(Spent::Telemetry, usize::MAX / 2);
        assert_eq!((budget.telemetry_bytes_left(), budget.allows_blob(u64::MAX)), (u64::MAX, true));
        assert!(!BudgetPolicy::default().holds_anything() && policy().holds_anything());
    }

    #[test]
    fn the_classes_are_read_by_their_names() {
        for class in LinkClass::ALL {
            assert_eq!(class.as_str().parse(), Ok(class));
        }
        assert_eq!("5g".parse::<LinkClass>(), Err(UnknownLink));
    }
}
