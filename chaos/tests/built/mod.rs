//! The binaries of other packages of the workspace, for tests that need them.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use chaos::binaries::package;

/// The binary of the package in the folder `name`: beside this test, where a test of the whole workspace has just built it, or
/// else built now. A test of this package alone takes the one that is there.
pub(crate) fn binary(name: &str) -> (String, PathBuf) {
    let here = env::current_exe().expect("a test knows its own binary");
    let profile = here.parent().and_then(Path::parent).expect("a test lies in the folder deps of its profile's");
    let package = package(name).expect("it is in the workspace");
    let path = profile.join(&package);
    if !path.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "--package", &package, "--bin", &package, "--target-dir"]);
        build.arg(profile.parent().expect("a profile lies in the target folder"));
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo can be started");
        assert!(status.success() && path.exists(), "cargo build has not made {}", path.display());
    }
    (name.to_owned(), path)
}
