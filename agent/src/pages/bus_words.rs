//! A vehicle bus in words, for the status page and the terminal alike.
//!
//! Promise: what there is nothing to say of has no row; every row names its number's meaning.

use crate::status::{BusStatus, ControllerStatus, DbcStatus, PollingStatus};

/// Rows of name and words, in the order of their weight.
pub(super) fn bus_words(bus: &BusStatus) -> Vec<(&'static str, String)> {
    let wrong = bus
        .wrong_vehicle
        .iter()
        .map(|wrong| ("Vehicle", format!("{} by its bus, {} by the configuration", wrong.heard, wrong.configured)));
    let controller = bus.controller.iter().map(|controller| ("Controller", controller_words(*controller)));
    let polling = bus.polling.iter().map(|polling| ("Questions", polling_words(polling)));
    let dbc = bus.dbc.iter().flat_map(dbc_rows);
    wrong.chain(controller).chain(polling).chain(dbc).collect()
}

fn controller_words(ControllerStatus { state, errors }: ControllerStatus) -> String {
    let counted = errors.map(|errors| format!(", errors sending {}, receiving {}", errors.transmit, errors.receive));
    format!("{}{}", state.as_str(), counted.unwrap_or_default())
}

fn polling_words(polling: &PollingStatus) -> String {
    let PollingStatus { requests, answers, timeouts, asleep, unsupported } = polling;
    let mut words = format!("{requests} asked, {answers} answered, {timeouts} in vain");
    if *asleep {
        words.push_str("; the vehicle seems to sleep and is asked once a minute");
    }
    if !unsupported.is_empty() {
        words.push_str(&format!("; it does not have {}", unsupported.join(", ")));
    }
    words
}

fn dbc_rows(dbc: &DbcStatus) -> Vec<(&'static str, String)> {
    let DbcStatus { messages, mistakes, oddities, first } = dbc;
    let count = format!("{messages} messages used; mistakes {mistakes}, oddities {oddities}");
    let first = first.iter().map(|why| ("DBC file", why.clone()));
    std::iter::once(("DBC files", count)).chain(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::example;

    #[test]
    fn every_part_of_a_bus_has_its_words_and_a_receiver_has_none() {
        let shown = bus_words(&example::troubled_bus());
        let lines: Vec<_> = shown.iter().map(|(name, words)| format!("{name}: {words}")).collect();
        assert_eq!(
            lines,
            [
                "Vehicle: 1XPBD49X1MD000001 by its bus, 1XPBD49X1MD000002 by the configuration",
                "Controller: passive, errors sending 128, receiving 3",
                "Questions: 40 asked, 28 answered, 12 in vain; the vehicle seems to sleep and is asked once a minute; it \
                 does not have odometer",
                "DBC files: 61 messages used; mistakes 1, oddities 0",
                "DBC file: /etc/milepost/body.dbc:4: message B: identifier 4096 has more than 11 bits",
            ]
        );
        assert_eq!(bus_words(&BusStatus::default()), []);
    }
}
