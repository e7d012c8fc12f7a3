//! A service that loses nothing when it is restarted. `main` reads as its life.

mod admin;
mod check;
mod config;
mod endpoint;
mod faults;
mod final_metrics;
mod listen;
mod live;
#[cfg(feature = "orders")]
mod orders;
mod request_id;
mod routes;
mod telemetry;
mod traces;

use std::process::ExitCode;

use winddown::{Report, Signals, systemd};

use crate::{
    config::{Config, Refusal},
    listen::listen,
};

fn main() -> ExitCode {
    if let Some(code) = check::asked_for() {
        return code;
    }
    // Before anything else: a stop that comes while we start must find somebody who listens.
    let started = winddown::signals().and_then(|signals| Ok((signals, tokio::runtime::Runtime::new()?)));
    let (signals, runtime) = match started {
        Ok(started) => started,
        Err(error) => return Refusal::from(error).tell(),
    };
    let code = match runtime.block_on(run(signals)) {
        Ok(report) => report.into(),
        Err(refusal) => refusal.tell(),
    };
    // Dropping it would wait for a worker that is blocked, and the report has named what was cut.
    runtime.shutdown_background();
    code
}

async fn run(signals: Signals) -> Result<Report, Refusal> {
    let [public, admin] = systemd::listeners(["http", "admin"])?;
    let config = Config::load()?;
    let metrics = telemetry::install_recorder()?;
    let final_metrics = config.final_metrics()?;
    let traces = config.traces(&final_metrics)?;
    let _flushed_last = telemetry::init_logging(config.log_format, traces.as_ref());
    #[cfg(feature = "sabotage")]
    config.sabotage();
    #[cfg(feature = "tls")]
    let tls = config.tls.tls()?;
    #[cfg(not(feature = "tls"))]
    let tls: Option<()> = None;
    #[cfg(feature = "orders")]
    let (database, settling) = (config.orders.database()?, config.orders.settling());
    let stop = config.shutdown()?;

    telemetry::keep_flat(&stop, metrics.clone());
    let (with_spans, over_tls) = (traces.is_some(), tls.is_some());
    if let Some(traces) = traces {
        traces.flush_in(&stop);
    }
    final_metrics.leave_in(&stop, metrics.clone());
    stop.start({
        let stop = stop.clone();
        async move {
            let admin = listen(admin, "ADMIN_ADDR", config.admin_addr)?;
            stop.serve_admin("admin", admin, admin::router(&stop, metrics));
            #[cfg(feature = "orders")]
            let orders = {
                let store = orders::Store::open(&database).await?;
                let pool = store.clone();
                stop.hook(winddown::Phase::Release, "database pool", |_| async move {
                    pool.close().await;
                    Ok(())
                });
                stop.spawn("settle orders", |task| settling.run(store.clone(), task));
                orders::router(store)
            };
            #[cfg(not(feature = "orders"))]
            let orders = axum::Router::new();
            let public = listen(public, "HTTP_ADDR", config.http_addr)?;
            #[cfg(feature = "tls")]
            let public = public.with_tls(tls);
            if let Some(hook) = config.fault_hook {
                hook.register(&stop);
            }
            let app = routes::app(orders, config.enable_faults);
            let app = if with_spans { traces::on_every_request(app, over_tls) } else { app };
            stop.serve("public", public, app);
            Ok(())
        }
    });
    systemd::notify(&stop);
    Ok(stop.run_until(signals).await)
}
