//! A service that loses nothing when it is restarted. `main` reads as its life.

mod admin;
mod config;
mod faults;
mod listen;
mod live;
mod request_id;
mod routes;
mod telemetry;

use std::process::ExitCode;

use winddown::{Report, systemd};

use crate::{
    config::{Config, Refusal},
    listen::listen,
};

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return Refusal::from(error).tell(),
    };
    let code = match runtime.block_on(run()) {
        Ok(report) => report.into(),
        Err(refusal) => refusal.tell(),
    };
    // Dropping it would wait for a worker that is blocked, and the report has named what was cut.
    runtime.shutdown_background();
    code
}

async fn run() -> Result<Report, Refusal> {
    // Before anything else: a stop that comes while we start must find somebody who listens.
    let signals = winddown::signals()?;
    let [public, admin] = systemd::listeners(["http", "admin"])?;
    let config = Config::load()?;
    telemetry::init_logging(config.log_format);
    let metrics = telemetry::install_recorder()?;
    let (tls, stop) = (config.tls()?, config.shutdown()?);

    stop.spawn("metrics upkeep", |task| telemetry::upkeep(metrics.clone(), task.draining()));
    stop.start({
        let stop = stop.clone();
        async move {
            let admin = listen(admin, "ADMIN_ADDR", config.admin_addr)?;
            let public = listen(public, "HTTP_ADDR", config.http_addr)?;
            stop.serve_admin("admin", admin, admin::router(&stop, metrics));
            stop.serve("public", public.with_tls(tls), routes::app(config.enable_faults));
            Ok(())
        }
    });
    systemd::notify(&stop);
    Ok(stop.run_until(signals).await)
}
