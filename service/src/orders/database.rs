//! Which database it is, and how it is opened: one code for SQLite and PostgreSQL.

use std::{fmt, future::Future, io, str::FromStr, time::Duration};

use sqlx::{
    AnyConnection, AnyPool, Connection, Transaction,
    any::{Any, AnyConnectOptions, AnyPoolOptions, install_default_drivers},
    migrate::{Migration, MigrationType, Migrator},
    postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};
use tokio::time::timeout;

/// Longest wait for a database when the service starts, its migrations included.
const OPEN: Duration = Duration::from_secs(10);

/// Longest wait for a connection of the pool.
const ACQUIRE: Duration = Duration::from_secs(5);

/// Longest wait for whatever is asked of the database, that for a connection included.
const ANSWER: Duration = Duration::from_secs(10);

/// Connections that read, and on PostgreSQL write as well.
const POOL: u32 = 16;

/// How each connection to SQLite begins.
///
/// - `busy_timeout`: another process may have the file open, as a successor does; its write is waited for.
/// - `WAL`: whoever reads does not wait for the writer, nor it for them.
/// - `FULL`: with WAL a commit is on the disk only then. With `NORMAL`, which is enough when a process dies, a power cut
///   takes back orders that were acknowledged (<https://sqlite.org/pragma.html#pragma_synchronous>).
const PRAGMAS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                       PRAGMA foreign_keys = ON;";

/// A database that is understood and not yet opened. It shows itself without its password.
#[derive(Clone)]
pub(crate) struct Database {
    kind: Kind,
    options: AnyConnectOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

/// The connections to a database.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    pub(crate) reads: AnyPool,
    /// On SQLite a single connection: it has one writer at a time, and here they wait in order, so that none ever finds the
    /// database locked by another.
    pub(crate) writes: AnyPool,
    kind: Kind,
}

impl Database {
    /// Opens it, makes the file of SQLite where it is missing, and brings the tables up to date.
    ///
    /// # Errors
    ///
    /// The setting, its value without the password, the cause and a remedy.
    pub(crate) async fn open(&self) -> Result<Pools, String> {
        install_default_drivers();
        match timeout(OPEN, self.try_open()).await {
            Ok(opened) => opened.map_err(|error| self.unusable(&error.to_string())),
            Err(_) => Err(self.unusable(&format!("no answer within {OPEN:?}"))),
        }
    }

    async fn try_open(&self) -> Result<Pools, sqlx::Error> {
        // A pool would try again and again, and in the end say only that its time was up.
        AnyConnection::connect_with(&self.options).await?.close().await?;
        let pools = self.pools();
        migrations().run(&pools.writes).await?;
        Ok(pools)
    }

    fn pools(&self) -> Pools {
        let kind = self.kind;
        let options = AnyPoolOptions::new()
            .acquire_timeout(ACQUIRE)
            .after_connect(move |connection, _| Box::pin(async move { kind.prepare(connection).await }))
            .after_release(move |connection, _| Box::pin(async move { kind.is_as_new(connection).await }));
        let reads = options.clone().max_connections(POOL).connect_lazy_with(self.options.clone());
        let writes = match kind {
            Kind::Sqlite => options.max_connections(1).connect_lazy_with(self.options.clone()),
            Kind::Postgres => reads.clone(),
        };
        Pools { reads, writes, kind }
    }

    fn unusable(&self, cause: &str) -> String {
        let remedy = match self.kind {
            Kind::Sqlite => "choose a file in a folder that exists and is writable",
            Kind::Postgres => "see that it runs, and that host, port, user, password and name are right",
        };
        format!("DATABASE_URL={self} cannot be opened: {cause}; {remedy}")
    }
}

impl Kind {
    async fn prepare(self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        if self == Self::Sqlite {
            sqlx::raw_sql(PRAGMAS).execute(connection).await?;
        }
        Ok(())
    }

    /// Whether a connection that comes back can be used again.
    ///
    /// On a full disk, as on other errors, SQLite rolls the transaction back by itself (`sqlite3_get_autocommit`). The ROLLBACK
    /// that sqlx then sends fails, sqlx takes the connection to be in a transaction for ever, and there is no other that writes.
    async fn is_as_new(self, connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
        if self == Self::Postgres {
            return Ok(true);
        }
        connection.ping().await?; // behind the ROLLBACK that a dropped transaction has queued
        Ok(!connection.is_in_transaction())
    }
}

impl Pools {
    /// A transaction that writes.
    ///
    /// SQLite takes its one write lock at the beginning: a transaction that begins by reading could not get it later
    /// while another process writes, and would fail at once instead of waiting.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        let begin = match self.kind {
            Kind::Sqlite => "BEGIN IMMEDIATE",
            Kind::Postgres => "BEGIN",
        };
        self.writes.begin_with(begin).await
    }

    /// What a `SELECT` ends with that leaves aside what another transaction is just changing. SQLite has one at a time.
    pub(crate) const fn skip_locked(&self) -> &'static str {
        match self.kind {
            Kind::Sqlite => "",
            Kind::Postgres => "FOR UPDATE SKIP LOCKED",
        }
    }

    /// Waits for every connection to come back and closes it. The writer goes last: SQLite's last connection moves what the
    /// WAL has into the database and removes it.
    pub(crate) async fn close(&self) {
        self.reads.close().await;
        self.writes.close().await;
    }
}

/// Bounds whatever is asked of the database. A transaction that is dropped is rolled back.
pub(crate) async fn bounded<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer from the database within {ANSWER:?}"));
    timeout(ANSWER, work).await.unwrap_or_else(|_| Err(late().into()))
}

fn migrations() -> Migrator {
    let all = [(1, "orders", include_str!("../../migrations/1_orders.sql"))];
    let one = |(version, name, sql): (_, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sqlx::SqlSafeStr::into_sql_str(sql), false)
    };
    Migrator::with_migrations(all.map(one).to_vec())
}

impl FromStr for Database {
    type Err = String;

    /// Refuses what no database can be meant by. The text is never repeated: it may have a password in it.
    fn from_str(text: &str) -> Result<Self, String> {
        const REMEDY: &str = "write sqlite:FILE or postgres://USER:PASSWORD@HOST/NAME";
        let refuse = |why: &str| format!("DATABASE_URL is not understood: {why}; {REMEDY}");
        let refuse_error = |error| match error {
            sqlx::Error::Configuration(why) => refuse(&why.to_string()),
            error => refuse(&error.to_string()),
        };
        let mut options = AnyConnectOptions::from_str(text).map_err(refuse_error)?;
        let url = &mut options.database_url;
        let (kind, checked) = match url.scheme() {
            "sqlite" => {
                let mode = url.query_pairs().find(|(key, _)| key == "mode").map(|(_, mode)| mode.into_owned());
                if text.contains(":memory:") || mode.as_deref() == Some("memory") {
                    return Err(refuse("orders that are kept in memory are lost with it"));
                }
                if mode.is_none() {
                    url.query_pairs_mut().append_pair("mode", "rwc"); // made, if it is not there
                }
                (Kind::Sqlite, SqliteConnectOptions::from_str(url.as_str()).map(drop))
            }
            "postgres" | "postgresql" => (Kind::Postgres, PgConnectOptions::from_str(text).map(drop)),
            other => return Err(refuse(&format!("{other} is no database that this service knows"))),
        };
        checked.map_err(refuse_error)?;
        Ok(Self { kind, options })
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MASK: &str = "****";
        let mut url = self.options.database_url.clone();
        if url.password().is_some() {
            let _ = url.set_password(Some(MASK)); // fails only for a URL that can have none
        }
        if url.query_pairs().any(|(key, _)| key == "password") {
            let masked = |(key, value)| if key == "password" { (key, MASK.into()) } else { (key, value) };
            let pairs: Vec<(String, String)> = url.query_pairs().into_owned().map(masked).collect();
            url.query_pairs_mut().clear().extend_pairs(pairs);
        }
        write!(f, "{}", url.as_str().trim_end_matches("?mode=rwc"))
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({self})")
    }
}
