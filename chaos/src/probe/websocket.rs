//! The client that holds a WebSocket and waits for a goodbye.

use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, protocol::frame::coding::CloseCode},
};

use super::{class::Class, clients::Client};

impl Client {
    pub(super) async fn websocket(mut self) -> Class {
        let path = self.target.websocket.as_deref().unwrap_or(&self.target.path);
        let url = format!("ws://{}{path}", self.target.address);
        let Ok(stream) = TcpStream::connect(self.target.address).await else { return Class::Refused };
        let Ok((mut socket, _)) = client_async(url, stream).await else { return Class::Malformed };
        self.is_served();
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(frame) = message {
                let code = frame.map(|frame| frame.code);
                // The answer to it is the library's, and leaves with the next read.
                let _ = socket.next().await;
                return match code {
                    Some(CloseCode::Away | CloseCode::Restart) => Class::Ok,
                    _ => Class::OtherGoodbye,
                };
            }
        }
        Class::NoGoodbye
    }
}
