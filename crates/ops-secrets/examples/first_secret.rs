//! One secret from a variable or `.env`, with a default, and its source. Needs no set-up:
//! `cargo run -p ops-secrets --example first_secret`, then once more with `DATABASE_HOST=db.internal` before it.
#![expect(clippy::print_stdout, reason = "an example")]

use ops_secrets::{SecretError, SecretSource, get_secret, get_secret_source};

fn main() -> Result<(), SecretError> {
    let host = get_secret("DATABASE_HOST").or("localhost").blocking()?;
    println!("database host: {} (from {})", host.expose(), host.source());

    let token = get_secret("MAPBOX_ACCESS_TOKEN").optional_blocking()?;
    match &token {
        Some(token) => println!("token: {token} (from {})", token.source()),
        None => println!("no token found: add MAPBOX_ACCESS_TOKEN=pk.ey... to .env"),
    }

    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let source = runtime.map(|runtime| runtime.block_on(get_secret_source("HOME")));
    if let Ok(source) = source
        && source? == SecretSource::Env
    {
        println!("HOME comes from the environment");
    }
    Ok(())
}
