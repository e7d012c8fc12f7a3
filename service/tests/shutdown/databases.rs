//! Databases for tests: a new, empty one of each kind. Also used by the unit tests of the service.
//!
//! PostgreSQL is started here from Debian's package `postgresql`, one server for each test process, on a Unix socket in a
//! folder of its own. Where it is missing, tests say so and are run on SQLite alone, or fail if `REQUIRE_REAL_PARTS` is 1.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
};

use sqlx::{AnyConnection, AssertSqlSafe, Connection, any::install_default_drivers};

/// The user that Debian has for what must own nothing: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

/// Makes a server, says where, and ends it when its standard input ends: when the test process is gone, however it went.
const SERVE: &str = r#"
    bin=$0 folder=$(mktemp -d "${TMPDIR:-/tmp}/postgres-for-tests-XXXXXX") || exit
    trap 'rm -rf "$folder"' EXIT
    "$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale C --no-sync >"$folder/log" 2>&1 &&
    "$bin/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= -c fsync=off >>"$folder/log" 2>&1 &
    for i in $(seq 300); do
        "$bin/pg_isready" -q -h "$folder" && { echo "$folder"; read -r _; break; }
        sleep 0.1
    done
    pid=$(head -n 1 "$folder/data/postmaster.pid") && kill -INT "$pid"
    wait
"#;

/// Runs a test on SQLite, and then on PostgreSQL.
pub(crate) fn on_each_database(test: impl Fn(&str)) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    test(&format!("sqlite:{}", folder.path().join("orders.db").display()));
    if let Some(server) = Server::get() {
        test(&server.new_database());
    }
}

/// Does something on a connection of its own.
pub(crate) fn on_connection<T>(url: &str, work: impl AsyncFnOnce(&mut AnyConnection) -> T) -> T {
    install_default_drivers();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let mut connection = AnyConnection::connect(url).await.expect("the database is there");
        let result = work(&mut connection).await;
        connection.close().await.expect("it was open");
        result
    })
}

/// PostgreSQL, for as long as this process lives.
struct Server {
    folder: String,
    databases: AtomicU32,
    /// Its standard input ends with this process.
    _script: Child,
}

impl Server {
    fn get() -> Option<&'static Self> {
        static SERVER: OnceLock<Option<Server>> = OnceLock::new();
        let required = env::var_os("REQUIRE_REAL_PARTS").is_some_and(|value| value == "1");
        let server = SERVER.get_or_init(|| programs().map(Self::start)).as_ref();
        assert!(server.is_some() || !required, "REQUIRE_REAL_PARTS is 1, and this needs PostgreSQL");
        if server.is_none() {
            // Past the test harness, which shows nothing of a test that passes.
            let test = thread::current().name().unwrap_or_default().to_owned();
            let said = format!("{test} is skipped on PostgreSQL: it needs /usr/lib/postgresql/*/bin/postgres\n");
            let _ = io::stderr().write_all(said.as_bytes());
        }
        server
    }

    fn start(programs: PathBuf) -> Self {
        let mut command = Command::new("sh");
        command.arg("-c").arg(SERVE).arg(programs).current_dir("/");
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut script = command.spawn().expect("there is a shell");
        let stdout = script.stdout.take().expect("it is piped");
        let mut folder = String::new();
        BufReader::new(stdout).read_line(&mut folder).expect("it is text");
        assert!(!folder.is_empty(), "PostgreSQL is installed and does not start");
        Self { folder: folder.trim_end().to_owned(), databases: AtomicU32::new(0), _script: script }
    }

    fn new_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Relaxed));
        on_connection(&self.url("postgres"), async |connection| {
            let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
            sqlx::raw_sql(create).execute(connection).await.expect("the name is new");
        });
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.folder)
    }
}

/// Where Debian keeps the programs of the newest version.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let programs = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    programs.filter(|folder| folder.join("postgres").exists()).max()
}
