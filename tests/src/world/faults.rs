//! What goes wrong in a world, and how often.
//!
//! Promise: every fault is a number here; all zero is a world in which nothing goes wrong.

/// Knobs. Chances are from 0 to 1, each for one request, attempt or start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Faults {
    /// Mean time between falls or disk faults of one vehicle, seconds; 0 for none.
    pub vehicle_fault_every_s: u64,
    /// The same for the gateway.
    pub gateway_fault_every_s: u64,
    /// Longest time down after a fall, seconds.
    pub down_s_max: u64,
    /// A fault of a disk is an error or no space instead of a fall.
    pub disk_refuses: f64,
    /// A start falls again before it is done.
    pub falls_while_starting: f64,
    /// The disk answers syncs without doing them: the control, which must lose something.
    pub syncs_are_lies: bool,
    /// Mean time between long times without coverage of one vehicle, seconds; 0 for none.
    pub offline_every_s: u64,
    /// Longest time without coverage, seconds.
    pub offline_s_max: u64,
    /// A request is lost on its way, and the vehicle is told.
    pub loss: f64,
    /// A request vanishes, and nobody is told.
    pub black_hole: f64,
    /// A request arrives a second time, up to minutes later, behind newer ones.
    pub duplicate: f64,
    /// A request takes up to two minutes.
    pub slow: f64,
    /// The answer is lost after the gateway has committed.
    pub answer_lost: f64,
    /// The gateway, or something before it, refuses: 503, 413 or 500.
    pub refused: f64,
    /// The answer is not what was asked for: another request's, half of it, or something else.
    pub wrong_answer: f64,
    /// The vehicle's clock starts in 1970.
    pub dead_rtc: f64,
    /// The vehicle's clock is wrong when it starts, by up to twelve hours.
    pub stepped_clock: f64,
    /// Largest drift of a vehicle's clock, parts per million.
    pub drift_ppm_max: u64,
    /// The phone does not hear the vehicle's answer and sends again.
    pub phone_deaf: f64,
    /// A call to Odoo goes wrong: refused, lost before or after its commit, or committed much later.
    pub odoo: f64,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        vehicle_fault_every_s: 0,
        gateway_fault_every_s: 0,
        down_s_max: 0,
        disk_refuses: 0.0,
        falls_while_starting: 0.0,
        syncs_are_lies: false,
        offline_every_s: 0,
        offline_s_max: 0,
        loss: 0.0,
        black_hole: 0.0,
        duplicate: 0.0,
        slow: 0.0,
        answer_lost: 0.0,
        refused: 0.0,
        wrong_answer: 0.0,
        dead_rtc: 0.0,
        stepped_clock: 0.0,
        drift_ppm_max: 0,
        phone_deaf: 0.0,
        odoo: 0.0,
    };

    /// Everything that can happen, more often than in life.
    #[must_use]
    pub const fn rough() -> Self {
        Self {
            vehicle_fault_every_s: 600,
            gateway_fault_every_s: 900,
            down_s_max: 120,
            disk_refuses: 0.2,
            falls_while_starting: 0.2,
            syncs_are_lies: false,
            offline_every_s: 3_600,
            offline_s_max: 3_600,
            loss: 0.05,
            black_hole: 0.02,
            duplicate: 0.05,
            slow: 0.05,
            answer_lost: 0.05,
            refused: 0.05,
            wrong_answer: 0.03,
            dead_rtc: 0.3,
            stepped_clock: 0.1,
            drift_ppm_max: 90,
            phone_deaf: 0.2,
            odoo: 0.3,
        }
    }

    /// Falls and disk faults all the time, on a network that is only poor.
    #[must_use]
    pub const fn storm() -> Self {
        Self {
            vehicle_fault_every_s: 20,
            gateway_fault_every_s: 60,
            down_s_max: 5,
            offline_every_s: 0,
            ..Self::rough()
        }
    }

    /// What a vehicle meets in a normal week.
    #[must_use]
    pub const fn usual() -> Self {
        Self {
            vehicle_fault_every_s: 14_400,
            gateway_fault_every_s: 86_400,
            offline_every_s: 14_400,
            disk_refuses: 0.02,
            falls_while_starting: 0.01,
            loss: 0.02,
            black_hole: 0.01,
            duplicate: 0.01,
            slow: 0.01,
            answer_lost: 0.01,
            refused: 0.01,
            wrong_answer: 0.005,
            odoo: 0.05,
            ..Self::rough()
        }
    }
}
