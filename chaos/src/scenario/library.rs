//! The scenarios that are built in.

macro_rules! built_in {
    ($($name:literal,)*) => {
        &[$((
            concat!("chaos/scenarios/", $name, ".toml"),
            include_str!(concat!("../../scenarios/", $name, ".toml")),
        ),)*]
    };
}

/// Each file and what is in it, the main job's first.
pub const BUILT_IN: &[(&str, &str)] = built_in![
    "loadtest-shutdown",
    "soak",
    "sigkill",
    "sigint",
    "sigquit",
    "sighup",
    "term-while-starting",
    "int-while-starting",
    "second-signal-forces",
    "second-signal-ignored",
    "third-signal-exits",
    "repeated-signal-is-one",
    "stopped-around-the-signal",
    "stopped-in-the-drain",
    "silent-clients",
    "stalled-clients",
    "vanishing-clients",
    "slow-uploads",
    "connect-storm",
    "http2-only",
    "no-lame-duck",
    "event-streams",
    "blocked-handler",
    "blocked-runtime",
    "panics",
    "never-ending-handlers",
    "hook-fails",
    "hook-panics",
    "hook-hangs",
    "full-disk",
    "report-is-blocked",
    "dead-collector",
    "mute-collector",
    "database-locked",
    "database-gone",
    "clock-jump",
    "deadline",
];
