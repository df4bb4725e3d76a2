//! What a source makes of the frames of one bus, however they reach it.
//!
//! Promise: frames are decoded as in a recording; what becomes of the bus itself is recorded too, as the switches
//! `NAME.error_passive` and `NAME.bus_off`, where NAME is the source's. A bus that its controller has left is told as
//! lost, and is heard again when the controller is back. Memory is bounded by what one batch may hold.

use milepost_proto::reading::Switch;
use milepost_proto::{Reading, Timestamp};

use super::can::bus_state::{BusReport, BusState};
use super::can::log_line::LogLine;
use super::can::{CanId, Frame, FrameBody, Observer};
use super::fault::{Fault, Faults};
use super::{Observation, ShuttingDown, SourceLink, SourceNews};

/// One bus and what is to be told of it.
#[derive(Debug)]
pub(super) struct Bus {
    observer: Observer,
    faults: Faults,
    observations: Vec<Observation>,
    /// The latest frame since the last telling.
    latest: Option<Frame>,
    state: BusState,
    /// The state as of the last telling.
    told: BusState,
}

impl Bus {
    pub(super) fn new(observer: Observer) -> Self {
        Self {
            observer,
            faults: Faults::default(),
            observations: Vec::new(),
            latest: None,
            state: BusState::default(),
            told: BusState::default(),
        }
    }

    /// Takes a frame.
    pub(super) fn frame(&mut self, frame: &Frame, event_time: Option<Timestamp>) {
        let observations = &mut self.observations;
        let observed = |reading| observations.push(Observation { event_time, reading });
        self.observer.observe(frame, &mut self.faults, observed);
        self.latest = Some(*frame);
        if self.state == BusState::Off && frame.body != FrameBody::Error {
            self.state = BusState::Active;
        }
    }

    /// Takes a report of the kernel about the bus itself.
    pub(super) fn error_frame(&mut self, class: u32, data: &[u8]) {
        self.frame(&Frame { id: CanId::Extended(class), body: FrameBody::Error }, None);
        self.report(BusReport::from_error_frame(class, data));
    }

    /// The interface or adapter was opened again, which starts its controller afresh.
    pub(super) fn reopened(&mut self) {
        self.state = BusState::Active;
    }

    /// Takes a report about the bus itself.
    pub(super) fn report(&mut self, report: BusReport) {
        self.state = report.state.unwrap_or(self.state);
        if report.overflow {
            self.faults.count(Fault::Overflow);
        }
    }

    /// The counts, for whoever finds more that is unusable.
    pub(super) const fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// Tells everything since the last time; says whether anything usable was among it.
    pub(super) async fn tell(&mut self, link: &SourceLink) -> Result<bool, ShuttingDown> {
        if self.latest.is_some() {
            let observations = &mut self.observations;
            let observed = |reading| observations.push(Observation { event_time: None, reading });
            self.observer.pass_time(link.clock().monotonic_ms(), observed);
        }
        let (before, state) = (std::mem::replace(&mut self.told, self.state), self.state);
        if before != state {
            self.observations.extend(switches(link.name(), state));
        }
        let observations = std::mem::take(&mut self.observations);
        let usable = !observations.is_empty();
        let raw = self.latest.take().map(|frame| LogLine { bus: link.name(), frame: &frame }.to_string());
        if usable || raw.is_some() {
            link.tell(SourceNews::Observed { observations, raw }).await?;
        }
        let faults = self.faults.take();
        if !faults.is_empty() {
            link.tell(SourceNews::Faults(faults)).await?;
        }
        if before != state && state == BusState::Off {
            link.tell(SourceNews::Lost { why: bus_off(link.name()) }).await?;
        }
        Ok(usable)
    }
}

fn switches(bus: &str, state: BusState) -> impl Iterator<Item = Observation> {
    let switch = |name: &str, on| Reading::Switch(Switch { name: format!("{bus}.{name}"), on });
    let readings = [switch("error_passive", state >= BusState::Passive), switch("bus_off", state == BusState::Off)];
    readings.into_iter().map(|reading| Observation { event_time: None, reading })
}

fn bus_off(bus: &str) -> String {
    format!(
        "the controller of {bus} has left the bus (bus-off); look at wiring, termination and bit rate, then restart it"
    )
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::clock::Clock;
    use crate::event::Event;
    use crate::source::can::candump;

    const BUS_OFF: u32 = 0x40;
    const RESTARTED: u32 = 0x100;
    const CONTROLLER: u32 = 0x04;
    const PASSIVE: &[u8] = &[0, 0x10];

    /// What is told of a bus after each step.
    async fn check(steps: &[fn(&mut Bus)], expected: &[&str]) {
        let (sender, mut events) = mpsc::channel(64);
        let link = SourceLink::new("can0", sender, Clock::system());
        let mut bus = Bus::new(Observer::default());
        for step in steps {
            step(&mut bus);
            bus.tell(&link).await.expect("heard");
        }
        drop(link);
        let mut told = Vec::new();
        while let Some(Event::Source(report)) = events.recv().await {
            match report.news {
                SourceNews::Observed { observations, raw } => {
                    let readings = observations.into_iter().map(|observation| match observation.reading {
                        Reading::Switch(switch) => format!("{}={}", switch.name, switch.on),
                        Reading::Signal(signal) => format!("{}={}", signal.name, signal.value),
                        other => format!("{other:?}"),
                    });
                    told.push(format!("[{}] {}", readings.collect::<Vec<_>>().join(" "), raw.unwrap_or_default()));
                }
                SourceNews::Faults(faults) => told.push(format!("{faults:?}")),
                SourceNews::Lost { .. } => told.push("lost".to_owned()),
                SourceNews::Opened => told.push("opened".to_owned()),
                SourceNews::Ended => told.push("ended".to_owned()),
            }
        }
        assert_eq!(told, expected);
    }

    fn speed(bus: &mut Bus) {
        bus.frame(&candump::parse(b"x 18FEF100#FF005AFFFFFFFFFF").expect("a line").frame, None);
    }

    #[tokio::test]
    async fn a_frame_is_told_with_its_readings_and_as_it_came() {
        check(&[speed, |_| {}], &["[Vehicle.Speed=90] can0 18FEF100#FF005AFFFFFFFFFF", "{\"not_available\": 4}"]).await;
    }

    #[tokio::test]
    async fn a_controller_that_leaves_the_bus_is_lost_once_and_heard_when_it_is_restarted() {
        check(
            &[
                |bus| bus.error_frame(CONTROLLER, PASSIVE),
                |bus| bus.error_frame(BUS_OFF, &[]),
                |bus| bus.error_frame(BUS_OFF, &[]),
                |bus| bus.error_frame(RESTARTED, &[]),
            ],
            &[
                "[can0.error_passive=true can0.bus_off=false] can0 20000004#",
                "{\"error_frame\": 1}",
                "[can0.error_passive=true can0.bus_off=true] can0 20000040#",
                "{\"error_frame\": 1}",
                "lost",
                "[] can0 20000040#",
                "{\"error_frame\": 1}",
                "[can0.error_passive=false can0.bus_off=false] can0 20000100#",
                "{\"error_frame\": 1}",
            ],
        )
        .await;
    }

    #[tokio::test]
    async fn an_interface_opened_again_has_a_controller_that_is_active_and_may_leave_the_bus_again() {
        check(
            &[|bus| bus.error_frame(BUS_OFF, &[]), Bus::reopened, |bus| bus.error_frame(BUS_OFF, &[])],
            &[
                "[can0.error_passive=true can0.bus_off=true] can0 20000040#",
                "{\"error_frame\": 1}",
                "lost",
                "[can0.error_passive=false can0.bus_off=false] ",
                "[can0.error_passive=true can0.bus_off=true] can0 20000040#",
                "{\"error_frame\": 1}",
                "lost",
            ],
        )
        .await;
    }

    #[tokio::test]
    async fn a_frame_after_bus_off_means_that_the_controller_is_back() {
        check(
            &[|bus| bus.error_frame(BUS_OFF, &[]), speed],
            &[
                "[can0.error_passive=true can0.bus_off=true] can0 20000040#",
                "{\"error_frame\": 1}",
                "lost",
                "[Vehicle.Speed=90 can0.error_passive=false can0.bus_off=false] can0 18FEF100#FF005AFFFFFFFFFF",
                "{\"not_available\": 4}",
            ],
        )
        .await;
    }
}
