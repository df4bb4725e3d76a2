//! The uplink as the status shows it.

use super::EventLoop;
use crate::config::Config;
use crate::status::{BudgetStatus, GatewayStatus, PoisonStatus, SpentStatus, UplinkHealth, UplinkStatus};
use crate::uplink::budget::{Budget, Spent};

/// Before anything was sent.
pub(super) fn before_the_start(config: &Config) -> UplinkStatus {
    let gateway = |url: &String| GatewayStatus { url: url.clone(), trouble: None };
    UplinkStatus {
        gateway: config.gateway.urls.first().cloned().unwrap_or_default(),
        gateways: config.gateway.urls.iter().map(gateway).collect(),
        state: UplinkHealth::Idle,
        why: None,
        last_receipt_age_s: None,
        next_attempt_s: None,
        failures: 0,
        settled: 0,
        refused: 0,
        poison: PoisonStatus::default(),
        budget: budget_status(&Budget::new(config.gateway.budget, crate::uplink::budget::Tally::default())),
        held: Vec::new(),
        sent_bytes: 0,
        requests: 0,
    }
}

impl EventLoop {
    pub(super) fn uplink_status(&self, now_ms: u64) -> UplinkStatus {
        let (obstacle, gateways, traffic) = (self.uplink.obstacle(), self.uplink.gateways(), &self.traffic);
        let urls = &self.config.gateway.urls;
        let each = urls.iter().zip(gateways.complaints());
        UplinkStatus {
            gateway: urls.get(gateways.current()).cloned().unwrap_or_default(),
            gateways: each.map(|(url, trouble)| GatewayStatus { url: url.clone(), trouble: trouble.clone() }).collect(),
            state: self.uplink.health(),
            why: obstacle.map(|(why, _)| why.to_owned()),
            last_receipt_age_s: self.uplink.last_receipt_ms().map(|ms| now_ms.saturating_sub(ms) / 1_000),
            next_attempt_s: obstacle.map(|(_, until_ms)| until_ms.saturating_sub(now_ms) / 1_000),
            failures: self.uplink.failures(),
            settled: traffic.settled,
            refused: traffic.refused,
            poison: self.poison_status(),
            budget: budget_status(self.uplink.budget()),
            held: self.held(),
            sent_bytes: traffic.sent_bytes,
            requests: traffic.requests,
        }
    }

    fn poison_status(&self) -> PoisonStatus {
        let poison = &self.measure.poison;
        PoisonStatus {
            set_aside: self.traffic.set_aside,
            records: poison.records,
            evidence: poison.evidence,
            bytes: poison.bytes,
            why: poison.latest_why.clone(),
        }
    }

    /// What waits because of the link, and why.
    fn held(&self) -> Vec<String> {
        let telemetry_waits = self.waits(milepost_proto::Lane::Telemetry);
        let mut held = self.uplink.budget().held(telemetry_waits, &self.measure.blobs);
        if self.uplink.blobs_resting() > 0 {
            held.push(format!(
                "{} photos rest for an hour: the gateway refused parts of them",
                self.uplink.blobs_resting()
            ));
        }
        held.extend(self.traffic.link_file.trouble().map(str::to_owned));
        held
    }
}

fn budget_status(budget: &Budget) -> BudgetStatus {
    let most = budget.links();
    BudgetStatus {
        link: budget.link(),
        urgent: SpentStatus { bytes: budget.spent(Spent::Urgent), bytes_max: None },
        telemetry: SpentStatus { bytes: budget.spent(Spent::Telemetry), bytes_max: most.telemetry_bytes },
        blobs: SpentStatus { bytes: budget.spent(Spent::Blobs), bytes_max: most.blobs_bytes },
    }
}
