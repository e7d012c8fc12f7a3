//! Certificates for one test run, made when they are needed, and clients that trust nothing else.

use std::{fs, path::PathBuf, sync::Arc};

use rcgen::generate_simple_self_signed;
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use tempfile::TempDir;

use crate::harness::{Service, Settings};

/// Whom every certificate here is for.
pub(crate) const SERVER_NAME: &str = "service.test";

/// A certificate and its key, as text and as bytes.
pub(crate) struct Pair {
    certificate: String,
    key: String,
}

/// The files that a service is told to read.
pub(crate) struct Files {
    folder: TempDir,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let made = generate_simple_self_signed([SERVER_NAME.to_owned()]).expect("the name is a host name");
        Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("it was just written")
    }
}

impl Files {
    pub(crate) fn of(pair: &Pair) -> Self {
        let files = Self { folder: tempfile::tempdir().expect("a temporary folder can be made") };
        files.overwrite(pair);
        files
    }

    /// As a renewal does: one file after the other, so that for a moment they are no pair.
    pub(crate) fn overwrite(&self, pair: &Pair) {
        fs::write(self.certificate(), &pair.certificate).expect("the folder is ours");
        fs::write(self.key(), &pair.key).expect("the folder is ours");
    }

    pub(crate) fn spoil(&self) {
        fs::write(self.certificate(), "no certificate").expect("the folder is ours");
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}

impl Service {
    /// Starts a service that speaks TLS, to clients with this much trust.
    pub(crate) fn start_with_tls(files: Files, trust: Arc<ClientConfig>, settings: Settings<'_>) -> Self {
        let [certificate, key] = [files.certificate(), files.key()].map(|path| path.display().to_string());
        let tls = [("TLS_CERT", certificate.as_str()), ("TLS_KEY", &key)];
        let mut service = Self::start(&[&tls, settings].concat());
        service.http.tls = Some(trust);
        service.certificate = Some(files);
        service
    }
}

/// A client that trusts these and speaks every version there is.
pub(crate) fn trusting(pairs: &[&Pair]) -> Arc<ClientConfig> {
    trusting_with(pairs, &[&TLS13, &TLS12])
}

pub(crate) fn trusting_with(pairs: &[&Pair], versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for pair in pairs {
        roots.add(pair.der()).expect("it is a certificate");
    }
    ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_protocol_versions(versions)
        .expect("ring speaks them")
        .with_root_certificates(roots)
        .with_no_client_auth()
        .into()
}
