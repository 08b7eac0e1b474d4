//! Serves sequences over HTTP: a queue runs the waiting frames of all sessions together.
//!
//! `cargo run --release --example server -- [DEVICE] [ADDRESS]`. A session is a sequence:
//!
//!     curl -X POST localhost:8000/sessions                              # opens one: 1
//!     curl -X POST localhost:8000/sessions/1 --json '[0.1, 0.2, 0.3]'   # a frame; the output
//!     curl -X DELETE localhost:8000/sessions/1

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use wgpu_rnn::pool::{PoolOptions, Queue, QueueOptions, Slot};
use wgpu_rnn::{Config, Device, Error, Params, Rnn};

type Answer<T> = Result<Json<T>, (StatusCode, String)>;

struct Server {
    queue: Queue,
    /// The number of sessions so far, and the open ones. Where clients are strangers, give them
    /// random names.
    sessions: Mutex<(u64, HashMap<u64, Slot>)>,
}

fn refused(error: Error) -> (StatusCode, String) {
    let status = match error {
        Error::FrameSize(_) => StatusCode::BAD_REQUEST,
        Error::SlotClosed(_) => StatusCode::NOT_FOUND,
        Error::QueueFull(_) => StatusCode::TOO_MANY_REQUESTS,
        Error::PoolFull(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, error.to_string())
}

impl Server {
    fn with_sessions<T>(&self, act: impl FnOnce(&mut (u64, HashMap<u64, Slot>)) -> T) -> T {
        act(&mut self.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn open(State(server): State<Arc<Server>>) -> Answer<u64> {
    let slot = server.queue.pool().open().map_err(refused)?;
    Ok(Json(server.with_sessions(|(last, open)| {
        *last += 1;
        open.insert(*last, slot);
        *last
    })))
}

async fn frame(
    State(server): State<Arc<Server>>,
    Path(session): Path<u64>,
    Json(frame): Json<Vec<f32>>,
) -> Answer<Vec<f32>> {
    let slot = server.with_sessions(|(_, open)| open.get(&session).copied());
    let slot = slot.ok_or((StatusCode::NOT_FOUND, "no such session".to_owned()))?;
    server.queue.submit(slot, frame).await.map(Json).map_err(refused)
}

async fn close(State(server): State<Arc<Server>>, Path(session): Path<u64>) -> Answer<()> {
    let slot = server.with_sessions(|(_, open)| open.remove(&session));
    let slot = slot.ok_or((StatusCode::NOT_FOUND, "no such session".to_owned()))?;
    server.queue.pool().close(slot).map(Json).map_err(refused)
}

/// The routes of a server of a module, for up to so many sessions at a time.
pub fn router(rnn: &Rnn, sessions: usize) -> wgpu_rnn::Result<Router> {
    let queue = Queue::new(rnn.pool(&PoolOptions::new(sessions))?, &QueueOptions::default())?;
    Ok(Router::new()
        .route("/sessions", post(open))
        .route("/sessions/{session}", post(frame).delete(close))
        .with_state(Arc::new(Server { queue, sessions: Mutex::default() })))
}

#[allow(dead_code, reason = "a test has the routes without it")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let device = Device::open(arguments.next().as_deref().unwrap_or("auto"))?;
    let address = arguments.next().unwrap_or_else(|| "localhost:8000".to_owned());
    // The values of torch.manual_seed(0); nn.GRU(3, 64, num_layers=2).
    let rnn = Rnn::new(&device, &Params::init(&Config::gru(3, 64).num_layers(2), 0)?)?;
    let router = router(&rnn, 1000)?;
    println!("{device} serves http://{address}/sessions");
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        axum::serve(tokio::net::TcpListener::bind(address).await?, router).await?;
        Ok(())
    })
}
