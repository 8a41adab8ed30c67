//! Calls to one server.

use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::ProstMessageExt;
use arrow_flight::{
    Action, CancelFlightInfoRequest, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    Ticket,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::stream;
use prost::Message;
use prost::bytes::Bytes;
use tokio::sync::Mutex;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Streaming};

use super::address::Address;
use super::config::FlightSqlConfig;
use super::fault::Fault;
use super::login::{Credential, Login, call_credential_fn};
use crate::error::Error;

/// Interval of keep-alive pings, and time without a response to one after which the connection is dead.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// Maximum size of response headers in bytes, including an error: servers put stack traces into it.
const MAX_HEADER_BYTES: u32 = 1 << 20;
/// Bytes of a message in addition to its rows.
const MESSAGE_OVERHEAD_BYTES: usize = 64 << 10;

/// Connection, settings and login.
pub(super) struct Client {
    pub(super) config: FlightSqlConfig,
    pub(super) address: Address,
    headers: Vec<(MetadataKey<Ascii>, MetadataValue<Ascii>)>,
    channel: Channel,
    /// Credential that was accepted last, or will be tried.
    credential: Mutex<Option<Credential>>,
}

impl Client {
    /// Creates a client; requires a runtime context.
    pub(super) fn new(config: FlightSqlConfig) -> Result<Self, Error> {
        let address = Address::parse(&config.address)?;
        let channel = channel_to(&address, &config)?;
        let mut headers = Vec::new();
        for (name, value) in &config.headers {
            let refused = || {
                Error::input(format!(
                    "header {name:?} does not have a valid HTTP header name and value"
                ))
            };
            let key = MetadataKey::from_bytes(name.to_ascii_lowercase().as_bytes());
            headers.push((
                key.map_err(|_| refused())?,
                value.parse().map_err(|_| refused())?,
            ));
        }
        Ok(Self {
            config,
            address,
            headers,
            channel,
            credential: Mutex::new(None),
        })
    }

    /// Returns the login to send; `refused` is the number of one that the server does not accept, or no longer.
    pub(super) async fn login(&self, refused: Option<u64>) -> Result<Credential, Fault> {
        let mut held = self.credential.lock().await;
        let number = match &*held {
            // another query was refused, and has logged in again meanwhile
            Some(credential) if refused.is_none_or(|number| number < credential.number) => {
                return Ok(credential.clone());
            }
            Some(credential) => credential.number + 1,
            None => 0,
        };
        let mut credential = match &self.config.login {
            Login::None => Credential::default(),
            Login::Bearer { token, .. } => {
                let token = call_credential_fn(token, "bearer token").await?;
                Credential {
                    header: Some(format!("Bearer {token}")),
                    secrets: vec![token],
                    number,
                }
            }
            Login::Basic { user, password } => {
                let password = call_credential_fn(password, "password").await?;
                self.handshake(user, password).await?
            }
        };
        credential.number = number;
        *held = Some(credential.clone());
        Ok(credential)
    }

    /// Logs in by a handshake: returns the token from a header or a message, else user and password.
    async fn handshake(&self, user: &str, password: String) -> Result<Credential, Fault> {
        let encoded = BASE64.encode(format!("{user}:{password}"));
        let mut credential = Credential {
            header: Some(format!("Basic {encoded}")),
            secrets: vec![encoded, password],
            number: 0,
        };
        let token = self.token_for(&credential).await;
        // the server may repeat what it was sent
        if let Some(token) = token.map_err(|fault| fault.without(&credential.secrets))? {
            credential.header = Some(format!("Bearer {token}"));
            credential.secrets.push(token);
        }
        Ok(credential)
    }

    /// Returns the token that the server issues for user and password, if it does.
    async fn token_for(&self, credential: &Credential) -> Result<Option<String>, Fault> {
        let message = HandshakeRequest::default();
        let request = self.request(stream::iter([message]), credential)?;
        let response = match self.service().handshake(request).await {
            Ok(response) => response,
            // the server takes the header with each call
            Err(status) if status.code() == tonic::Code::Unimplemented => return Ok(None),
            Err(status) => return Err(Fault::of_call(status)),
        };
        let header = response.metadata().get("authorization");
        let header = header
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let payload = match &header {
            Some(_) => None,
            None => response
                .into_inner()
                .message()
                .await
                .map_err(Fault::of_call)?
                .map(|answer| answer.payload),
        };
        let payload = payload.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
        Ok(match header.as_deref().map(|value| value.split_once(' ')) {
            Some(Some((scheme, token))) if scheme.eq_ignore_ascii_case("bearer") => {
                Some(token.to_owned())
            }
            Some(_) => None,
            None => payload.filter(|token| !token.is_empty()),
        })
    }

    /// Requests the locations of a command's result.
    pub(super) async fn info(
        &self,
        command: &impl ProstMessageExt,
        credential: &Credential,
    ) -> Result<FlightInfo, Fault> {
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let request = self.request(descriptor, credential)?;
        Ok(self
            .service()
            .get_flight_info(request)
            .await
            .map_err(Fault::of_call)?
            .into_inner())
    }

    /// Starts to receive a result.
    pub(super) async fn get(
        &self,
        ticket: Ticket,
        credential: &Credential,
    ) -> Result<Streaming<FlightData>, Fault> {
        let request = self.request(ticket, credential)?;
        Ok(self
            .service()
            .do_get(request)
            .await
            .map_err(Fault::of_call)?
            .into_inner())
    }

    /// Sends messages, and returns the bytes of the first response.
    pub(super) async fn put(
        &self,
        messages: Vec<FlightData>,
        credential: &Credential,
    ) -> Result<Option<Bytes>, Fault> {
        let request = self.request(stream::iter(messages), credential)?;
        let answers = self.service().do_put(request).await;
        let answers = answers.map_err(Fault::of_call)?.into_inner();
        first(answers, |answer| answer.app_metadata).await
    }

    /// Runs an action, and returns the bytes of the first response.
    pub(super) async fn act(
        &self,
        kind: &str,
        body: Vec<u8>,
        credential: &Credential,
    ) -> Result<Option<Bytes>, Fault> {
        let request = self.request(Action::new(kind, body), credential)?;
        let answers = self.service().do_action(request).await;
        let answers = answers.map_err(Fault::of_call)?.into_inner();
        first(answers, |answer| answer.body).await
    }

    /// Asks the server to stop computing a result.
    pub(super) async fn cancel(
        &self,
        info: FlightInfo,
        credential: &Credential,
    ) -> Result<(), Fault> {
        let body = CancelFlightInfoRequest::new(info).encode_to_vec();
        self.act("CancelFlightInfo", body, credential)
            .await
            .map(drop)
    }

    fn service(&self) -> FlightServiceClient<Channel> {
        let largest = self
            .config
            .max_result_bytes
            .saturating_add(MESSAGE_OVERHEAD_BYTES);
        FlightServiceClient::new(self.channel.clone())
            .max_decoding_message_size(largest)
            .max_encoding_message_size(usize::MAX)
    }

    fn request<T>(&self, message: T, credential: &Credential) -> Result<Request<T>, Fault> {
        let mut request = Request::new(message);
        let metadata: &mut MetadataMap = request.metadata_mut();
        for (name, value) in &self.headers {
            metadata.insert(name.clone(), value.clone());
        }
        if let Some(header) = &credential.header {
            let mut value: MetadataValue<Ascii> = header.parse().map_err(|_| {
                Fault::new(
                    "the credential contains a character that is not valid in an HTTP header",
                )
            })?;
            value.set_sensitive(true);
            metadata.insert("authorization", value);
        }
        Ok(request)
    }
}

/// Returns the bytes of the first response, and reads all of them: the last one may be an error.
async fn first<T>(
    mut answers: Streaming<T>,
    bytes: impl Fn(T) -> Bytes,
) -> Result<Option<Bytes>, Fault> {
    let mut first = None;
    while let Some(answer) = answers.message().await.map_err(Fault::of_call)? {
        first.get_or_insert(bytes(answer));
    }
    Ok(first)
}

fn channel_to(address: &Address, config: &FlightSqlConfig) -> Result<Channel, Error> {
    let refused = |error: &dyn std::fmt::Display| {
        Error::input(format!("connection to the Flight SQL server: {error}"))
    };
    let mut endpoint = Endpoint::from_shared(address.uri())
        .map_err(|error| refused(&error))?
        .connect_timeout(config.connect_timeout)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .tcp_nodelay(true);
    if address.is_tls {
        let mut tls = ClientTlsConfig::new();
        tls = match &config.authority_pem {
            Some(pem) => {
                if !pem
                    .windows(27)
                    .any(|part| part == b"-----BEGIN CERTIFICATE-----")
                {
                    return Err(refused(
                        &"the certificate authority is not PEM text with a CERTIFICATE",
                    ));
                }
                tls.ca_certificate(Certificate::from_pem(pem))
            }
            None => tls.with_native_roots(),
        };
        if let Some(name) = &config.server_name {
            tls = tls.domain_name(name.clone());
        }
        endpoint = endpoint.tls_config(tls).map_err(|error| refused(&error))?;
    } else if config.authority_pem.is_some() || config.server_name.is_some() {
        return Err(refused(
            &"a certificate authority or a server name is set, but the address does not use TLS (flight-sql+tls://)",
        ));
    }
    Ok(endpoint.connect_lazy())
}
