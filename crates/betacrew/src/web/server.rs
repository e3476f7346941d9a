//! The HTTP thread: it accepts a bounded number of connections and gives each a bounded room and
//! time.

use super::answer::{App, router};
use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// So many clients at once; more are turned away.
const CLIENTS_MAX: usize = 128;
/// The head of a request, and what is made ahead of a client that does not read.
const BUFFER: usize = 64 * 1024;
/// The head of a request must be there after this.
const HEAD: Duration = Duration::from_secs(5);
/// A client that makes no progress for so long is disconnected: it neither asks nor reads.
const STUCK: Duration = Duration::from_secs(15);
/// The pause after the system has refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// That something moves on a connection.
#[derive(Clone, Default, Debug)]
pub(super) struct Progress(Arc<AtomicBool>);

impl Progress {
    pub(super) fn made(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn was_made(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Serves in a thread of its own until the program ends.
///
/// # Errors
/// What the system reports.
pub(super) fn start(listener: std::net::TcpListener, app: Arc<App>) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serve = move || {
        runtime.block_on(async {
            if let Ok(listener) = TcpListener::from_std(listener) {
                accept(listener, router(app)).await;
            }
        });
    };
    std::thread::Builder::new().name("http".to_owned()).spawn(serve)?;
    Ok(())
}

async fn accept(listener: TcpListener, router: Router) {
    let room = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // One too many is closed at once.
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
        let router = router.clone();
        tokio::spawn(async move {
            connection(stream, router).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let _ = stream.set_nodelay(true);
    let progress = Progress::default();
    let router = TowerToHyperService::new(router);
    let asked = progress.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        asked.made();
        request.extensions_mut().insert(asked.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let watch = async {
        loop {
            tokio::time::sleep(STUCK).await;
            if !progress.was_made() {
                break;
            }
        }
    };
    // Whichever ends first; the other is dropped.
    futures_util::future::select(std::pin::pin!(connection), std::pin::pin!(watch)).await;
}
