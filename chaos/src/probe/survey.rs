//! What the server is like while nobody stops it: what it usually answers, and which profiles it can be put to.

use std::{path::Path, time::Duration};

use serde::Serialize;
use tokio::{runtime::Builder, time::timeout};

use super::{
    class::Class,
    clients::{HALF_OF_AN_UPLOAD, Target},
    h2,
    http1::{Link, Reply},
    options::Options,
    profile::Profile,
    server::Running,
};
use crate::health;

/// An answer that comes by then did not wait for the rest of the upload.
const EARLY: Duration = Duration::from_millis(300);

/// The rest of an upload is answered by then.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// A profile that cannot be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// It.
    pub profile: Profile,
    /// The reason.
    pub why: String,
}

/// What is known of the server before it is stopped for the first time.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) target: Target,
    pub(super) profiles: Vec<Profile>,
    pub(super) skipped: Vec<Skipped>,
}

/// What became of an upload.
enum Upload {
    Answered(u16),
    /// Without waiting for its end.
    Early(u16),
    Failed(Class),
}

impl Survey {
    pub(super) fn take(options: &Options, folder: &Path) -> anyhow::Result<Self> {
        let running = Running::start(options, folder.join("survey.log"))?;
        let path = running.url.path.clone();
        let mut target = Target {
            address: running.url.address,
            usual: health::get(running.url.address, &path)?,
            stream: options.stream.clone(),
            upload: options.upload.clone().unwrap_or_else(|| path.clone()),
            usual_of_upload: 200,
            websocket: options.websocket.clone(),
            path,
        };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let upload = runtime.block_on(upload(&target));
        if let Upload::Answered(status) = upload {
            target.usual_of_upload = status;
        }
        let is_h2 = runtime.block_on(h2::is_spoken(target.address, &target.path));

        let reason = |profile| match (profile, &upload) {
            (Profile::Stream, _) if options.stream.is_none() => Some("no --stream PATH was told".to_owned()),
            (Profile::Websocket, _) if options.websocket.is_none() => Some("no --websocket PATH was told".to_owned()),
            (Profile::H2, _) if !is_h2 => Some("the server does not speak it without TLS".to_owned()),
            (Profile::Upload, Upload::Early(status)) => {
                Some(format!("{} answers a POST with {status} before it has read it", target.upload))
            }
            (Profile::Upload, Upload::Failed(class)) => {
                Some(format!("a POST to {} has no answer while the server runs: {}", target.upload, class.label()))
            }
            _ => None,
        };
        let (mut profiles, mut skipped) = (Vec::new(), Vec::new());
        for profile in options.wanted() {
            match reason(profile) {
                Some(why) => skipped.push(Skipped { profile, why }),
                None => profiles.push(profile),
            }
        }
        Ok(Self { target, profiles, skipped })
    }
}

async fn upload(target: &Target) -> Upload {
    let mut link = match Link::open(target.address).await {
        Ok(link) => link,
        Err(class) => return Upload::Failed(class),
    };
    link.send(&target.half_of_an_upload()).await;
    let early = !link.stays_silent(EARLY).await;
    let rest = async {
        if !early {
            link.send(&vec![b'x'; HALF_OF_AN_UPLOAD]).await;
        }
        link.answer().await
    };
    match timeout(ANSWERS_WITHIN, rest).await {
        Ok(Reply::Answer { status, .. }) if early => Upload::Early(status),
        Ok(Reply::Answer { status, .. }) => Upload::Answered(status),
        Ok(Reply::Nothing(class)) => Upload::Failed(class),
        Err(_) => Upload::Failed(Class::Silence),
    }
}
