//! A driver's phone: captures things, keeps each until the vehicle says that it holds it, sends again otherwise.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{live_drive, wait};

/// Between one capture and the next.
const CAPTURE_EVERY: Duration = Duration::from_millis(120);
/// From standing still to the first signature.
const SETTLING: Duration = Duration::from_secs(2);
/// Before sending again what was not accepted.
const RESEND_AFTER: Duration = Duration::from_millis(50);

/// An HTTP client that gives up quickly.
#[must_use]
pub fn http() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build().new_agent()
}

/// A phone that captures one action after the other until it is told to stop.
pub struct Phone {
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<Vec<String>>,
}

impl Phone {
    /// Starts capturing over HTTP at `agent` (`http://host:port`).
    #[must_use]
    pub fn over_http(agent: &str, prefix: &str) -> Self {
        let (url, http) = (format!("{agent}/v1/driver"), http());
        Self::start(prefix, move |capture| http.post(&url).send_json(capture).is_ok())
    }

    /// Starts capturing over MQTT by the foreign client `mosquitto_pub`, at QoS 1.
    #[must_use]
    pub fn over_mqtt(port: u16, device: &str, prefix: &str) -> Self {
        let topic = format!("milepost/{device}/driver");
        Self::start(prefix, move |capture| {
            Command::new("mosquitto_pub")
                .args(["-p", &port.to_string(), "-q", "1", "-t", &topic, "-m", &capture.to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        })
    }

    fn start(prefix: &str, send: impl Fn(&Value) -> bool + Send + 'static) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let prefix = prefix.to_owned();
        let thread = std::thread::spawn({
            let stopping = Arc::clone(&stopping);
            move || {
                let mut accepted = Vec::new();
                while !stopping.load(Ordering::Relaxed) {
                    let client_ref = format!("{prefix}-{}", accepted.len() + 1);
                    let capture = json!({"client_ref": client_ref, "action": "trip_started"});
                    insist(|| send(&capture));
                    accepted.push(client_ref);
                    wait::pause(CAPTURE_EVERY);
                }
                accepted
            }
        });
        Self { stopping, thread }
    }

    /// Stops capturing once the last capture was accepted; gives every reference that was.
    ///
    /// # Panics
    /// When the phone itself did.
    #[must_use]
    pub fn stop(self) -> Vec<String> {
        self.stopping.store(true, Ordering::Relaxed);
        self.thread.join().expect("the phone works")
    }
}

/// Delivers at one stop of a live drive after the other, while the vehicle stands there; gives the references.
#[must_use]
pub fn deliver_all(agent: &str, shipments: &[String]) -> JoinHandle<Vec<String>> {
    let (url, http, shipments) = (format!("{agent}/v1/pods"), http(), shipments.to_vec());
    let began = wait::now();
    std::thread::spawn(move || {
        let mut accepted = Vec::new();
        for (index, shipment) in (0..).zip(&shipments) {
            wait::pause((live_drive::stands_at(index) + SETTLING).saturating_sub(began.elapsed()));
            let (client_ref, stop) = (format!("pod-{}", index + 1), format!("S{}", index + 1));
            let pod = json!({"client_ref": client_ref, "stop": stop, "shipment": shipment, "outcome": "completed"});
            insist(|| http.post(&url).send_json(&pod).is_ok());
            accepted.push(client_ref);
        }
        accepted
    })
}

/// Does it again and again until it works.
fn insist(mut attempt: impl FnMut() -> bool) {
    while !attempt() {
        wait::pause(RESEND_AFTER);
    }
}
