//! The device's certificate and key: how it proves itself to the gateway, and how it signs evidence.
//!
//! Promise: the key is read once, never logged and never leaves this process.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::GatewayConfig;
use crate::spool::Signer;

/// A device's identity, ready for use.
pub struct Identity {
    /// For connections to the gateway.
    pub tls: rustls::ClientConfig,
    /// For evidence.
    pub signer: Signer,
}

/// Reads the files that `config` names.
///
/// # Errors
/// Names the file that cannot be used and what it should hold.
pub fn load(config: &GatewayConfig) -> anyhow::Result<Identity> {
    let key = PrivateKeyDer::from_pem_file(&config.key)
        .with_context(|| format!("{} holds no usable private key in PEM", config.key.display()))?;
    let signer = signer(&key).with_context(|| {
        format!("{} cannot sign evidence: it must be an ECDSA P-256 key in PKCS #8", config.key.display())
    })?;
    let mut roots = rustls::RootCertStore::empty();
    for authority in certificates(&config.ca)? {
        roots.add(authority).with_context(|| format!("{} holds no certificate authority", config.ca.display()))?;
    }
    let chain = certificates(&config.certificate)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("no TLS version in common with ourselves")?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .context("the device's certificate and key do not belong together")?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Identity { tls, signer })
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .with_context(|| format!("{} holds no readable certificate in PEM", path.display()))?;
    anyhow::ensure!(!certificates.is_empty(), "{} holds no certificate", path.display());
    Ok(certificates)
}

fn signer(key: &PrivateKeyDer<'_>) -> anyhow::Result<Signer> {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.secret_der(), &random)
        .map_err(|refused| anyhow::anyhow!("{refused}"))?;
    Ok(Box::new(move |digest| {
        pair.sign(&random, digest)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| "the key would not sign".to_owned())
    }))
}
