//! Makes the dashboards.

fn main() {}
