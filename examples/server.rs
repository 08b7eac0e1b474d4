//! Serves sequences over HTTP: a queue runs the waiting frames of all sessions together.
//!
//! `cargo run --release --example server -- [DEVICE]`. A session is a sequence:
//!
//!     curl -X POST localhost:8000/sessions                              # opens one: 1
//!     curl -X POST localhost:8000/sessions/1 --json '[0.1, 0.2, 0.3]'   # a frame; the output
//!     curl -X DELETE localhost:8000/sessions/1

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use tokio::net::TcpListener;
use wgpu_rnn::pool::{PoolOptions, Queue, QueueOptions, Slot};
use wgpu_rnn::{Config, Device, Error, Params, Rnn};

type Answer<T> = Result<Json<T>, (StatusCode, String)>;

struct Server {
    queue: Queue,
    /// The open sessions. Use random names if clients must not guess each other's sessions.
    sessions: RwLock<HashMap<usize, Slot>>,
    opened: AtomicUsize,
}

fn refused(error: Error) -> (StatusCode, String) {
    let status = match error {
        Error::FrameSize(_) => StatusCode::BAD_REQUEST,
        Error::QueueFull(_) => StatusCode::TOO_MANY_REQUESTS,
        Error::PoolFull(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, error.to_string())
}

async fn open(State(server): State<Arc<Server>>) -> Answer<usize> {
    let slot = server.queue.pool().open().map_err(refused)?;
    let session = 1 + server.opened.fetch_add(1, Ordering::Relaxed);
    server.sessions.write().expect("nothing panics with it").insert(session, slot);
    Ok(Json(session))
}

async fn frame(
    State(server): State<Arc<Server>>,
    Path(session): Path<usize>,
    Json(frame): Json<Vec<f32>>,
) -> Answer<Vec<f32>> {
    let slot = server.sessions.read().expect("nothing panics with it").get(&session).copied();
    let slot = slot.ok_or((StatusCode::NOT_FOUND, "no such session".to_owned()))?;
    server.queue.submit(slot, frame).await.map(Json).map_err(refused)
}

async fn close(State(server): State<Arc<Server>>, Path(session): Path<usize>) -> Answer<()> {
    let slot = server.sessions.write().expect("nothing panics with it").remove(&session);
    let slot = slot.ok_or((StatusCode::NOT_FOUND, "no such session".to_owned()))?;
    server.queue.pool().close(slot).map(Json).map_err(refused)
}

/// The routes of a server of a module, with at most `sessions` at a time.
pub(crate) fn router(rnn: &Rnn, sessions: usize) -> wgpu_rnn::Result<Router> {
    let queue = Queue::new(rnn.pool(&PoolOptions::new(sessions))?, &QueueOptions::default())?;
    let server = Server { queue, sessions: RwLock::default(), opened: 0.into() };
    let routes = Router::new().route("/sessions", post(open));
    let routes = routes.route("/sessions/{session}", post(frame).delete(close));
    Ok(routes.with_state(Arc::new(server)))
}

#[allow(dead_code, reason = "a test has the routes without it")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::open(std::env::args().nth(1).as_deref().unwrap_or("auto"))?;
    // The values of torch.manual_seed(0); nn.GRU(3, 64, num_layers=2).
    let rnn = Rnn::new(&device, &Params::init(&Config::gru(3, 64).num_layers(2), 0)?)?;
    let router = router(&rnn, 1000)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        Ok(axum::serve(TcpListener::bind("localhost:8000").await?, router).await?)
    })
}
