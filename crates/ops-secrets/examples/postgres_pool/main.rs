//! Asks PostgreSQL once a second while its password may change: `DATABASE=host=localhost user=app dbname=app DB_PASSWORD_FILE=password.txt
//! cargo run -p ops-secrets --example postgres_pool`. Change the password and the file: no query fails.
#![expect(clippy::print_stdout, reason = "an example prints")]

mod pool;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use deadpool::managed::Pool;
use ops_secrets::Secrets;

use pool::Logins;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Ok(server) = std::env::var("DATABASE") else {
        println!(
            "set DATABASE to host, user and dbname, and DB_PASSWORD_FILE to a file with the password"
        );
        return Ok(());
    };
    let logins = Logins {
        secrets: Secrets::from_env()?,
        server: server.parse()?,
        queries: 20,
        refused: AtomicU64::new(0),
    };
    let pool: Pool<Logins> = Pool::builder(logins).max_size(4).build()?;
    loop {
        match pool.get().await {
            Ok(connection) => {
                let row = connection
                    .client
                    .query_one("SELECT now()::text", &[])
                    .await?;
                let now: &str = row.get(0);
                println!(
                    "{now}, with a password from {}",
                    connection.password.source()
                );
            }
            Err(error) => println!("cannot get a connection: {error}"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
