//! DataFusion behind Flight SQL: `flight-sql-server [TABLE=FILE]…`, with Parquet and CSV files as tables. It serves on
//! a free port of loopback, prints `at flight-sql://HOST:PORT`, and ends when its standard input does. If
//! `FLIGHT_SQL_TOKEN` is set, it accepts only calls with that bearer token; a line on standard input replaces the
//! token.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::execution::context::SessionState;
use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionContext};
use datafusion_flight_sql_server::service::FlightSqlService;
use datafusion_flight_sql_server::session::SessionStateProvider;
use tokio::io::{AsyncBufReadExt, BufReader};
use tonic::{Request, Status};

/// Tables, accessible with the token.
struct Sessions {
    context: SessionContext,
    token: Arc<Mutex<Option<String>>>,
}

#[async_trait::async_trait]
impl SessionStateProvider for Sessions {
    async fn new_context(&self, request: &Request<()>) -> Result<SessionState, Status> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = request.metadata().get("authorization");
        let is_right = |token: &String| sent.is_some_and(|sent| *sent == format!("Bearer {token}"));
        match token.as_ref().is_none_or(is_right) {
            true => Ok(self.context.state()),
            false => Err(Status::unauthenticated("the bearer token is not accepted")),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let context = SessionContext::new();
    for argument in std::env::args().skip(1) {
        let (table, file) = argument.split_once('=').ok_or("expected TABLE=FILE")?;
        match file.ends_with(".csv") {
            true => {
                context
                    .register_csv(table, file, CsvReadOptions::new())
                    .await?
            }
            false => {
                context
                    .register_parquet(table, file, ParquetReadOptions::new())
                    .await?
            }
        }
    }
    let token = Arc::new(Mutex::new(std::env::var("FLIGHT_SQL_TOKEN").ok()));
    let sessions = Sessions {
        context,
        token: token.clone(),
    };
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    println!("at flight-sql://{}", listener.local_addr()?);
    let service = FlightSqlService::new_with_provider(Box::new(sessions));
    tokio::select! {
        served = service.serve_with_listener(listener) => served,
        () = next_tokens(token) => Ok(()),
    }
}

/// Reads new tokens from standard input until it ends.
async fn next_tokens(token: Arc<Mutex<Option<String>>>) {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        *token.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
        println!("token taken");
    }
}
