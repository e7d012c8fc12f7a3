//! A server that is stopped alone and with the others at once.

use std::sync::Arc;

use loom::thread;

use crate::{
    admission::{Door, Gate, Stage},
    in_every_order,
};

#[test]
fn the_stage_never_goes_back_whoever_closes_first() {
    let model = || {
        let gate = Arc::new(Gate::new(1));
        let alone = {
            let gate = gate.clone();
            thread::spawn(move || gate.close())
        };
        let with_the_others = {
            let gate = gate.clone();
            thread::spawn(move || {
                gate.begin_lame_duck();
                gate.stage()
            })
        };
        let (first, second) = (gate.stage(), gate.stage());
        assert!(first <= second, "{first:?} and then {second:?}");
        alone.join().expect("no panic");
        let lame_duck = with_the_others.join().expect("no panic");
        assert_eq!(gate.stage(), Stage::Drain);
        lame_duck
    };
    in_every_order(model, [Stage::LameDuck, Stage::Drain]);
}

#[test]
fn who_is_refused_is_told_that_the_server_drains() {
    let model = || {
        let gate = Arc::new(Gate::new(1));
        // This connection's task has seen it close; the other threads are no task of its.
        let door = Door::new(0);
        let closed = Gate::new(1);
        closed.close();
        door.close(&closed, 0, 0);
        let closers = [(); 2].map(|()| {
            let gate = gate.clone();
            thread::spawn(move || gate.close())
        });
        let admitted = door.admit(&gate, 0).is_some();
        assert!(admitted || gate.stage() == Stage::Drain, "refused, and it is not yet the time");
        for closer in closers {
            closer.join().expect("no panic");
        }
        admitted
    };
    in_every_order(model, [true, false]);
}
