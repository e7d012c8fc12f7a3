//! The settings of feature `orders`.

use std::time::Duration;

use clap::Args;

use super::{Refusal, duration, some_time};
use crate::orders::{Database, Settling};

#[derive(Args, Clone, Debug)]
pub(crate) struct OrderSettings {
    /// Where orders are kept: sqlite:FILE, which is made if it is not there, or postgres://USER:PASSWORD@HOST/NAME
    #[arg(
        long, env, default_value = concat!("sqlite:", env!("CARGO_PKG_NAME"), ".db"), hide_env_values = true
    )]
    database_url: String,
    /// How long an instance holds the orders that it is settling: when it has died, another takes them after that
    #[arg(long, env, default_value = "10s", value_parser = some_time)]
    settle_lease: Duration,
    /// How long settling an order takes, for tests
    #[arg(long, env, default_value = "0s", value_parser = duration, hide = true)]
    settle_takes: Duration,
}

impl OrderSettings {
    /// Where orders are kept. Not checked by clap, which would show a refused value with its password.
    pub(crate) fn database(&self) -> Result<Database, Refusal> {
        self.database_url.parse().map_err(Refusal::Database)
    }

    pub(crate) fn settling(&self) -> Settling {
        Settling { lease: self.settle_lease, takes: self.settle_takes }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::super::{Config, tests::refusal};

    #[test]
    fn a_database_that_is_none_is_refused_and_no_password_is_shown() {
        for (url, why) in [
            ("mysql://orders:secret@db/orders", "mysql is no database that this service knows"),
            ("postgres://orders:secret@db:port/orders", "invalid port number"),
            ("postgres://orders:secret@db/orders?sslmode=perhaps", "ssl_mode"),
            ("sqlite::memory:", "kept in memory"),
            ("sqlite:orders.db?mode=memory", "kept in memory"),
            ("sqlite:orders.db?mod=rw", "unknown query parameter `mod`"),
            ("", "relative URL without a base"),
        ] {
            let text = refusal(&["--database-url", url]);
            for part in ["DATABASE_URL", why, "write sqlite:FILE or postgres://"] {
                assert!(text.contains(part), "{url}: no {part} in\n{text}");
            }
            assert!(!text.contains("secret@") && !text.contains("orders:secret"), "{text}");
        }
    }

    #[test]
    fn a_database_shows_itself_without_its_password() {
        for (url, shown) in [
            ("sqlite:orders.db", "sqlite:orders.db"),
            ("sqlite:///var/lib/orders.db?mode=rw", "sqlite:///var/lib/orders.db?mode=rw"),
            ("postgres://orders:secret@db:5432/orders", "postgres://orders:****@db:5432/orders"),
            ("postgres://db/orders?user=orders&password=secret", "postgres://db/orders?user=orders&password=****"),
        ] {
            let config = Config::try_parse_from(["service", "--database-url", url]).expect("it is for later");
            assert_eq!(config.orders.database().expect("it is a database").to_string(), shown);
        }
    }

    #[test]
    fn a_value_from_the_environment_is_not_part_of_the_help() {
        let command = Config::command();
        let database = command.get_arguments().find(|argument| argument.get_id() == "database_url");
        assert!(database.expect("there is one").is_hide_env_values_set(), "a password would be shown");
    }
}
