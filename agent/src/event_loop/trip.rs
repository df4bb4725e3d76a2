//! What the gateway sends down: the current trip.
//!
//! Promise: the highest version wins; what cannot be used is refused with a reason and the trip before it stays.

use std::collections::BTreeMap;

use milepost_proto::reading::Health;
use milepost_proto::uplink::DOWN_LINK_ITEMS_MAX;
use milepost_proto::{DownLinkItem, Sha256, Trip};
use tokio::sync::watch;

/// Keeps the current trip and what versions are held.
pub(super) struct TripKeeper {
    trip: watch::Sender<Option<Trip>>,
    current: Option<Trip>,
    held: BTreeMap<String, u64>,
}

/// What became of a new item.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    refused: Option<String>,
}

impl Taken {
    /// Whether it is in use: what is not must not take the place of what is, in the spool either.
    pub(super) const fn is_in_use(&self) -> bool {
        self.refused.is_none()
    }

    /// What to tell the gateway about it.
    pub(super) fn into_health(self, item: &DownLinkItem) -> Health {
        Health::DownLink { id: item.id.clone(), version: item.version, refused: self.refused }
    }
}

impl TripKeeper {
    /// Starts from what was kept before.
    pub(super) fn new(trip: watch::Sender<Option<Trip>>, kept: Vec<DownLinkItem>) -> Self {
        let mut keeper = Self { trip, current: None, held: BTreeMap::new() };
        for item in kept {
            // What was usable when it was kept is usable now; anything else waits for a newer version.
            keeper.apply(&item).ok();
        }
        keeper
    }

    /// The current trip.
    pub(super) const fn current(&self) -> Option<&Trip> {
        self.current.as_ref()
    }

    /// The versions held, as the uplink reports them.
    pub(super) fn held(&self) -> Vec<(String, u64)> {
        self.held.iter().map(|(id, version)| (id.clone(), *version)).collect()
    }

    /// Takes a new item; says what became of it, or nothing if it is not news.
    pub(super) fn handle(&mut self, item: &DownLinkItem) -> Option<Taken> {
        let is_news = match self.held.get(&item.id) {
            Some(held) => *held < item.version,
            None => self.held.len() < DOWN_LINK_ITEMS_MAX,
        };
        is_news.then(|| Taken { refused: self.apply(item).err() })
    }

    fn apply(&mut self, item: &DownLinkItem) -> Result<(), String> {
        // Even a refused version counts as held, or it would be sent again with every answer.
        self.held.insert(item.id.clone(), item.version);
        let trip = read(item)?;
        self.current = trip;
        self.trip.send_replace(self.current.clone());
        Ok(())
    }
}

fn read(item: &DownLinkItem) -> Result<Option<Trip>, String> {
    if Sha256::of(&item.body) != item.sha256 {
        return Err("the body does not have the hash it was sent under".to_owned());
    }
    if item.body.is_empty() {
        return Ok(None);
    }
    let trip: Trip = serde_json::from_slice(&item.body).map_err(|error| format!("the trip does not read: {error}"))?;
    match trip.check().into_iter().next() {
        Some(mistake) => Err(mistake),
        None => Ok(Some(trip)),
    }
}

#[cfg(test)]
mod tests {
    use milepost_proto::uplink::DownLinkKind;

    use super::*;

    fn item(version: u64, body: &str) -> DownLinkItem {
        let sha256 = Sha256::of(body.as_bytes());
        DownLinkItem { id: "trip".to_owned(), kind: DownLinkKind::Trip, version, sha256, body: body.into() }
    }

    fn keeper() -> TripKeeper {
        TripKeeper::new(watch::channel(None).0, vec![item(3, r#"{"id":"T3","stops":[]}"#)])
    }

    fn refusal(taken: Option<Taken>) -> Option<String> {
        let taken = taken.expect("news");
        assert_eq!(taken.is_in_use(), taken.refused.is_none());
        taken.refused
    }

    #[test]
    fn the_highest_version_wins_and_survives_a_restart() {
        let mut keeper = keeper();
        assert_eq!(keeper.current().map(|trip| trip.id.as_str()), Some("T3"));
        assert_eq!(keeper.handle(&item(2, r#"{"id":"T2","stops":[]}"#)), None);
        assert_eq!(refusal(keeper.handle(&item(4, r#"{"id":"T4","stops":[]}"#))), None);
        assert_eq!(keeper.current().map(|trip| trip.id.as_str()), Some("T4"));
        assert_eq!(refusal(keeper.handle(&item(5, ""))), None);
        assert_eq!(keeper.current(), None);
    }

    #[test]
    fn what_cannot_be_used_is_refused_once_and_the_trip_before_it_stays() {
        let mut keeper = keeper();
        assert!(refusal(keeper.handle(&item(4, "{"))).expect("refused").contains("does not read"));
        assert_eq!(keeper.handle(&item(4, "{")), None);
        let damaged = DownLinkItem { sha256: Sha256::of(b"x"), ..item(6, "{}") };
        assert!(refusal(keeper.handle(&damaged)).expect("refused").contains("hash"));
        assert_eq!(keeper.current().map(|trip| trip.id.as_str()), Some("T3"));
        assert_eq!(keeper.held(), [("trip".to_owned(), 6)]);
    }

    #[test]
    fn a_gateway_cannot_fill_the_agent_with_items() {
        let mut keeper = keeper();
        let named = |n: usize| DownLinkItem { id: format!("item-{n}"), ..item(1, "") };
        let taken = (0..100).filter(|n| keeper.handle(&named(*n)).is_some()).count();
        assert_eq!(taken, DOWN_LINK_ITEMS_MAX - 1, "one is the trip");
    }
}
