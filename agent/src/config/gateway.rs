//! `[gateway]`: where records go, when, and what that may cost.
//!
//! Promise: at least one gateway, each over TLS; a budget that exists names its link once.

use std::path::{Path, PathBuf};

use milepost_proto::config_table::Table;

use crate::uplink::budget::{BudgetPolicy, LinkBudget, LinkClass};
use crate::uplink::gateways::GATEWAYS_MAX;

/// Bytes of a MiB.
const MIB: u64 = 1024 * 1024;

/// `[gateway]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayConfig {
    /// `https://host:port` of each, in the order in which they are tried; the first is used whenever it answers.
    pub urls: Vec<String>,
    /// The certificate authority that signed the gateways' certificates, PEM.
    pub ca: PathBuf,
    /// This device's certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PKCS #8 PEM.
    pub key: PathBuf,
    /// Telemetry alone is gathered this long before it is sent, milliseconds.
    pub gather_ms: u64,
    /// Longest silence before a request without records asks for news, seconds.
    pub heartbeat_s: u64,
    /// Longest wait between attempts while the gateway cannot be reached, seconds.
    pub retry_s_max: u64,
    /// What may be sent over which link.
    pub budget: BudgetPolicy,
    /// The file that names the link's class, if one does.
    pub link_file: Option<PathBuf>,
}

pub(super) fn read(mut table: Table<'_>, folder: &Path) -> Option<GatewayConfig> {
    let urls = urls(&mut table);
    let ca = table.require::<PathBuf>("ca");
    let certificate = table.require::<PathBuf>("certificate");
    let key = table.require::<PathBuf>("key");
    let gather_ms = table.get_in("gather_ms", 0..=3_600_000, 5_000_u64);
    let heartbeat_s = table.get_in("heartbeat_s", 1..=3_600, 30_u64);
    let retry_s_max = table.get_in("retry_s_max", 1..=3_600, 120_u64);
    let link_file = table.get::<PathBuf>("link_file").map(|path| folder.join(path));
    let budget = budget(&mut table);
    table.finish();
    Some(GatewayConfig {
        urls: urls?,
        ca: folder.join(ca?),
        certificate: folder.join(certificate?),
        key: folder.join(key?),
        gather_ms,
        heartbeat_s,
        retry_s_max,
        budget,
        link_file,
    })
}

/// `url`, or `urls` in their order.
fn urls(table: &mut Table<'_>) -> Option<Vec<String>> {
    let (key, urls) = if table.has("urls") {
        if table.has("url") {
            table.fault("url", "stands beside urls; put it first in urls instead");
        }
        ("urls", table.get::<Vec<String>>("urls")?)
    } else {
        ("url", vec![table.require::<String>("url")?])
    };
    if urls.is_empty() || urls.len() > GATEWAYS_MAX {
        table.fault(key, &format!("must name 1 to {GATEWAYS_MAX} gateways"));
    }
    for url in &urls {
        if !url.starts_with("https://") {
            table.fault(key, "must begin with https:// (records travel over mutual TLS only)");
        } else if let Err(error) = reqwest::Url::parse(url) {
            table.fault(key, &format!("is not an address such as https://gateway.example:8443 ({error})"));
        }
    }
    Some(urls.iter().map(|url| url.trim_end_matches('/').to_owned()).collect())
}

fn budget(table: &mut Table<'_>) -> BudgetPolicy {
    let default = BudgetPolicy::default();
    let blobs = table.get_or("blobs", "any".to_owned());
    if !["any", "wifi"].contains(&blobs.as_str()) {
        table.fault("blobs", &format!("must be \"any\" or \"wifi\" (photos wait for Wi-Fi), not {blobs:?}"));
    }
    let blobs_wait_h = table.get_in("blobs_wait_h", 0..=720, 24_i64);
    let mut policy = BudgetPolicy {
        blobs_want_wifi: blobs == "wifi",
        blobs_wait_ms: blobs_wait_h * 3_600_000,
        link: table.parsed("link").unwrap_or(default.link),
        ..default
    };
    let mut named: Vec<LinkClass> = Vec::new();
    for mut entry in table.tables("budget") {
        let link = entry.require_parsed::<LinkClass>("link");
        let telemetry_bytes = mebibytes(&mut entry, "telemetry_mib_per_day");
        let blobs_bytes = mebibytes(&mut entry, "blobs_mib_per_day");
        if let Some(link) = link {
            if named.contains(&link) {
                entry.fault("link", &format!("already has a budget: {}", link.as_str()));
            }
            named.push(link);
            policy.links[link as usize] = LinkBudget { telemetry_bytes, blobs_bytes };
        }
        entry.finish();
    }
    policy
}

fn mebibytes(entry: &mut Table<'_>, key: &str) -> Option<u64> {
    entry.has(key).then(|| entry.get_in(key, 0..=1_048_576, 0_u64) * MIB)
}

#[cfg(test)]
mod tests {
    use milepost_proto::config_table::Document;

    use super::*;

    fn read_it(text: &str) -> Result<GatewayConfig, Vec<String>> {
        let text = format!("[gateway]\nca = \"a\"\ncertificate = \"b\"\nkey = \"c\"\n{text}");
        let document = Document::parse(&text);
        let mut root = document.root();
        let config = root.require_table("gateway").and_then(|table| read(table, Path::new("/etc")));
        root.finish();
        let faults: Vec<String> = document.into_faults().iter().map(ToString::to_string).collect();
        if faults.is_empty() { Ok(config.expect("no mistakes")) } else { Err(faults) }
    }

    fn fault(text: &str, expected: &str) {
        let faults = read_it(text).expect_err("a mistake");
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{faults:?}");
    }

    #[test]
    fn one_gateway_or_several_in_their_order() {
        let urls = |text: &str| read_it(text).expect("no mistakes").urls;
        assert_eq!(urls("url = \"https://a/\"\n"), ["https://a"]);
        assert_eq!(urls("urls = [\"https://a\", \"https://b:8443/\"]\n"), ["https://a", "https://b:8443"]);
        fault("", "gateway.url is missing");
        fault("urls = []\n", "must name 1 to 8 gateways");
        fault("urls = [\"https://a\", \"http://b\"]\n", "line 5: gateway.urls must begin with https://");
        fault("url = \"https://a\"\nurls = [\"https://b\"]\n", "line 5: gateway.url stands beside urls");
    }

    #[test]
    fn budgets_are_by_link_and_photos_may_wait() {
        let text = "url = \"https://a\"\nlink = \"wifi\"\nlink_file = \"link\"\nblobs = \"wifi\"\nblobs_wait_h = 12\n\
                    [[gateway.budget]]\nlink = \"metered\"\ntelemetry_mib_per_day = 20\n\
                    [[gateway.budget]]\nlink = \"roaming\"\ntelemetry_mib_per_day = 0\nblobs_mib_per_day = 1\n";
        let config = read_it(text).expect("no mistakes");
        let metered = LinkBudget { telemetry_bytes: Some(20 * MIB), blobs_bytes: None };
        let roaming = LinkBudget { telemetry_bytes: Some(0), blobs_bytes: Some(MIB) };
        assert_eq!(config.budget.links, [LinkBudget::default(), metered, roaming]);
        assert_eq!((config.budget.link, config.budget.blobs_want_wifi), (LinkClass::Wifi, true));
        assert_eq!(config.budget.blobs_wait_ms, 12 * 3_600_000);
        assert_eq!(config.link_file, Some(PathBuf::from("/etc/link")));
        let url = "url = \"https://a\"\n";
        assert_eq!(read_it(url).expect("no mistakes").budget, BudgetPolicy::default());
        fault(&format!("{url}blobs = \"never\"\n"), "line 6: gateway.blobs must be");
        fault(&format!("{url}link = \"5g\"\n"), "a link is wifi, metered or roaming");
        let twice = "[[gateway.budget]]\nlink = \"wifi\"\n[[gateway.budget]]\nlink = \"wifi\"\n";
        fault(&format!("{url}{twice}"), "line 9: gateway.budget.link already has a budget: wifi");
    }
}
