//! `cargo xtask recordings`: writes the recordings that are made from other recordings; `recordings/README.md` says where
//! those come from.
//!
//! Promise: what is committed is what this writes; a test compares them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{nmea, workspace};

const TRACK: &str = "seattle-bus.csv";
const SENTENCES: &str = "seattle-bus.nmea";
const HEADING: &str =
    "# A bus in Seattle, 2019-10-31, from seattle-bus.csv by `cargo xtask recordings`. See README.md.\r\n";

/// Runs the chore.
pub(crate) fn run() -> Result<()> {
    let path = folder().join(SENTENCES);
    fs::write(&path, render()?).with_context(|| format!("failed to write {}", path.display()))
}

fn render() -> Result<String> {
    let path = folder().join(TRACK);
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let track = nmea::read_track(&text).with_context(|| format!("failed to read {}", path.display()))?;
    Ok(format!("{HEADING}{}", nmea::sentences(&track)))
}

fn folder() -> PathBuf {
    workspace::root().join("recordings")
}

#[cfg(test)]
mod tests {
    use ::nmea::ParseResult;
    use milepost_proto::plan::Plan;

    use super::*;

    fn read(name: &str) -> Vec<u8> {
        fs::read(folder().join(name)).expect(name)
    }

    #[test]
    fn the_committed_sentences_are_those_of_the_committed_track() {
        assert!(read(SENTENCES) == render().expect("the track reads").as_bytes(), "run cargo xtask recordings");
    }

    #[test]
    fn an_independent_parser_reads_every_recorded_position_back() {
        let track = String::from_utf8(read(TRACK)).expect("text");
        let recorded = track.lines().skip(1).map(|line| {
            let mut fields = line.split(',').skip(1).map(|field| field.parse::<f64>().expect("a number"));
            (fields.next().expect("lat"), fields.next().expect("lon"))
        });
        let sentences = String::from_utf8(read(SENTENCES)).expect("text");
        let mut read_back =
            sentences.lines().filter(|line| line.starts_with('$')).map(|line| {
                match ::nmea::parse_str(line).expect(line) {
                    ParseResult::RMC(rmc) => (rmc.lat.expect("lat"), rmc.lon.expect("lon")),
                    ParseResult::GGA(gga) => (gga.latitude.expect("lat"), gga.longitude.expect("lon")),
                    other => panic!("{other:?}"),
                }
            });
        for (lat, lon) in recorded {
            for sentence in ["RMC", "GGA"] {
                let (read_lat, read_lon) = read_back.next().expect(sentence);
                let off = (read_lat - lat).abs().max((read_lon - lon).abs());
                assert!(off < 1e-7, "{sentence} of {lat}, {lon} reads {read_lat}, {read_lon}");
            }
        }
        assert_eq!(read_back.next(), None);
    }

    #[test]
    fn the_plan_has_no_mistakes_and_is_driven_by_truck_7() {
        let plan: Plan = serde_json::from_slice(&read("seattle-bus.plan.json")).expect("plan format");
        assert_eq!(plan.check(), Vec::<String>::new());
        assert!(plan.trips.iter().all(|trip| trip.device.as_deref() == Some("truck-7")));
    }

    #[test]
    fn the_images_are_what_their_names_say_and_small() {
        for (name, magic) in [("signature.png", &b"\x89PNG\r\n\x1a\n"[..]), ("photo.jpg", b"\xff\xd8\xff")] {
            let image = read(name);
            assert!(image.starts_with(magic) && image.len() <= 30 * 1024, "{name}: {} bytes", image.len());
        }
    }
}
