//! The TLS side of mutual TLS.
//!
//! Promise: nobody gets as far as a request without a certificate signed by the fleet's CA; ring is the only
//! cryptography used.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// The TLS configuration of a server that shows `certificate` and takes only clients signed by `client_ca`; all three
/// are PEM files.
///
/// # Errors
/// When a file cannot be read or does not hold what it should, naming the file.
pub fn server_config(certificate: &Path, key: &Path, client_ca: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("[ingest] key: no private key in PEM at {}", key.display()))?;
    let mut roots = RootCertStore::empty();
    for root in certificates(client_ca)? {
        roots.add(root).with_context(|| format!("[ingest] client_ca: {} is no CA", client_ca.display()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .context("[ingest] client_ca: it cannot verify clients")?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS has no protocol version to offer")?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, private)
        .context("[ingest] certificate and key: they do not belong together")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The word a failed handshake is counted by.
#[must_use]
pub fn failure_kind(error: &std::io::Error) -> &'static str {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::NoCertificatesPresented) => "no_certificate",
        Some(rustls::Error::InvalidCertificate(_)) => "bad_certificate",
        Some(_) => "handshake",
        None if error.kind() == std::io::ErrorKind::TimedOut => "timeout",
        None if error.kind() == std::io::ErrorKind::ResourceBusy => "too_many",
        None if error.kind() == std::io::ErrorKind::QuotaExceeded => "too_many_of_device",
        None => "connection",
    }
}

/// What would mend a failed handshake, to follow the error in a log line.
#[must_use]
pub fn mend(error: &std::io::Error) -> &'static str {
    match failure_kind(error) {
        "no_certificate" => "; the device must show a client certificate: enroll it",
        "bad_certificate" => "; its certificate is not signed by [ingest] client_ca, or has expired: enroll it again",
        _ => "",
    }
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.with_context(|| format!("no certificate in PEM at {}", path.display()))?;
    anyhow::ensure!(!found.is_empty(), "no certificate in PEM at {}", path.display());
    Ok(found)
}
