//! Clocks of several machines, put onto one time line: that of the first ledger.
//!
//! `CLOCK_MONOTONIC` counts from the boot of its machine. So ledgers of one boot need no correction, and the times of any
//! other are moved by what both said of the wall clock in their first records. How far wall clocks may lie apart is for
//! whoever judges to say; nothing in the ledgers tells.

/// Everything that ledgers have said of their clocks.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    machines: Vec<Machine>,
    /// The first file that says nothing of its clock.
    silent: Option<String>,
}

#[derive(Debug)]
struct Machine {
    boot: Option<Box<str>>,
    /// What the wall clock is ahead of the other one.
    ahead: i128,
}

/// Whose clock a ledger's times are of. One that says nothing is taken to be of the first machine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    machine: usize,
    shift: i64,
}

impl Clocks {
    /// The clock that said `wall` at `at`. Without a boot it is nobody else's.
    pub(super) fn named(&mut self, at: u64, wall: u64, boot: Option<&str>) -> Clock {
        let known = self.machines.iter().position(|machine| boot.is_some() && machine.boot.as_deref() == boot);
        let machine = known.unwrap_or_else(|| {
            let ahead = i128::from(wall) - i128::from(at);
            self.machines.push(Machine { boot: boot.map(Into::into), ahead });
            self.machines.len() - 1
        });
        let shift = self.machines[machine].ahead - self.machines[0].ahead;
        Clock { machine, shift: shift as i64 }
    }

    /// The clock of a `file` that says nothing of it.
    pub(super) fn unnamed(&mut self, file: &str) -> Clock {
        self.silent.get_or_insert_with(|| file.to_owned());
        Clock::default()
    }

    /// Refuses ledgers of which nobody can say how their times lie to each other.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let one_machine = matches!(self.machines.as_slice(), [] | [Machine { boot: Some(_), .. }]);
        match &self.silent {
            Some(file) if !one_machine => anyhow::bail!(
                "{file} has no clock record, and the other ledgers are of other machines: write it anew with the \
                 present version"
            ),
            _ => Ok(()),
        }
    }
}

impl Clock {
    /// `at` on the common time line.
    pub(super) const fn place(self, at: u64) -> u64 {
        at.saturating_add_signed(self.shift)
    }

    /// Whether times of both can be compared as they are.
    pub(super) const fn is_of(self, other: Self) -> bool {
        self.machine == other.machine
    }
}
