//! What is checked of a run: against the model, and against itself.

use std::collections::BTreeMap;

use winddown::{Budget, Cause, HookOutcome, HookReport, Part, Phase, Report};

use crate::{
    model::{CLOSE, Foretold, FutureHook, Maybe, Why, for_hooks},
    plan::{Fate, PHASES, Plan},
    process::{Ran, Seen},
};

pub(crate) fn all(plan: &Plan, budget: &Budget, foretold: &Foretold, seen: &Seen) {
    cause(foretold, seen);
    phases(budget, foretold, seen);
    hooks(foretold, seen);
    order(plan, seen);
    own_timeouts(plan, budget, seen);
    tasks(plan, foretold, &seen.report);
    exit_code(foretold, &seen.report);
    json(foretold, seen);
}

/// A second signal makes a stop shorter, or does nothing.
pub(crate) fn never_longer(forced: &Report, patient: &Report) {
    let (forced, patient) = (forced.duration.as_secs_f64() * 1e3, patient.duration.as_secs_f64() * 1e3);
    assert!(forced <= patient + CLOSE, "forced, it took {forced} ms, and left alone {patient} ms");
}

fn is_close(what: &str, seen: f64, foretold: f64) {
    assert!((seen - foretold).abs() < CLOSE, "{what}: at {seen} ms, and foretold for {foretold} ms");
}

fn cause(foretold: &Foretold, seen: &Seen) {
    match (foretold.cause, &seen.report.cause) {
        (Why::StartUp, Cause::StartFailed { .. }) | (Why::Asked(None), Cause::Requested { .. }) => {}
        (Why::Asked(Some(asked)), Cause::Signal { signal }) if asked == *signal => {}
        (foretold, cause) => panic!("stopped by {cause}, and not by {foretold:?}"),
    }
    is_close("T0", seen.t0, foretold.t0);
    assert_eq!(seen.starting, 0, "a start-up step that was dropped is gone");
}

fn phases(budget: &Budget, foretold: &Foretold, seen: &Seen) {
    let report = &seen.report;
    assert_eq!(report.phases.iter().map(|phase| phase.phase).collect::<Vec<_>>(), PHASES);
    let mut now = seen.t0;
    for (phase, ends) in report.phases.iter().zip(&foretold.phases[1..]) {
        assert!(phase.duration.as_secs_f64() <= phase.budget.as_secs_f64() + 2e-3, "{phase:?} is too long");
        now += phase.duration.as_secs_f64() * 1e3;
        is_close(&format!("the end of {}", phase.phase), now, *ends);
    }
    let parts: Vec<_> = report.phases.iter().map(|phase| phase.budget).collect();
    let of = [Part::LameDuck, Part::Drain, Part::Background, Part::Release, Part::Flush];
    assert_eq!(parts, of.map(|part| budget.part(part)));
    assert!(report.duration <= budget.hard_limit(), "the watchdog would have ended it");

    assert!(seen.phases.is_sorted_by(|(one, _), (two, _)| one < two), "back in {:?}", seen.phases);
    let ready = seen.phases.iter().find(|(phase, _)| *phase == Phase::Running);
    assert_eq!(ready.is_some(), foretold.was_ready, "{:?}", seen.phases);
    assert_eq!(seen.was_ready, foretold.was_ready);
    for (phase, began) in &seen.phases {
        if let Some(i) = PHASES.iter().position(|of_the_stop| of_the_stop == phase) {
            is_close(&format!("the beginning of {phase}"), *began, foretold.phases[i]);
        }
    }
}

fn hooks(foretold: &Foretold, seen: &Seen) {
    let mut reports: BTreeMap<&str, &HookReport> = BTreeMap::new();
    for report in &seen.report.hooks {
        assert!(reports.insert(&report.hook, report).is_none(), "{} is reported twice", report.hook);
    }
    for (name, hook) in &foretold.hooks {
        let (ran, report) = (seen.hooks.iter().find(|ran| ran.name == *name), reports.get(&**name));
        if let Some(ran) = ran {
            assert!(ran.ended.is_some(), "{name} is still there");
            assert_eq!(ran.phase, hook.phase);
            is_close(&format!("the beginning of {name}"), ran.began, hook.began);
            is_close(&format!("the deadline of {name}"), ran.deadline, hook.deadline);
        }
        let report = report.unwrap_or_else(|| panic!("{name} is in no report"));
        assert!(as_foretold(hook, &report.outcome), "{name}: {report:?}, and foretold was {hook:?}");
        assert_eq!(report.phase, hook.phase);
        let may_not_begin = matches!(report.outcome, HookOutcome::Timeout | HookOutcome::Forced);
        assert!(ran.is_some() || may_not_begin, "{name} did not run: {report:?}");
        is_close(&format!("the length of {name}"), report.duration.as_secs_f64() * 1e3, hook.ended - hook.began);
    }
}

fn as_foretold(hook: &FutureHook, outcome: &HookOutcome) -> bool {
    let own = match (hook.fate, outcome) {
        (Fate::Ok(_), HookOutcome::Ok) => true,
        (Fate::Fails(_), HookOutcome::Error { message }) | (Fate::Panics(_), HookOutcome::Panic { message }) => {
            message == "planned"
        }
        _ => false,
    };
    let by_itself = match hook.in_time {
        Maybe::Yes => own,
        Maybe::No => *outcome == HookOutcome::Timeout,
        Maybe::Either => own || *outcome == HookOutcome::Timeout,
    };
    match hook.given_up {
        Maybe::Yes => *outcome == HookOutcome::Forced,
        Maybe::No => by_itself,
        Maybe::Either => by_itself || *outcome == HookOutcome::Forced,
    }
}

/// Steps one after the other, in order of registration and in `release` in reverse; hooks of a group side by side.
fn order(plan: &Plan, seen: &Seen) {
    for phase in PHASES {
        let number = |ran: &Ran| ran.name.split('.').next().and_then(|number| number.parse::<usize>().ok());
        let ran: Vec<_> = seen.hooks.iter().filter(|ran| ran.phase == phase).collect();
        for (i, one) in ran.iter().enumerate() {
            for two in ran[i + 1..].iter().filter(|two| number(two) != number(one)) {
                assert_eq!(number(one) < number(two), phase != Phase::Release, "{} and then {}", one.name, two.name);
                assert!(one.ended.is_some_and(|ended| ended <= two.began), "{} was not waited for", one.name);
            }
        }
    }
    assert!(seen.hooks.len() <= plan.steps.iter().map(|step| step.hooks.len()).sum());
}

/// A timeout that a hook has of its own is there for it, when all those of the phase fit into its budget.
fn own_timeouts(plan: &Plan, budget: &Budget, seen: &Seen) {
    for phase in PHASES {
        let steps = || plan.steps.iter().enumerate().filter(move |(_, step)| step.phase == phase);
        let asked = |hooks: &[crate::plan::Hook]| hooks.iter().filter_map(|hook| hook.timeout).max().unwrap_or(0);
        let together: u64 = steps().map(|(_, step)| asked(&step.hooks)).sum();
        if together as f64 > for_hooks(budget, phase) {
            continue;
        }
        for (number, step) in steps() {
            for (i, hook) in step.hooks.iter().enumerate() {
                let Some(timeout) = hook.timeout else { continue };
                let name = format!("{number}.{i}");
                let Some(ran) = seen.hooks.iter().find(|ran| ran.name == name) else { continue };
                let given = ran.deadline - ran.began;
                assert!(given > timeout as f64 - CLOSE, "{name} asked for {timeout} ms and was given {given} ms");
            }
        }
    }
}

fn tasks(plan: &Plan, foretold: &Foretold, report: &Report) {
    let cut: Vec<_> = report.cut_tasks.iter().map(|task| task.name.as_str()).collect();
    for (number, foretold) in foretold.tasks.iter().enumerate() {
        let is_cut = cut.contains(&&*number.to_string());
        let right = match foretold {
            Maybe::Yes => is_cut,
            Maybe::No => !is_cut,
            Maybe::Either => true,
        };
        assert!(right, "task {number} {:?} is cut: {is_cut}, foretold: {foretold:?}", plan.tasks[number]);
    }
    assert_eq!(report.cut_tasks_total, cut.len());
    assert!(cut.is_sorted(), "the oldest first, and each once: {cut:?}");
    let panicked = |number: usize| {
        matches!(plan.tasks[number], crate::plan::Task::Panics(_)) && !cut.contains(&&*number.to_string())
    };
    assert_eq!(report.panicked_tasks, (0..plan.tasks.len()).filter(|number| panicked(*number)).count() as u64);
}

/// The documented table, from what was seen to happen.
fn exit_code(foretold: &Foretold, report: &Report) {
    let code = if foretold.cause == Why::StartUp {
        1
    } else if let Some((signal, _)) = foretold.forced {
        128 + signal.number()
    } else if !report.cut_tasks.is_empty() {
        10
    } else if report.hooks.iter().any(|hook| hook.outcome != HookOutcome::Ok) {
        11
    } else {
        0
    };
    assert_eq!(report.exit_code(), code, "{report}");
    assert_eq!(report.forced_by, foretold.forced.map(|(signal, _)| signal));
}

/// The report says the same as JSON, and so does its file. A process that could not start writes none.
fn json(foretold: &Foretold, seen: &Seen) {
    let report = &seen.report;
    // By way of a text, as the file: not every number comes back as it was.
    let json = serde_json::to_vec(report).expect("a report serialises");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
    assert_eq!(json["exit_code"], report.exit_code());
    let names = |key: &str, name: &str| -> Vec<String> {
        let all = json[key].as_array().expect("a list");
        all.iter().map(|one| one[name].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names("phases", "phase"), PHASES.map(Phase::as_str));
    assert_eq!(names("hooks", "hook"), report.hooks.iter().map(|hook| hook.hook.clone()).collect::<Vec<_>>());
    assert_eq!(names("cut_tasks", "name"), report.cut_tasks.iter().map(|task| task.name.clone()).collect::<Vec<_>>());
    assert_eq!(json["panicked_tasks"], report.panicked_tasks);
    assert_eq!(seen.written.is_some(), foretold.cause != Why::StartUp);
    if let Some(mut written) = seen.written.clone() {
        written["seconds"] = json["seconds"].clone();
        written["started_at"] = json["started_at"].clone();
        assert_eq!(written, json);
    }
}
