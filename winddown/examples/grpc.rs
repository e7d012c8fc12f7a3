//! gRPC beside axum, on one port. tonic's services are routes of an axum router, so they stop as every other route does: calls in
//! flight finish, HTTP/2 clients get GOAWAY, nobody is refused who came in time.
//!
//! The health service is the standard one. It says NOT_SERVING at T0, so that clients who balance by it go elsewhere while
//! everything is still served; and those who watch it hold their call open for ever, so in the drain it lets them go.
//!
//! ```text
//! cargo run --package winddown --example grpc       # then grpcurl -plaintext ADDRESS grpc.health.v1.Health/Watch, and Ctrl-C
//! ```

use std::process::ExitCode;

use axum::{Router, routing::get};
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::health_reporter};
use winddown::{BoxError, Phase, ServerHandle, Shutdown};

/// In the health service's words: the whole server.
const ALL: &str = "";

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let signals = winddown::signals()?;
    let stop = Shutdown::builder().build()?;
    println!("http://{}", serve(&stop)?.local_addr()?);
    Ok(stop.run_until(signals).await.into())
}

fn serve(stop: &Shutdown) -> Result<ServerHandle, BoxError> {
    let (reporter, health) = health_reporter();
    let mut watched = reporter.clone();
    stop.hook(Phase::LameDuck, "health", move |_| async move {
        reporter.set_service_status(ALL, ServingStatus::NotServing).await;
        Ok(())
    });
    stop.hook(Phase::Drain, "watchers of health", move |_| async move {
        watched.clear_service_status(ALL).await;
        Ok(())
    });
    let hello = Router::new().route("/", get(|| async { "hello" }));
    let router = Routes::new(health).into_axum_router().merge(hello);
    Ok(stop.serve("public", winddown::bind("127.0.0.1:0".parse()?)?, router))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::transport::Channel;
    use tonic_health::pb::{
        HealthCheckRequest,
        health_check_response::ServingStatus::{NotServing, Serving},
        health_client::HealthClient,
    };
    use winddown::{Cause, Signals, Split};

    use super::*;

    fn whole_server() -> HealthCheckRequest {
        HealthCheckRequest { service: ALL.into() }
    }

    #[tokio::test]
    async fn a_watcher_is_told_while_it_is_still_served_and_holds_nothing() {
        let split = Split { lame_duck: Some(Duration::from_secs(1)), ..Split::default() };
        let stop = Shutdown::builder().split(split).build().expect("it fits");
        let address = serve(&stop).expect("loopback has ports").local_addr().expect("it is TCP");
        let channel = Channel::from_shared(format!("http://{address}")).expect("it is a URI");
        let mut client = HealthClient::new(channel.connect().await.expect("it listens"));
        let mut news = client.watch(whole_server()).await.expect("it is served").into_inner();
        let first = news.message().await.expect("it is in flight").expect("there is a first");
        assert_eq!(first.status(), Serving);

        let handle = stop.handle();
        let running = tokio::spawn(stop.run_until(Signals::from_stream(tokio_stream::pending())));
        handle.watch().wait_for(|status| status.phase == Phase::Running).await.expect("it lives");
        handle.request(Cause::Requested { reason: "test".into() });

        let told = news.message().await.expect("the lame duck serves").expect("not the end yet");
        assert_eq!(told.status(), NotServing);
        let asked = client.check(whole_server()).await.expect("the lame duck serves").into_inner();
        assert_eq!(asked.status(), NotServing);
        assert!(news.message().await.expect("an end, and no error").is_none());
        let report = running.await.expect("no panic");
        assert_eq!(report.exit_code(), 0, "{report}");
        assert_eq!(report.requests.cut, 0, "{report}");
    }
}
