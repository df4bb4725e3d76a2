//! A driver's phone: captures things, keeps each until the vehicle says that it holds it, sends again otherwise.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::wait;

/// Between one capture and the next.
const CAPTURE_EVERY: Duration = Duration::from_millis(120);
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
    /// Starts capturing over HTTP at `agent` (`http://host:port`) on behalf of stop `stop`.
    #[must_use]
    pub fn over_http(agent: &str, stop: &str, prefix: &str) -> Self {
        let (url, http) = (format!("{agent}/v1/driver"), http());
        Self::start(stop, prefix, move |capture| http.post(&url).send_json(capture).is_ok())
    }

    /// Starts capturing over MQTT by the foreign client `mosquitto_pub`, at QoS 1.
    #[must_use]
    pub fn over_mqtt(port: u16, device: &str, stop: &str, prefix: &str) -> Self {
        let topic = format!("milepost/{device}/driver");
        Self::start(stop, prefix, move |capture| {
            Command::new("mosquitto_pub")
                .args(["-p", &port.to_string(), "-q", "1", "-t", &topic, "-m", &capture.to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        })
    }

    fn start(stop: &str, prefix: &str, send: impl Fn(&Value) -> bool + Send + 'static) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let (stop, prefix) = (stop.to_owned(), prefix.to_owned());
        let thread = std::thread::spawn({
            let stopping = Arc::clone(&stopping);
            move || {
                let mut accepted = Vec::new();
                while !stopping.load(Ordering::Relaxed) {
                    let client_ref = format!("{prefix}-{}", accepted.len() + 1);
                    let capture = json!({"client_ref": client_ref, "action": "unloading", "stop": stop});
                    while !send(&capture) {
                        wait::pause(RESEND_AFTER);
                    }
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
