//! The process and its runtime.

use crate::{
    dashboard::{Row, line, row},
    names,
    panel::{Panel, Unit},
    query::{Query, of, rate},
};

pub(crate) fn runtime() -> Row {
    row(
        "Runtime",
        [
            line(7, [(6, cpu()), (6, memory()), (6, descriptors()), (6, threads())]),
            line(7, [(6, busy()), (6, tasks()), (6, queue()), (6, uptime())]),
        ],
    )
}

fn cpu() -> Panel {
    let about = "Processors in use: 1 is one of them, all the time.";
    Panel::lines("CPU", Unit::Cores, about).query(Query::range("{{instance}}", rate(&of(names::CPU))))
}

fn memory() -> Panel {
    let about = "Resident memory.";
    Panel::lines("Memory", Unit::Bytes, about).query(Query::range("{{instance}}", of(names::MEMORY)))
}

fn descriptors() -> Panel {
    let about = "The share of the file descriptors that are in use. At 1 no connection is accepted any more.";
    let share = format!("{} / {}", of(names::OPEN_FDS), of(names::MAX_FDS));
    Panel::lines("File descriptors", Unit::Share, about).query(Query::range("{{instance}}", share))
}

fn threads() -> Panel {
    let about = "Threads of the process, those for blocking work among them.";
    Panel::lines("Threads", Unit::Count, about).query(Query::range("{{instance}}", of(names::THREADS)))
}

fn busy() -> Panel {
    let about = "The share of their time that the runtime's workers are busy. Near 1 they are all taken: requests wait, and a stop \
                 does, too.";
    let busy = format!("{} / 1e6 / {}", rate(&of(names::TOKIO_BUSY)), of(names::TOKIO_WORKERS));
    Panel::lines("Workers busy", Unit::Share, about).query(Query::range("{{instance}}", busy))
}

fn tasks() -> Panel {
    let about = "Tasks alive in the runtime, and those of them that a stop waits for in its background phase.";
    Panel::lines("Tasks", Unit::Count, about)
        .query(Query::range("{{instance}}", of(names::TOKIO_TASKS)))
        .query(Query::range("{{instance}} background", of(names::BACKGROUND_TASKS)))
}

fn queue() -> Panel {
    let about = "Tasks that wait for a worker in the runtime's global queue.";
    Panel::lines("Tasks that wait", Unit::Count, about).query(Query::range("{{instance}}", of(names::TOKIO_QUEUE)))
}

fn uptime() -> Panel {
    let about = "Since the process began. A line that falls to zero is a restart.";
    let uptime = format!("time() - {}", of(names::STARTED));
    Panel::lines("Uptime", Unit::Seconds, about).query(Query::range("{{instance}}", uptime))
}
