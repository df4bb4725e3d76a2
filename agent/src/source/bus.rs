//! What a source makes of the frames of one bus, however they reach it.
//!
//! Promise: frames are decoded as in a recording; what becomes of the bus itself is recorded too when it changes: its
//! state as the switches `NAME.error_warning`, `NAME.error_passive` and `NAME.bus_off`, its error counters as the signals
//! `NAME.transmit_errors` and `NAME.receive_errors`, where NAME is the source's. A bus that its controller has left is told
//! as lost, and is heard again when the controller is back. Nothing is to be sent unless questions were configured. Memory
//! is bounded by what one batch may hold.

use std::time::Duration;

use milepost_proto::reading::{Signal, Switch};
use milepost_proto::{Reading, Timestamp};

use super::can::bus_state::{BusReport, BusState};
use super::can::log_line::LogLine;
use super::can::obd::poll::{Poller, Tally};
use super::can::{CanId, Frame, FrameBody, Observer};
use super::fault::{Fault, Faults};
use super::{BusNews, Observation, ShuttingDown, SourceLink, SourceNews};
use crate::status::{ControllerStatus, PollingStatus};

/// One bus and what is to be told of it.
#[derive(Debug)]
pub(super) struct Bus {
    observer: Observer,
    poller: Option<Poller>,
    /// What became of the questions, as of the last telling.
    told_tally: Tally,
    faults: Faults,
    observations: Vec<Observation>,
    /// The latest frame since the last telling.
    latest: Option<Frame>,
    controller: ControllerStatus,
    /// The controller as of the last telling.
    told: ControllerStatus,
}

impl Bus {
    /// A bus that is asked by `poller`, or only listened to.
    pub(super) fn new(observer: Observer, poller: Option<Poller>) -> Self {
        Self {
            observer,
            poller,
            told_tally: Tally::default(),
            faults: Faults::default(),
            observations: Vec::new(),
            latest: None,
            controller: ControllerStatus::default(),
            told: ControllerStatus::default(),
        }
    }

    /// Takes a frame, which is read at `now_ms` of the monotonic clock.
    pub(super) fn frame(&mut self, frame: &Frame, event_time: Option<Timestamp>, now_ms: u64) {
        if let Some(poller) = &mut self.poller {
            poller.handle_frame(frame, now_ms);
        }
        self.observe(frame, event_time);
    }

    fn observe(&mut self, frame: &Frame, event_time: Option<Timestamp>) {
        let observations = &mut self.observations;
        let observed = |reading| observations.push(Observation { event_time, reading });
        self.observer.observe(frame, &mut self.faults, observed);
        self.latest = Some(*frame);
        if self.controller.state == BusState::Off && frame.body != FrameBody::Error {
            self.controller.state = BusState::Active;
        }
    }

    /// Takes a report of the kernel about the bus itself.
    pub(super) fn error_frame(&mut self, class: u32, data: &[u8]) {
        self.observe(&Frame { id: CanId::Extended(class), body: FrameBody::Error }, None);
        self.report(BusReport::from_error_frame(class, data));
    }

    /// The interface or adapter was opened again, which starts its controller afresh.
    pub(super) fn reopened(&mut self, now_ms: u64) {
        self.controller = ControllerStatus::default();
        if let Some(poller) = &mut self.poller {
            poller.reopened(now_ms);
        }
    }

    /// The next frame to send at `now_ms`, if one is due.
    pub(super) fn outgoing(&mut self, now_ms: u64) -> Option<Frame> {
        self.poller.as_mut()?.poll_output(now_ms)
    }

    /// How long from `now_ms` on nothing is to be sent, but no longer than `most`.
    pub(super) fn pause(&self, now_ms: u64, most: Duration) -> Duration {
        let due_ms = self.poller.as_ref().and_then(Poller::poll_timeout);
        due_ms.map_or(most, |due_ms| Duration::from_millis(due_ms.saturating_sub(now_ms)).min(most))
    }

    /// Takes a report about the bus itself.
    pub(super) fn report(&mut self, report: BusReport) {
        self.controller.state = report.state.unwrap_or(self.controller.state);
        self.controller.errors = report.counters.or(self.controller.errors);
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
        let (before, now) = (std::mem::replace(&mut self.told, self.controller), self.controller);
        if before.state != now.state {
            self.observations.extend(switches(link.name(), now.state));
        }
        if before.errors != now.errors {
            self.observations.extend(counters(link.name(), now));
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
        if before != now {
            link.tell(SourceNews::Bus(BusNews::Controller(now))).await?;
        }
        if before.state != now.state && now.state == BusState::Off {
            link.tell(SourceNews::Lost { why: bus_off(link.name()) }).await?;
        }
        self.tell_polling(link).await?;
        Ok(usable)
    }

    async fn tell_polling(&mut self, link: &SourceLink) -> Result<(), ShuttingDown> {
        let Some(poller) = &self.poller else { return Ok(()) };
        let tally = poller.tally();
        if tally == self.told_tally {
            return Ok(());
        }
        self.told_tally = tally;
        let Tally { requests, answers, timeouts } = tally;
        let unsupported = poller.unsupported().map(|quantity| quantity.to_string()).collect();
        let polling = PollingStatus { requests, answers, timeouts, asleep: poller.is_asleep(), unsupported };
        link.tell(SourceNews::Bus(BusNews::Polling(polling))).await
    }
}

fn switches(bus: &str, state: BusState) -> impl Iterator<Item = Observation> {
    let switch = |name: &str, on| Reading::Switch(Switch { name: format!("{bus}.{name}"), on });
    let readings = [
        switch("error_warning", state >= BusState::Warning),
        switch("error_passive", state >= BusState::Passive),
        switch("bus_off", state == BusState::Off),
    ];
    readings.into_iter().map(|reading| Observation { event_time: None, reading })
}

fn counters(bus: &str, controller: ControllerStatus) -> impl Iterator<Item = Observation> {
    let counted = controller.errors.into_iter();
    let named = counted.flat_map(|errors| [("transmit_errors", errors.transmit), ("receive_errors", errors.receive)]);
    named.map(move |(name, count)| {
        let signal = Signal { name: format!("{bus}.{name}"), value: count.into(), unit: String::new() };
        Observation { event_time: None, reading: Reading::Signal(signal) }
    })
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
    use crate::source::can::log_line::LogLine;
    use crate::source::can::obd::poll::{Addressing, PollPlan, Quantity};

    const BUS_OFF: u32 = 0x40;
    const RESTARTED: u32 = 0x100;
    const CONTROLLER: u32 = 0x04;
    const COUNTERS: u32 = 0x200;
    const PASSIVE: &[u8] = &[0, 0x10];
    const GATHERED: Duration = Duration::from_secs(1);

    /// What is told of a bus after each step.
    async fn check(steps: &[fn(&mut Bus)], expected: &[&str]) {
        let (sender, mut events) = mpsc::channel(64);
        let link = SourceLink::new("can0", sender, Clock::system());
        let mut bus = Bus::new(Observer::default(), None);
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
                SourceNews::Bus(BusNews::Controller(controller)) => told.push(controller.state.as_str().to_owned()),
                SourceNews::Bus(other) => told.push(format!("{other:?}")),
                SourceNews::Lost { .. } => told.push("lost".to_owned()),
                SourceNews::Opened => told.push("opened".to_owned()),
                SourceNews::Ended => told.push("ended".to_owned()),
            }
        }
        assert_eq!(told, expected);
    }

    fn speed(bus: &mut Bus) {
        bus.frame(&candump::parse(b"x 18FEF100#FF005AFFFFFFFFFF").expect("a line").frame, None, 0);
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
                "[can0.error_warning=true can0.error_passive=true can0.bus_off=false] can0 20000004#",
                "{\"error_frame\": 1}",
                "passive",
                "[can0.error_warning=true can0.error_passive=true can0.bus_off=true] can0 20000040#",
                "{\"error_frame\": 1}",
                "bus-off",
                "lost",
                "[] can0 20000040#",
                "{\"error_frame\": 1}",
                "[can0.error_warning=false can0.error_passive=false can0.bus_off=false] can0 20000100#",
                "{\"error_frame\": 1}",
                "active",
            ],
        )
        .await;
    }

    #[tokio::test]
    async fn an_interface_opened_again_has_a_controller_that_is_active_and_may_leave_the_bus_again() {
        check(
            &[|bus| bus.error_frame(BUS_OFF, &[]), |bus| bus.reopened(0), |bus| bus.error_frame(BUS_OFF, &[])],
            &[
                "[can0.error_warning=true can0.error_passive=true can0.bus_off=true] can0 20000040#",
                "{\"error_frame\": 1}",
                "bus-off",
                "lost",
                "[can0.error_warning=false can0.error_passive=false can0.bus_off=false] ",
                "active",
                "[can0.error_warning=true can0.error_passive=true can0.bus_off=true] can0 20000040#",
                "{\"error_frame\": 1}",
                "bus-off",
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
                "[can0.error_warning=true can0.error_passive=true can0.bus_off=true] can0 20000040#",
                "{\"error_frame\": 1}",
                "bus-off",
                "lost",
                "[Vehicle.Speed=90 can0.error_warning=false can0.error_passive=false can0.bus_off=false] can0 18FEF100#FF005AFFFFFFFFFF",
                "{\"not_available\": 4}",
                "active",
            ],
        )
        .await;
    }

    #[tokio::test]
    async fn error_counters_are_recorded_when_they_change() {
        let warned: fn(&mut Bus) = |bus| bus.error_frame(CONTROLLER, &[0, 0x08, 0, 0, 0, 0, 96, 3]);
        check(
            &[warned, warned, |bus| bus.error_frame(COUNTERS, &[0, 0, 0, 0, 0, 0, 95, 3])],
            &[
                "[can0.error_warning=true can0.error_passive=false can0.bus_off=false can0.transmit_errors=96 can0.receive_errors=3] can0 20000004#",
                "{\"error_frame\": 1}",
                "warning",
                "[] can0 20000004#",
                "{\"error_frame\": 1}",
                "[can0.transmit_errors=95 can0.receive_errors=3] can0 20000200#",
                "{\"error_frame\": 1}",
                "warning",
            ],
        )
        .await;
    }

    #[tokio::test]
    async fn questions_are_sent_and_what_became_of_them_is_told_and_without_a_plan_there_are_none() {
        let plan = PollPlan {
            addressing: Addressing::Standard,
            every_s: vec![(Quantity::Parameter(0x0d), 1), (Quantity::Parameter(0x0c), 1)],
        };
        let (sender, mut events) = mpsc::channel(64);
        let link = SourceLink::new("can0", sender, Clock::system());
        let mut bus = Bus::new(Observer::default(), Some(Poller::new(&plan, 0)));
        let mut answer = |line: &[u8], now_ms| {
            let asked = bus.outgoing(now_ms).map(|frame| LogLine { bus: "can0", frame: &frame }.to_string());
            bus.frame(&candump::parse(line).expect("a line").frame, None, now_ms);
            asked
        };
        assert_eq!(answer(b"x 7E8#0641000008000000", 0).as_deref(), Some("can0 7DF#0201000000000000"));
        assert_eq!(answer(b"x 7E8#03410D5A00000000", 50).as_deref(), Some("can0 7DF#02010D0000000000"));
        bus.tell(&link).await.expect("heard");
        drop(link);
        let mut told = Vec::new();
        while let Some(Event::Source(report)) = events.recv().await {
            match report.news {
                SourceNews::Observed { observations, .. } => told.push(format!("{:?}", observations[0].reading)),
                SourceNews::Bus(BusNews::Polling(polling)) => told.push(format!("{polling:?}")),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(
            told,
            [
                "Signal(Signal { name: \"Vehicle.Speed\", value: 90.0, unit: \"km/h\" })",
                "PollingStatus { requests: 2, answers: 2, timeouts: 0, asleep: false, unsupported: [\"engine_speed\"] }",
            ]
        );
        let mut listener = Bus::new(Observer::default(), None);
        assert_eq!((listener.outgoing(1_000_000), listener.pause(0, GATHERED)), (None, GATHERED));
    }
}
