# Every recipe is a command that can be typed without just; `just` lists them.
_default:
    @just --list --unsorted

# Stop a service five times in the middle of a load, and show that nothing is lost
loadtest-shutdown *ARGS:
    cargo loadtest-shutdown {{ARGS}}

# Every scenario that is built in, one after the other; or those that are named
scenarios *NAMES="--all":
    cargo run --release --package chaos --bin chaos -- run {{NAMES}}

# Stop the service a thousand times with 100,000 requests at risk; the same command goes on where it was interrupted
soak *ARGS:
    cargo run --release --package chaos --bin chaos -- soak {{ARGS}}

# 50 restarts under thousands of new connections a second, and not one of them lost
storm:
    STORM_RESTARTS=50 cargo test --release --package service --test shutdown c01_storm_of_thousands -- --nocapture

# Faults on purpose, stock servers, lying clients: the harness must catch each as what it is
controls *ARGS:
    cargo run --release --package chaos --bin chaos -- controls {{ARGS}}

# Restart instances one after the other behind HAProxy, nginx and Envoy, under load; those that are installed
roll *ARGS:
    cargo run --release --package chaos -- roll {{ARGS}}

# What restarts of other servers lose, into docs/peers.md; those whose programs are installed
peers *ARGS:
    cargo run --release --package chaos --bin chaos -- peers {{ARGS}}

# All tests, with nothing installed but Rust
test:
    cargo test --workspace

# Formatting, lints, documentation
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# Memory of an idle connection beside stock axum, and the stop of 10,000 of them; IDLE_PAIRS and IDLE_CONNECTIONS size it
bench-idle:
    cargo bench --package benches --bench idle

# How soon 10,000 handlers and 1,000 tasks are told, and what the phases of a large stop take beyond their own work
bench-stop:
    cargo bench --package benches --bench stop

# What winddown adds to every request, and what a scrape of 200 routes costs
bench-request:
    cargo bench --package benches --bench request

# How long admission, bodies, cancelling, an idle stop and the ledgers take by themselves
bench-paths:
    cargo bench --package benches --bench paths

# Requests and new connections a second of loadtest, with its ledger and without, beside wrk; LOAD_ROUNDS and LOAD_SECONDS size it
bench-load:
    cargo bench --package loadtest --bench load
# Seconds and memory of joining ledgers of 10 million records; JOIN_RECORDS sizes it
bench-join:
    cargo bench --package benches --bench join

# The same router on winddown, axum::serve and axum-server, and docs/peers.svg; needs wrk and h2load; PEERS_ROUNDS, PEERS_SECONDS and PEERS_CONNECTIONS size it
bench-peers:
    PEERS_PLOT=docs/peers.svg cargo bench --package benches --bench peers

# Instructions and allocations against benches/baseline.json; needs valgrind, and cargo install gungraun-runner --version 0.20.0
gate *ARGS:
    cargo run --package benches --bin gate -- {{ARGS}}

# Make benches/baseline.json anew, and show the difference
gate-update: (gate "--update")

# See the gate catch 2 % more instructions and one more allocation, and pass ten times on what did not change
gate-self-test: (gate "--self-test")

# Wall clock of a request here and at the commit BASE, in pairs; advises only, with --strict it fails
gate-pairs BASE *ARGS: (gate "--pairs" BASE ARGS)

# What is wrong or unsafe in the workflows; needs actionlint and zizmor
workflows-check:
    actionlint
    zizmor --offline --quiet --persona pedantic .github

# Licences and origins of the dependencies (deny.toml); needs cargo-deny. `cargo deny check` asks for advisories, too
dependencies-check:
    cargo deny --log-level error check --hide-inclusion-graph licenses bans sources

# Links and anchors between the documents lead somewhere; needs lychee, and no network
links-check:
    git ls-files -z -co --exclude-standard '*.md' | xargs -0 lychee --offline --include-fragments --no-progress

# Make the dashboards anew, after a change of a metric or a panel
dashboards:
    cargo run --package dashboards

# Hold the dashboards against the types of @grafana/schema; needs Node.js
dashboards-schema:
    npm ci --prefix dashboards/schema
    npm test --prefix dashboards/schema
    npm run check --prefix dashboards/schema

# Picture the dashboards anew: three instances under load are restarted and looked at; needs Node.js, Prometheus and Chromium
dashboard-pictures:
    npm ci --prefix dashboards/pictures
    npm test --prefix dashboards/pictures
    npm run check --prefix dashboards/pictures
    GIT_REVISION=$(git rev-parse --short HEAD) cargo build --release --package service --locked
    npm run record --prefix dashboards/pictures
    npm run render --prefix dashboards/pictures

# Make the files that a generated project has otherwise, after a change of one of them, of a manifest or of Cargo.lock
template:
    cargo run --package template -- make

# Generate projects of every combination of choices from a clean clone of HEAD, build, test and load them; needs cargo-generate
template-check *ARGS:
    cargo run --package template -- check {{ARGS}}

# Hold deploy/ against the service, systemd, Kubernetes' schemas and an image builder; a part that is missing is skipped
deploy-check:
    hadolint deploy/Dockerfile
    cargo test --package service --test deploy
    cargo test --package service --test shutdown -- c40

# Run the service on its default ports
run *ARGS:
    cargo run --package service -- {{ARGS}}

# What changed in the library's interface since a commit or tag, and which version that takes; needs cargo install cargo-semver-checks
semver BASE:
    cargo semver-checks --package winddown --baseline-rev {{BASE}}

# The whole gate, as CI runs it
ci:
    .ci/run
