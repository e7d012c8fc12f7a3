//! The image as its Dockerfile makes it, by a real builder, and the service as process 1 of its file system.
//!
//! Only the last stage is built: the program is the one that is being tested, and the base is made of the libraries that it is linked
//! with, which is what a distroless base has.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::geteuid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    container::assert_is_process_1,
    harness::{BINARY, Service, Signal, free_ports},
    parts::{in_a_pid_namespace, missing, program},
};

const DOCKERFILE: &str = include_str!("../../../deploy/Dockerfile");

#[test]
fn c40_image_runs_the_service_as_process_1_and_loses_nothing_at_its_stop_signal() {
    let Some(image) = Image::build() else { return };
    assert_eq!(
        image.config["Entrypoint"],
        json!([concat!("/usr/local/bin/", env!("CARGO_PKG_NAME"))]),
        "the exec form"
    );
    assert_eq!(image.config["User"], "65532:65532", "a number, for runAsNonRoot");
    assert_eq!(image.config["StopSignal"], "SIGTERM");
    assert!(image.config["Cmd"].is_null() && image.config["Healthcheck"].is_null(), "{}", image.config);
    assert!(!image.inside("/bin/sh").exists(), "nothing here needs a shell");

    let Some(mut service) = image.start() else { return };
    service.await_ready().expect("it becomes ready");
    assert_is_process_1(&service);
    assert_eq!(status(&service, "Uid"), ["65532"; 4]);
    assert_eq!(status(&service, "CapEff"), ["0000000000000000"]);

    let mut idle = service.idle("idle");
    let mut busy = service.in_flight("/work/700", "busy");
    service.signal(Signal::TERM);
    assert_eq!(busy.response().expect("it finishes").status, 200);
    idle.assert_farewell();
    service.expect_exit(0);
    assert!(
        image.inside(concat!("/var/lib/", env!("CARGO_PKG_NAME"), "/report.json")).is_file(),
        "the folder is the service's own"
    );
}

/// An image, and its file system, in a storage of its own.
struct Image {
    config: Value,
    root: PathBuf,
    _folder: TempDir,
}

impl Image {
    /// `None` as for [`program`].
    fn build() -> Option<Self> {
        let builder = program("buildah", "buildah")?;
        if !geteuid().is_root() {
            return missing("root, for the file system of an image");
        }
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let buildah = |words: &[&str]| buildah(&builder, folder.path(), words);
        base_in(&folder.path().join("base"));
        fs::write(folder.path().join("base.dockerfile"), "FROM scratch\nCOPY . /\n").expect("the folder is ours");
        fs::create_dir_all(folder.path().join("build/empty")).expect("the folder is ours");
        fs::copy(BINARY, folder.path().join("build/service")).expect("it was just built");
        fs::write(folder.path().join("last.dockerfile"), last_stage()).expect("the folder is ours");
        fs::create_dir(folder.path().join("nothing")).expect("the folder is ours");

        buildah(&["bud", "--isolation=chroot", "--file=base.dockerfile", "--tag=localhost/base", "base"]);
        let with = ["--build-arg=RUNTIME=localhost/base", "--build-context=build=build", "--file=last.dockerfile"];
        buildah(&[&["bud", "--isolation=chroot", "--tag=localhost/service"], &with[..], &["nothing"]].concat());
        let inspected = buildah(&["inspect", "--type=image", "localhost/service"]);
        let inspected: Value = serde_json::from_str(&inspected).expect("it is JSON");
        buildah(&["from", "--name=container", "localhost/service"]);
        let root = PathBuf::from(buildah(&["mount", "container"]).trim());
        Some(Self { config: inspected["OCIv1"]["config"].clone(), root, _folder: folder })
    }

    fn inside(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Starts what the image says, as whom and where it says, as process 1. `None` as for [`program`].
    fn start(&self) -> Option<Service> {
        let word = |key: &str| self.config[key].as_str().expect("it is set");
        let (user, group) = word("User").split_once(':').expect("a user and a group");
        let mut command = in_a_pid_namespace()?;
        command.arg("--root").arg(&self.root).args(["--wd", word("WorkingDir"), "--setgid", group, "--setuid", user]);
        command.args(self.config["Entrypoint"].as_array()?.iter().filter_map(Value::as_str));
        let files = [
            ("DATABASE_URL", "sqlite:orders.db"),
            ("SHUTDOWN_REPORT", "report.json"),
            ("AUDIT_LOG", concat!("/var/lib/", env!("CARGO_PKG_NAME"), "/audit.log")),
        ];
        let mut service = Service::spawn_as(command, free_ports(), &files);
        symlink(self.inside(files[2].1), service.folder.path().join("audit.log")).expect("the folder is new");
        service.await_grandchild();
        Some(service)
    }
}

/// What the Dockerfile builds in the end, with what is said before the first stage.
fn last_stage() -> String {
    let arguments = DOCKERFILE.lines().take_while(|line| !line.starts_with("FROM ")).collect::<Vec<_>>().join("\n");
    let (_, last) = DOCKERFILE.rsplit_once("\nFROM ").expect("it has stages");
    format!("{arguments}\nFROM {last}")
}

/// The libraries that the program is linked with, and where its kernel puts things.
fn base_in(folder: &Path) {
    for place in ["proc", "tmp"] {
        fs::create_dir_all(folder.join(place)).expect("the folder is ours");
    }
    let linked = Command::new("ldd").arg(BINARY).output().expect("it comes with the C library");
    let linked = String::from_utf8(linked.stdout).expect("it is text");
    for library in linked.split_whitespace().filter(|word| word.starts_with('/')) {
        let copy = folder.join(library.trim_start_matches('/'));
        fs::create_dir_all(copy.parent().expect("it is a file")).expect("the folder is ours");
        fs::copy(library, copy).expect("it is linked with it");
    }
}

/// Runs the builder in `folder`, with everything that it keeps there, too.
fn buildah(builder: &Path, folder: &Path, words: &[&str]) -> String {
    let mut command = Command::new(builder);
    command.arg("--storage-driver=vfs").arg("--root").arg(folder.join("storage"));
    command.arg("--runroot").arg(folder.join("run")).args(words).current_dir(folder);
    let output = command.stdin(Stdio::null()).output().expect("it is a program");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "buildah {words:?}: {said}");
    String::from_utf8(output.stdout).expect("it is text")
}

/// The words behind a key of proc(5)'s status.
fn status(service: &Service, key: &str) -> Vec<String> {
    let status = fs::read_to_string(service.proc("status")).expect("the process is not yet reaped");
    let words = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    words.expect("proc(5) has it").split_whitespace().map(str::to_owned).collect()
}
