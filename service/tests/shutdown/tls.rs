//! TLS: handshakes under way finish, every end has its close_notify, and a certificate changes without a restart.

use std::{io::Write, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, ClientConnection,
    version::{TLS12, TLS13},
};

use crate::{
    certificates::{Files, Pair, trusting, trusting_with},
    frames::Frames,
    harness::{Service, Settings, Signal},
    http2::assert_streams_in_flight_finish,
    load::{one_after_another, one_request_each, storm, with_a_pause_between},
    observe::eventually,
    stream::{Stream, client},
    wire::{End, Wire, get},
};

#[test]
fn c19_kept_tls_connection_gets_a_farewell_and_a_close_notify() {
    for version in [&TLS13, &TLS12] {
        let pair = Pair::new();
        let mut service = Service::start_with_tls(Files::of(&pair), trusting_with(&[&pair], &[version]), &[]);
        let mut kept = service.idle("kept");
        assert_eq!(kept.stream.session().protocol_version(), Some(version.version));
        let mut busy = service.in_flight("/work/1000", "busy");
        service.signal(Signal::TERM);
        kept.assert_farewell();
        assert_eq!(kept.end(), End::Fin);
        let answer = busy.response().expect("what is in flight finishes");
        assert_eq!((answer.status, answer.closes()), (200, true), "{answer:?}");
        assert_eq!(busy.end(), End::Fin);
        service.expect_exit(0);
    }
}

#[test]
fn c19_handshake_under_way_at_the_signal_is_finished_and_one_request_served() {
    let (mut service, trust) = start(&[]);
    let mut session = client(&trust, "http/1.1");
    let [one, two] = halves(&mut session);
    let mut socket = service.http.socket().expect("the service listens");
    socket.write_all(&one).expect("the service reads");
    service.signal(Signal::TERM);
    service.await_phase("drain");
    socket.write_all(&two).expect("the handshake goes on");
    let mut wire = Wire::over(Stream::handshake(session, socket).expect("the handshake comes to its end"));
    let answer = wire.get("/hello", "early").expect("for its client the connection was there in time");
    assert_eq!((answer.status, answer.closes()), (200, true), "{answer:?}");
    assert_eq!(wire.end(), End::Fin);
    service.expect_exit(0);
    assert_eq!(service.entered(), ["early"]);
}

#[test]
fn c19_handshake_that_never_ends_costs_the_header_timeout_and_no_more() {
    const HEADER_TIMEOUT: Duration = Duration::from_millis(700);
    let (mut service, trust) = start(&[("HEADER_TIMEOUT", "700ms")]);
    let [half, _] = halves(&mut client(&trust, "http/1.1"));
    service.freeze(); // so that the time of this handshake begins no sooner than the stop
    let mut socket = service.http.socket().expect("the kernel completes the connection");
    socket.write_all(&half).expect("the kernel takes it");
    service.signal(Signal::TERM);
    service.signal(Signal::CONT);
    assert_ne!(Wire::over(Stream::Plain(socket)).end(), End::Silence);
    let exit = service.expect_exit(0);
    println!("half a ClientHello held the stop for {:?}", exit.after);
    assert!(exit.after >= HEADER_TIMEOUT, "a handshake has as long as a slow head, not {:?}", exit.after);
    assert!(exit.after < HEADER_TIMEOUT + Duration::from_secs(3), "held for {:?}", exit.after);
}

#[test]
fn c18_half_a_record_at_the_drain_is_served_when_the_rest_arrives() {
    let (mut service, _) = start(&[]);
    let mut used = service.idle("before");
    let mut fresh = service.connect();
    let request = get("/hello", "halved");
    let rests = [&mut used, &mut fresh].map(|wire| {
        let Stream::Tls(stream) = &mut wire.stream else { unreachable!("the service speaks TLS") };
        stream.conn.writer().write_all(request.as_bytes()).expect("memory takes it");
        let [one, two] = halves(&mut stream.conn);
        stream.sock.write_all(&one).expect("the service reads");
        two
    });
    service.signal(Signal::TERM);
    service.await_phase("drain");
    for (wire, rest) in [used, fresh].iter_mut().zip(rests) {
        let Stream::Tls(stream) = &mut wire.stream else { unreachable!("the service speaks TLS") };
        stream.sock.write_all(&rest).expect("the connection waits for the rest");
        let response = wire.response().expect("half a record is a request under way");
        assert_eq!((response.status, response.closes()), (200, true), "{response:?}");
        assert_eq!(wire.end(), End::Fin);
    }
    service.expect_exit(0);
}

#[test]
fn c19_http2_over_tls_is_told_twice_and_its_streams_finish() {
    let (mut service, _) = start(&[]);
    let client = Frames::connect(&service.http);
    assert_eq!(client.stream.session().alpn_protocol(), Some(&b"h2"[..]));
    assert_streams_in_flight_finish(&mut service, client);
}

#[test]
fn c19_certificate_is_renewed_under_connections_that_go_on() {
    let (old, new, newest) = (Pair::new(), Pair::new(), Pair::new());
    let trust = trusting(&[&old, &new, &newest]);
    let mut service = Service::start_with_tls(Files::of(&old), trust, &[("TLS_RELOAD_EVERY", "50ms")]);
    let files = service.certificate.as_ref().expect("it was just given");
    let shown = |pair: &Pair| {
        let session = service.connect();
        (session.stream.session().peer_certificates()? == [pair.der()]).then_some(())
    };
    let refusals = || service.stderr().matches("the certificate has changed and is refused").count();
    let mut kept = service.idle("before");
    shown(&old).expect("there is no other yet");
    files.overwrite(&new);
    eventually("the new certificate", || shown(&new));
    let before = refusals();
    files.spoil();
    eventually("a complaint", || (refusals() > before).then_some(()));
    shown(&new).expect("a broken file changes nothing");
    files.overwrite(&newest);
    eventually("the newest certificate", || shown(&newest));
    assert_eq!(kept.get("/hello", "after").expect("it is still the same session").status, 200);
    service.signal(Signal::TERM);
    kept.assert_farewell();
    assert_eq!(kept.end(), End::Fin);
    service.expect_exit(0);
}

#[test]
fn c19_storm_of_new_tls_connections() {
    storm(start(&[("LAME_DUCK", "500ms")]).0, one_request_each);
}

#[test]
fn c19_storm_of_new_tls_connections_without_a_lame_duck() {
    storm(start(&[]).0, one_request_each);
}

#[test]
fn c19_storm_of_busy_tls_connections() {
    storm(start(&[("LAME_DUCK", "500ms")]).0, one_after_another);
}

#[test]
fn c19_storm_of_busy_tls_connections_without_a_lame_duck() {
    storm(start(&[]).0, one_after_another);
}

#[test]
fn c19_storm_of_tls_clients_that_think_without_a_lame_duck() {
    storm(start(&[]).0, with_a_pause_between);
}

/// A service with a certificate of its own, and what its clients trust.
pub(crate) fn start(settings: Settings<'_>) -> (Service, Arc<ClientConfig>) {
    let pair = Pair::new();
    let trust = trusting(&[&pair]);
    (Service::start_with_tls(Files::of(&pair), trust.clone(), settings), trust)
}

/// What the client has to say, in two pieces.
fn halves(session: &mut ClientConnection) -> [Vec<u8>; 2] {
    let mut hello = Vec::new();
    session.write_tls(&mut hello).expect("memory takes it");
    let rest = hello.split_off(hello.len() / 2);
    [hello, rest]
}
