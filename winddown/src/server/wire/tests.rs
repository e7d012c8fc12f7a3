use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_lone_request_leaves_nothing_unclaimed() {
    let wire = Wire::default();
    for _ in 0..3 {
        wire.read(GET);
        wire.request(Some(0));
        assert!(!wire.has_unclaimed());
    }
}

#[test]
fn a_head_under_way_is_unclaimed_also_behind_a_whole_request() {
    let wire = Wire::default();
    wire.read(b"GET / HT");
    assert!(wire.has_unclaimed());
    wire.read(b"TP/1.1\r\n\r\n");
    wire.request(Some(0));
    assert!(!wire.has_unclaimed());

    wire.read(&[GET, b"GET /next"].concat());
    wire.request(Some(0));
    assert!(wire.has_unclaimed());
}

#[test]
fn a_head_whose_end_lies_across_two_reads_is_a_head() {
    for cut in 1..=4 {
        let wire = Wire::default();
        wire.read(&GET[..GET.len() - cut]);
        wire.read(&GET[GET.len() - cut..]);
        wire.request(Some(0));
        assert!(!wire.has_unclaimed(), "cut {cut} bytes before the end");

        wire.read(&GET[..GET.len() - cut]);
        wire.read(&[&GET[GET.len() - cut..], GET].concat());
        wire.request(Some(0));
        assert_eq!(wire.waiting(), 1, "cut {cut} bytes before the end");
        wire.request(Some(0));
        assert!(!wire.has_unclaimed(), "cut {cut} bytes before the end");
    }
}

#[test]
fn a_head_with_bare_line_feeds_leaves_nothing_unclaimed() {
    let wire = Wire::default();
    wire.read(b"GET / HTTP/1.1\nHost: a\n\n");
    wire.request(Some(0));
    assert!(!wire.has_unclaimed());
}

#[test]
fn pipelined_requests_are_unclaimed_until_the_last() {
    let wire = Wire::default();
    wire.read(&GET.repeat(3));
    for more in [true, true, false] {
        wire.request(Some(0));
        assert_eq!(wire.has_unclaimed(), more);
    }
    wire.read(&[GET, GET, b"GET"].concat());
    assert_eq!(wire.waiting(), 3);
    wire.request(Some(0));
    wire.request(Some(0));
    assert_eq!(wire.waiting(), 1);
    wire.read(b" / HTTP/1.1\r\n\r\n");
    wire.request(Some(0));
    assert_eq!(wire.waiting(), 0);
    wire.read(GET);
    wire.request(Some(0));
    wire.read(GET);
    assert!(wire.has_unclaimed(), "read ahead while the first one is answered");
}

#[test]
fn chunks_and_parts_of_a_body_in_the_segment_of_its_head_are_no_requests() {
    let wire = Wire::default();
    wire.read(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
    wire.request(None);
    assert!(!wire.has_unclaimed() && wire.waiting() == 0);
    wire.read(GET);
    wire.request(Some(0));
    assert!(!wire.has_unclaimed(), "nor do they count for the next request");
}

#[test]
fn a_body_is_not_taken_for_a_request() {
    let wire = Wire::default();
    wire.read(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nsome");
    wire.request(Some(9));
    wire.upload_begins();
    wire.read(b"\r\n\r\n!");
    assert!(!wire.has_unclaimed());
    wire.upload_ends();
    wire.read(GET);
    wire.request(Some(0));
    assert!(!wire.has_unclaimed());
}
