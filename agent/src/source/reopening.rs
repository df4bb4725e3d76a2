//! How a lost source is opened again.
//!
//! Promise: a loss is told once, however many attempts fail for the same reason, and the waits between attempts double
//! up to a bound, so that a source that is gone for a day costs nothing and one that is back is heard within the bound.

use std::time::Duration;

use super::{ShuttingDown, SourceLink, SourceNews};

/// How patient to be with a source that is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// First wait.
    pub min: Duration,
    /// Longest wait.
    pub max: Duration,
}

impl Default for Patience {
    /// 1 s to 30 s.
    fn default() -> Self {
        Self { min: Duration::from_secs(1), max: Duration::from_secs(30) }
    }
}

/// The attempts to open one source.
#[derive(Debug)]
pub(super) struct Reopening {
    patience: Patience,
    wait: Duration,
    told: Option<String>,
}

impl Reopening {
    pub(super) const fn new(patience: Patience) -> Self {
        Self { patience, wait: patience.min, told: None }
    }

    /// It is open. The wait stays long until something is heard: a source that opens and is lost at once must not spin.
    pub(super) async fn opened(&mut self, link: &SourceLink) -> Result<(), ShuttingDown> {
        self.told = None;
        link.tell(SourceNews::Opened).await
    }

    /// Something usable was heard: the next loss is a new one.
    pub(super) const fn heard(&mut self) {
        self.wait = self.patience.min;
    }

    /// Tells why it was lost, unless that was just said, and waits before the next attempt.
    pub(super) async fn lost(&mut self, why: String, link: &SourceLink) -> Result<(), ShuttingDown> {
        if self.told.as_ref() != Some(&why) {
            link.tell(SourceNews::Lost { why: why.clone() }).await?;
            self.told = Some(why);
        }
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(self.patience.max);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::clock::Clock;
    use crate::event::Event;

    #[tokio::test(flavor = "current_thread")]
    async fn a_loss_is_told_once_per_reason_and_waits_double_up_to_their_bound() {
        let (sender, mut events) = mpsc::channel(16);
        let link = SourceLink::new("bus", sender, Clock::system());
        let ms = Duration::from_millis;
        let mut reopening = Reopening::new(Patience { min: ms(1), max: ms(3) });
        let mut waits = Vec::new();
        for why in ["gone", "gone", "down"] {
            waits.push(reopening.wait);
            reopening.lost(why.to_owned(), &link).await.expect("heard");
        }
        waits.push(reopening.wait);
        assert_eq!(waits, [ms(1), ms(2), ms(3), ms(3)]);
        reopening.opened(&link).await.expect("heard");
        assert_eq!(reopening.wait, ms(3), "opening alone does not end the patience");
        reopening.heard();
        assert_eq!(reopening.wait, ms(1));
        drop(link);
        let mut told = Vec::new();
        while let Some(Event::Source(report)) = events.recv().await {
            told.push(format!("{:?}", report.news));
        }
        assert_eq!(told, ["Lost { why: \"gone\" }", "Lost { why: \"down\" }", "Opened"]);
    }
}
