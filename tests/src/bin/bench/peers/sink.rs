//! The centre of the forwarder: answers 204 once the body is durable in one file.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;

use super::record::number_of;

/// The centre; it stays as long as the benchmark.
pub(crate) struct Sink {
    port: u16,
    file: PathBuf,
    arrived: Arc<AtomicU32>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Clone)]
struct Shelf {
    file: Arc<Mutex<File>>,
    arrived: Arc<AtomicU32>,
}

impl Sink {
    /// Starts one that keeps what arrives in `folder`.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("arrived.jsonl");
        let shelf = Shelf { file: Arc::new(Mutex::new(File::create(&path)?)), arrived: Arc::default() };
        let arrived = Arc::clone(&shelf.arrived);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let port = listener.local_addr()?.port();
        let router = Router::new().route("/v1/records", post(keep)).layer(DefaultBodyLimit::disable());
        runtime.spawn(async move { axum::serve(listener, router.with_state(shelf)).await });
        Ok(Self { port, file: path, arrived, _runtime: runtime })
    }

    /// Its port on this machine.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many arrived, repeats included.
    pub(crate) fn arrived(&self) -> u32 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// The number of each record that arrived.
    pub(crate) fn numbers(&self) -> anyhow::Result<Vec<u32>> {
        std::fs::read_to_string(&self.file)?.lines().map(number_of).collect()
    }
}

async fn keep(State(shelf): State<Shelf>, body: String) -> StatusCode {
    let kept = tokio::task::spawn_blocking(move || {
        let mut file = shelf.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(format!("{body}\n").as_bytes())?;
        file.sync_data()?;
        let count = u32::try_from(body.lines().count()).unwrap_or(u32::MAX);
        shelf.arrived.fetch_add(count, Ordering::Relaxed);
        std::io::Result::Ok(())
    });
    match kept.await {
        Ok(Ok(())) => StatusCode::NO_CONTENT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
