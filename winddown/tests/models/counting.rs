//! Who was in flight at T0, and what became of it.

use std::sync::Arc;

use loom::thread;

use crate::{
    admission::{Door, Gate},
    in_every_order,
    totals::{RequestTotals, Totals},
};

/// One request of a connection from admission to its end, as `InFlight` counts it.
fn request(gate: &Gate, totals: &Totals, connection: u64, complete: bool) {
    let token = Door::new(0).admit(gate, connection).expect("an open door");
    totals.entered(&token);
    if gate.leave(connection) {
        totals.ended(&token, complete);
    }
}

/// T0 of the one server, as the coordinator and the server make it.
fn t0(gate: &Gate, totals: &Totals) {
    totals.begin();
    totals.in_flight_at_start(gate.begin_lame_duck());
}

#[test]
fn every_request_that_races_with_t0_was_over_or_is_in_flight_or_comes_late() {
    two_requests_race_with_t0(1);
}

#[test]
fn the_same_of_requests_that_are_counted_apart() {
    two_requests_race_with_t0(2);
}

fn two_requests_race_with_t0(counts: usize) {
    let model = move || {
        let (gate, totals) = (Arc::new(Gate::new(counts)), Arc::new(Totals::default()));
        let requests = [(0, true), (1, false)].map(|(connection, complete)| {
            let (gate, totals) = (gate.clone(), totals.clone());
            thread::spawn(move || request(&gate, &totals, connection, complete))
        });
        t0(&gate, &totals);
        let at_t0 = totals.requests();
        for request in requests {
            request.join().expect("no panic");
        }

        assert_eq!(gate.len(), 0);
        let RequestTotals { in_flight_at_start, completed, aborted, late, .. } = totals.requests();
        assert_eq!(in_flight_at_start, at_t0.in_flight_at_start, "it is known at T0, and stands");
        assert_eq!(in_flight_at_start, completed + aborted, "what was in flight has ended");
        assert!(in_flight_at_start + late <= 2, "nobody is both");
        (completed, aborted, late)
    };
    let outcomes = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1), (0, 0, 1), (0, 0, 2)];
    in_every_order(model, outcomes);
}

#[test]
fn a_server_to_which_t0_comes_twice_counts_once() {
    let model = || {
        let (gate, totals) = (Arc::new(Gate::new(1)), Arc::new(Totals::default()));
        let _in_flight = gate.enter(0);
        let another = {
            let (gate, totals) = (gate.clone(), totals.clone());
            thread::spawn(move || t0(&gate, &totals))
        };
        t0(&gate, &totals);
        another.join().expect("no panic");
        gate.leave(0);
        totals.requests().in_flight_at_start
    };
    in_every_order(model, [1]);
}
