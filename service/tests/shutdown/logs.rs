//! Log lines on a pipe that nobody reads: a collector that hangs.

use std::{
    io::{self, ErrorKind, PipeReader, Write},
    os::fd::OwnedFd,
    process::Command,
};

use rustix::io::ioctl_fionbio;

use crate::harness::{BINARY, Service, Signal, free_ports};

#[test]
fn c36_log_that_nobody_reads_holds_neither_a_request_nor_the_stop() {
    let (_nobody_reads, command) = into_a_full_pipe();
    let mut service = Service::spawn_as(command, free_ports(), &[("RUST_LOG", "debug")]);
    service.await_ready().expect("it starts");
    let mut wire = service.in_flight("/work/700", "slow");
    service.signal(Signal::TERM);
    assert_eq!(wire.response().expect("it finishes").status, 200);
    service.expect_exit(0);
    let hooks = service.report()["hooks"].to_string();
    assert_eq!(hooks.contains("database pool"), cfg!(feature = "orders"), "what was opened is closed: {hooks}");
}

/// The service with a standard error, and output, that takes nothing any more.
fn into_a_full_pipe() -> (PipeReader, Command) {
    let (reader, mut writer) = io::pipe().expect("there are descriptors");
    ioctl_fionbio(&writer, true).expect("a pipe can be told not to block");
    let full = loop {
        if let Err(error) = writer.write_all(&[b'.'; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    ioctl_fionbio(&writer, false).expect("as above");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"exec 1>&0 2>&0 </dev/null; exec "$0""#, BINARY]).stdin(OwnedFd::from(writer));
    (reader, command)
}
