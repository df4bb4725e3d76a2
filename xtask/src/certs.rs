//! `cargo xtask certs`: a throw-away certificate authority with a gateway's and some devices' certificates.
//!
//! Promise: the files are what the agent's and the gateway's configurations name; keys are readable by their owner only;
//! the authority's own key is never written, so nobody can extend what it vouches for.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

use crate::clock;

/// Whose certificates to make.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The folder to write to; made if it is missing
    folder: PathBuf,
    /// The fleet the devices belong to: the O of their certificates' subject
    #[arg(long)]
    fleet: String,
    /// A device: the CN of its certificate's subject, and its files' name; may be given several times
    #[arg(long = "device", required = true)]
    devices: Vec<String>,
}

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    let devices: Vec<&str> = options.devices.iter().map(String::as_str).collect();
    issue(&options.folder, &options.fleet, &devices)
}

/// Writes `ca.pem`, `gateway.pem`, `gateway.key`, and `DEVICE.pem`, `DEVICE.key` for each of `devices` into `folder`.
/// The gateway's certificate is for `localhost` and `127.0.0.1`. All are valid from last year to the end of next year.
///
/// # Errors
/// When a name cannot name files, or a file cannot be written.
pub fn issue(folder: &Path, fleet: &str, devices: &[&str]) -> Result<()> {
    for name in devices {
        ensure!(is_plain_name(name), "device {name:?} must be letters, digits, '-', '_' or '.', for it names files");
        ensure!(!["ca", "gateway"].contains(name), "device {name:?} would overwrite the {name}'s files");
    }
    fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let authority = Authority::create()?;
    write(&folder.join("ca.pem"), &authority.certificate, 0o644)?;
    let mut gateway = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    gateway.distinguished_name = subject(fleet, "gateway");
    gateway.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    authority.issue(folder, "gateway", gateway)?;
    for device in devices {
        let mut client = CertificateParams::default();
        client.distinguished_name = subject(fleet, device);
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        authority.issue(folder, device, client)?;
    }
    Ok(())
}

/// A certificate authority that lives as long as this value.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    fn create() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject("Milepost", "Milepost throw-away CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    fn issue(&self, folder: &Path, name: &str, mut params: CertificateParams) -> Result<()> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        write(&folder.join(format!("{name}.pem")), &certificate.pem(), 0o644)?;
        write(&folder.join(format!("{name}.key")), &key.serialize_pem(), 0o600)
    }
}

fn subject(organisation: &str, name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, organisation);
    subject.push(DnType::CommonName, name);
    subject
}

fn set_validity(params: &mut CertificateParams) {
    let year = clock::year();
    params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
    params.not_after = rcgen::date_time_ymd(year + 1, 12, 31);
}

/// Writes a new file with these rights; one that is there is replaced, so that its rights are not kept.
fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let _ = fs::remove_file(path);
    let file = File::options().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("failed to write {}", path.display()))
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_private_and_every_file_is_there() {
        let folder = tempfile::tempdir().expect("temporary folder");
        issue(folder.path(), "acme", &["truck-7", "truck-8"]).expect("issued");
        issue(folder.path(), "acme", &["truck-7"]).expect("a second time replaces the first");
        for file in ["ca.pem", "gateway.pem", "truck-7.pem", "truck-8.pem"] {
            assert!(folder.path().join(file).is_file(), "{file}");
        }
        for file in ["gateway.key", "truck-7.key", "truck-8.key"] {
            let metadata = fs::metadata(folder.path().join(file)).expect(file);
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{file}");
        }
        let key = fs::read_to_string(folder.path().join("truck-7.key")).expect("readable");
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"), "PKCS#8, which rustls reads");
    }

    #[test]
    fn a_device_cannot_name_a_file_elsewhere_or_one_of_ours() {
        let folder = tempfile::tempdir().expect("temporary folder");
        for name in ["../x", "a/b", "", ".hidden", "ca", "gateway"] {
            assert!(issue(folder.path(), "acme", &[name]).is_err(), "{name:?}");
        }
    }
}
