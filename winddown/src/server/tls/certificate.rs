//! A certificate and its key in two files, and the newest pair that was found in them.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::TlsError;
use crate::{hook::chain, sync::lock};

#[derive(Debug)]
pub(super) struct Certificate {
    paths: Paths,
    current: RwLock<Arc<CertifiedKey>>,
    /// What the files held when they were last looked at, good or bad.
    seen: Mutex<Contents>,
    /// What is wrong with them now, and was said.
    wrong: Mutex<Option<String>>,
}

#[derive(Debug)]
struct Paths {
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Certificate {
    pub(super) fn read(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let paths = Paths { certificate, key };
        let seen = paths.contents()?;
        let current = paths.pair(&seen)?;
        Ok(Self { paths, current: RwLock::new(current.into()), seen: Mutex::new(seen), wrong: Mutex::default() })
    }

    /// Takes what the files hold now, if it is new and a pair. Blocks.
    pub(super) fn refresh(&self) {
        let mut wrong = lock(&self.wrong);
        match self.newer() {
            Ok(None) => *wrong = None,
            Ok(Some(pair)) => {
                *wrong = None;
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = pair.into();
                tracing::info!(certificate = %self.paths.certificate.display(), "new certificate");
            }
            Err(error) => {
                let error = chain(&error);
                if wrong.as_ref() != Some(&error) {
                    tracing::error!(error, "the certificate has changed and is refused; the old one stays");
                    *wrong = Some(error);
                }
            }
        }
    }

    /// `None` when the files are as they were, also as bad as they were: that was said.
    fn newer(&self) -> Result<Option<CertifiedKey>, TlsError> {
        let now = self.paths.contents()?;
        let mut seen = lock(&self.seen);
        if *seen == now {
            return Ok(None);
        }
        *seen = now;
        self.paths.pair(&seen).map(Some)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Paths {
    fn contents(&self) -> Result<Contents, TlsError> {
        let certificate = fs::read(&self.certificate).map_err(|error| self.bad_certificate(pem::Error::Io(error)))?;
        let key = fs::read(&self.key).map_err(|error| self.bad_key(pem::Error::Io(error)))?;
        Ok(Contents { certificate, key })
    }

    fn pair(&self, contents: &Contents) -> Result<CertifiedKey, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&contents.certificate).collect();
        let chain = chain.map_err(|error| self.bad_certificate(error))?;
        if chain.is_empty() {
            return Err(self.bad_certificate(pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|error| self.bad_key(error))?;
        let pair = CertifiedKey::from_der(chain, key, &ring::default_provider());
        pair.map_err(|source| TlsError::Pair { certificate: self.certificate.clone(), key: self.key.clone(), source })
    }

    fn bad_certificate(&self, source: pem::Error) -> TlsError {
        TlsError::Certificate { path: self.certificate.clone(), source }
    }

    fn bad_key(&self, source: pem::Error) -> TlsError {
        TlsError::Key { path: self.key.clone(), source }
    }
}

/// Nothing of the key.
impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contents").finish_non_exhaustive()
    }
}
