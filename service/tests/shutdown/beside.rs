//! A real program that stands beside the service and is asked by HTTP on loopback: what watches it, or takes what it leaves.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::Path,
    process::{Child, Command},
};

use tempfile::TempDir;
use winddown::Address;

use crate::{harness::free_ports, observe::eventually, stream::Target, wire::Wire};

/// One run of it. Dropped, it is killed.
pub(crate) struct Beside {
    child: Child,
    pub(crate) http: Target,
    /// Where it runs, and its log.
    folder: TempDir,
}

impl Beside {
    /// Starts it with the arguments that are made of two free addresses and its folder, and waits until the first answers this
    /// path with this status.
    pub(crate) fn start<A: Into<OsString>>(
        program: &Path,
        ready: (&str, u16),
        arguments: impl Fn((&Address, &Address), &Path) -> Vec<A>,
    ) -> Self {
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a temporary folder can be made");
            let log = File::create(folder.path().join("log")).expect("the folder is new");
            let (http, other) = free_ports();
            let child = Command::new(program)
                .args(arguments((&http, &other), folder.path()).into_iter().map(Into::into))
                .current_dir(folder.path())
                .stdout(log.try_clone().expect("an open file can be shared"))
                .stderr(log)
                .spawn()
                .expect("the program is there");
            let mut started = Self { child, http: http.into(), folder };
            if started.is_ready(program, ready) {
                return started;
            }
        }
        panic!("five ports, and each was taken by somebody else")
    }

    /// Waits until it answers. Not ready when its port was taken after all.
    fn is_ready(&mut self, program: &Path, (path, status): (&str, u16)) -> bool {
        eventually(&program.display().to_string(), || {
            if self.child.try_wait().expect("our own child can be waited for").is_some() {
                let log = self.log();
                assert!(log.contains("in use"), "it ended:\n{log}");
                return Some(false);
            }
            self.ask(path).filter(|(answered, _)| *answered == status).map(|_| true)
        })
    }

    /// The status and the body of an answer; `None` when there is none.
    pub(crate) fn ask(&self, path: &str) -> Option<(u16, String)> {
        let mut wire = Wire::connect(&self.http).ok()?;
        wire.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).ok()?;
        wire.response().ok().map(|response| (response.status, response.body))
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).expect("it was made before the process")
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Both fail only when the process has already been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
