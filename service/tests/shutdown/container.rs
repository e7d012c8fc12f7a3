//! The service as process 1, as in a container: there a signal without a handler does nothing at all.

use std::{
    fs::{self, OpenOptions},
    time::Duration,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::{
    harness::{BINARY, Service, Settings, Signal, free_ports},
    parts::in_a_pid_namespace,
};

#[test]
fn c40_process_1_stops_on_sigterm_and_answers_what_is_in_flight() {
    let Some(mut service) = start(&[]) else { return };
    service.await_ready().expect("it becomes ready");
    assert_is_process_1(&service);
    let mut idle = service.idle("idle");
    let mut busy = service.in_flight("/work/700", "busy");
    service.signal(Signal::TERM);
    let response = busy.response().expect("it finishes");
    assert_eq!((response.status, response.closes()), (200, true), "{response:?}");
    idle.assert_farewell();
    let exit = service.expect_exit(0);
    assert!(exit.after < Duration::from_secs(10), "{exit:?}");
}

/// Whatever else is sent to a container is lost, and does not end it: the kernel drops a signal to process 1 that has no handler.
#[test]
fn c40_process_1_is_not_ended_by_a_signal_that_it_does_not_handle() {
    let Some(mut service) = start(&[]) else { return };
    service.await_ready().expect("it becomes ready");
    assert_is_process_1(&service);
    for signal in [Signal::USR1, Signal::USR2, Signal::ALARM] {
        service.send(signal);
    }
    // Another process would be gone by now: it is not run again before its signal is delivered.
    assert_eq!(service.connect().get("/hello", "after").expect("it runs").status, 200);
    service.signal(Signal::TERM);
    service.expect_exit(0);
}

#[test]
fn c40_process_1_stops_on_sigterm_before_it_is_ready() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let audit = folder.path().join("audit.fifo");
    mknodat(CWD, &audit, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("the folder is ours");
    // Opening it for writing waits for a reader: the service hangs in the middle of its start.
    let Some(mut service) = start(&[("AUDIT_LOG", audit.to_str().expect("a temporary path is text"))]) else { return };
    service.await_signal_handler();
    assert_is_process_1(&service);
    service.signal(Signal::TERM);
    let _reader = OpenOptions::new().read(true).write(true).open(&audit).expect("a reader and a writer never wait");
    service.expect_exit(0);
}

fn start(settings: Settings<'_>) -> Option<Service> {
    let mut command = in_a_pid_namespace()?;
    command.arg(BINARY);
    let mut service = Service::spawn_as(command, free_ports(), settings);
    service.await_grandchild();
    Some(service)
}

/// The last of its ids, one for each namespace, is its own view of itself.
pub(crate) fn assert_is_process_1(service: &Service) {
    let status = fs::read_to_string(service.proc("status")).expect("the process is not yet reaped");
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).expect("Linux 4.1 and later say so");
    assert_eq!(ids.split_whitespace().last(), Some("1"), "{ids}");
}
