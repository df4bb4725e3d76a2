//! Who is calling, by the certificate.
//!
//! Promise: fleet and device come from the subject (`O` and `CN`) of a certificate that the TLS layer has verified
//! against the fleet's CA. A subject that names either twice names nobody.

use milepost_proto::{DeviceId, FleetId};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::AttributeTypeAndValue;

use super::refusal::Refused;

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Whose device it is.
    pub fleet_id: FleetId,
    /// Which device it is.
    pub device_id: DeviceId,
    /// The public key of its certificate (for P-256 the uncompressed point), which signs its evidence.
    pub public_key: Vec<u8>,
    /// Keys of its earlier certificates, which signed what waited since then.
    pub earlier_keys: Vec<Vec<u8>>,
}

impl Peer {
    /// The keys its evidence may be signed with, likeliest first.
    #[must_use]
    pub fn keys(&self) -> Vec<&[u8]> {
        std::iter::once(&self.public_key).chain(&self.earlier_keys).map(Vec::as_slice).collect()
    }

    /// The peer that the DER `certificate` names.
    ///
    /// # Errors
    /// [`Refused::NoIdentity`] with what is missing.
    pub fn from_certificate(certificate: Option<&[u8]>) -> Result<Self, Refused> {
        let der = certificate.ok_or_else(|| nobody("none was sent"))?;
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| nobody(&error.to_string()))?;
        let subject = certificate.subject();
        Ok(Self {
            fleet_id: only_name("O", subject.iter_organization())?,
            device_id: only_name("CN", subject.iter_common_name())?,
            public_key: certificate.public_key().subject_public_key.data.to_vec(),
            earlier_keys: Vec::new(),
        })
    }
}

fn only_name<'a, T>(
    attribute: &str,
    mut values: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>,
) -> Result<T, Refused>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(nobody(&format!("{attribute} must appear once")));
    };
    let text = value.as_str().map_err(|_| nobody(&format!("{attribute} is not text")))?;
    text.parse().map_err(|error| nobody(&format!("{attribute}: {error}")))
}

fn nobody(why: &str) -> Refused {
    Refused::NoIdentity(why.to_owned())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};

    use super::*;

    fn check(subject: &[(DnType, &str)], expected: Result<(&str, &str), &str>) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let certificate = params.self_signed(&key).expect("a certificate");
        let found = Peer::from_certificate(Some(certificate.der()));
        match (found, expected) {
            (Ok(peer), Ok((fleet, device))) => {
                assert_eq!((peer.fleet_id.as_str(), peer.device_id.as_str()), (fleet, device));
                assert_eq!(peer.public_key.len(), 65, "an uncompressed P-256 point");
            }
            (Err(refused), Err(why)) => assert!(refused.to_string().contains(why), "{refused}"),
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn the_subject_names_fleet_and_device() {
        check(&[(DnType::OrganizationName, "north"), (DnType::CommonName, "box-7")], Ok(("north", "box-7")));
        check(&[(DnType::CommonName, "box-7")], Err("O must appear once"));
        check(&[(DnType::OrganizationName, "north")], Err("CN must appear once"));
        check(&[(DnType::OrganizationName, "north"), (DnType::CommonName, "../x")], Err("CN: a name is made of"));
    }

    #[test]
    fn no_certificate_names_nobody() {
        assert!(matches!(Peer::from_certificate(None), Err(Refused::NoIdentity(_))));
        assert!(matches!(Peer::from_certificate(Some(b"junk")), Err(Refused::NoIdentity(_))));
    }
}
