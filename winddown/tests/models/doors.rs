//! Requests that race with the close of their connection's door.

use std::sync::Arc;

use loom::thread;

use crate::{
    admission::{Door, Gate, Token},
    in_every_order,
};

/// A request that comes now, on a thread of its own.
fn one_comes(gate: &Arc<Gate>, door: &Arc<Door>) -> thread::JoinHandle<Option<Token>> {
    let (gate, door) = (gate.clone(), door.clone());
    thread::spawn(move || door.admit(&gate, 0))
}

/// How many of three are let in, the door being closed.
fn three_come_late(gate: &Gate, door: &Door) -> usize {
    (0..3).filter(|_| door.admit(gate, 0).is_some()).count()
}

#[test]
fn a_request_that_races_with_the_close_is_counted_or_refused() {
    let model = || {
        let (gate, door) = (Arc::new(Gate::new(1)), Arc::new(Door::new(0)));
        let racing = one_comes(&gate, &door);
        gate.close();
        door.close(&gate, 0, 0);
        let counted = gate.len();
        let token = racing.join().expect("no panic");
        assert!(token.is_none() || counted == 1, "let in, and not seen");
        assert_eq!(gate.len(), usize::from(token.is_some()), "nobody stays counted who was refused");
        token.is_some()
    };
    in_every_order(model, [true, false]);
}

#[test]
fn a_pass_lets_one_in_and_no_two() {
    let model = || {
        let (gate, door) = (Arc::new(Gate::new(1)), Arc::new(Door::new(0)));
        gate.close();
        door.close(&gate, 0, 1);
        let first = one_comes(&gate, &door);
        let second = door.admit(&gate, 0).is_some();
        let first = first.join().expect("no panic").is_some();
        assert!(first ^ second, "one pass: {first}, {second}");
        first
    };
    in_every_order(model, [true, false]);
}

#[test]
fn a_pass_that_comes_with_the_close_is_spent_behind_it_and_not_lost() {
    let model = || {
        let (gate, door) = (Arc::new(Gate::new(1)), Arc::new(Door::new(0)));
        gate.close();
        let racing = one_comes(&gate, &door);
        door.close(&gate, 0, 1);
        assert!(racing.join().expect("no panic").is_some(), "by the open door, or by the pass");
        three_come_late(&gate, &door)
    };
    in_every_order(model, [0, 1]);
}

#[test]
fn a_door_that_is_closed_twice_at_once_has_the_larger_number_of_passes() {
    let model = || {
        let (gate, door) = (Arc::new(Gate::new(1)), Arc::new(Door::new(1)));
        gate.close();
        let another = {
            let (gate, door) = (gate.clone(), door.clone());
            thread::spawn(move || door.close(&gate, 0, 2))
        };
        door.close(&gate, 0, 0);
        another.join().expect("no panic");
        three_come_late(&gate, &door)
    };
    in_every_order(model, [2]);
}

#[test]
fn a_door_that_opens_again_keeps_its_passes() {
    let model = || {
        let (gate, door) = (Arc::new(Gate::new(1)), Arc::new(Door::new(1)));
        gate.close();
        door.close(&gate, 0, 0);
        let racing = one_comes(&gate, &door);
        door.open();
        assert!(racing.join().expect("no panic").is_some(), "by the open door, or by the pass");
        door.close(&gate, 0, 0);
        three_come_late(&gate, &door)
    };
    in_every_order(model, [0, 1]);
}
